"""TableCoder: coding of rows of a table given p(x|z), column by column kind; missing cells are coded by their share.

Numbers are coded as multiples of 10^-decimals: the probability of one is the mass of the normal density over the
interval that rounds to it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from lowerbound.coding.decisions import CdfRanges, Halves, bits_of_levels, pop_levels, push_levels
from lowerbound.coding.element_coding import (
    MOST_COUNTS,
    ElementCoder,
    Levels,
    Raw,
    binary_halves,
    count_weights,
    cumulative_halves,
    negative_binomial_ratios,
    rate_of,
    shape_of,
)
from lowerbound.coding.entropy_coder import Stack, decision
from lowerbound.coding.portable_tables import STEPS, exp_of, normal_of
from lowerbound.data import number_parsing
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import Column, ColumnKind
from lowerbound.probability.likelihood import Likelihood
from lowerbound.probability.table_likelihood import MIN_LOG_SIGMA, TableLikelihood

MISSING = -1
"""The level of a missing cell."""

SHARES = 2**16  # of which the share of missing cells is a whole number
KINDS: tuple[ColumnKind, ...] = ("numeric", "count", "binary", "categorical")
MOST_NUMBERS = 2**50  # from the smallest to the largest of a column, in steps of its last decimal
LEAST_LOGIT = -(2**40)  # of levels that a column does not have

Known = Bool[np.ndarray, "row column"]


@dataclass(frozen=True, kw_only=True)
class CodedColumn:
    """How the cells of one column are coded: level n is the number (low + n) / 10^decimals, less the column's offset.

    Levels of text and counts are themselves, so that low and decimals are 0.
    """

    num_levels: int
    low: int = 0
    decimals: int = 0
    missing: int = 0  # share of missing cells, in 1/65536

    def numbers(self, levels: Int64[np.ndarray, " row"]) -> Float64[np.ndarray, " row"]:
        """The numbers of levels, correctly rounded; NaN for missing ones."""
        return np.where(levels == MISSING, np.nan, (levels + self.low) / 10.0**self.decimals)


def missing_share(is_missing: Bool[np.ndarray, " row"]) -> int:
    """The share of missing cells in 1/65536: 0 only if there are none, 65536 only if there are no others."""
    share = round(SHARES * float(is_missing.mean()))
    return share if is_missing.all() or not is_missing.any() else min(max(share, 1), SHARES - 1)


def coded_column(column: Column, numbers: Float64[np.ndarray, " row"]) -> tuple[CodedColumn, Int64[np.ndarray, " row"]]:
    """How a column with these cells is coded, and their levels; DataError for numbers that have none."""
    is_missing = np.isnan(numbers)
    known = numbers[~is_missing]
    is_numeric = column.kind == "numeric" and len(known) > 0
    decimals = number_parsing.num_decimals(known) if is_numeric else 0
    whole = np.rint(known * 10.0**decimals)
    low = int(whole.min()) if is_numeric else 0
    span = int(whole.max(initial=low)) - low + 1
    if span > MOST_NUMBERS or (np.abs(whole) > 2.0**53).any() or not (whole / 10.0**decimals == known).all():
        raise DataError(
            f"column {column.name!r} has numbers of too many digits ({decimals} decimals) to be coded; round them, or "
            "leave the column out of the model."
        )
    if column.kind == "count" and span > MOST_COUNTS:
        raise DataError(f"column {column.name!r} has the count {span - 1:,}; at most {MOST_COUNTS - 1:,} can be coded.")
    levels = np.full(len(numbers), MISSING, np.int64)
    levels[~is_missing] = whole.astype(np.int64) - low
    share = missing_share(is_missing)
    return CodedColumn(num_levels=column.num_levels or span, low=low, decimals=decimals, missing=share), levels


class TableCoder(ElementCoder):
    """Codes rows: whether each cell is missing, then the others by the family of their column."""

    likelihood: TableLikelihood

    def __init__(self, likelihood: TableLikelihood, columns: tuple[CodedColumn, ...]) -> None:
        super().__init__(likelihood)
        self.columns = columns
        self.where = {kind: np.array(likelihood.columns_of(kind), np.int64) for kind in KINDS}
        self.first = np.cumsum([0, *likelihood.widths()])  # of each column's outputs of the decoder
        self.num_levels = np.array([column.num_levels for column in columns], np.int64)
        self.low = np.array([column.low for column in columns], np.float64)
        self.unit = np.array([10.0**column.decimals for column in columns])
        self.missing = np.array([column.missing for column in columns], np.int64)
        self.is_sometimes_missing = (self.missing > 0) & (self.missing < SHARES)
        self.offset = np.array([column.offset for column in likelihood.columns])
        self.location = likelihood.location.double().numpy()
        self.scale = likelihood.scale.double().numpy()
        log_sigma = likelihood.log_sigma.detach().double().clamp(min=MIN_LOG_SIGMA)
        self.sigma = exp_of((log_sigma * STEPS).round().long().numpy())
        self.r = shape_of(likelihood.log_r)

    def numbers(self, levels: Levels) -> Float64[np.ndarray, "row column"]:
        """The numbers that were coded, positions of levels, and NaN for missing cells."""
        return np.stack([column.numbers(levels[:, at]) for at, column in enumerate(self.columns)], axis=1)

    def to_x(self, levels: Levels) -> Float64[np.ndarray, "image element"]:
        return (self.numbers(levels) - self.offset).astype(np.float32).astype(np.float64)  # as reading stores them

    def encode(self, coder: Stack, raw: Raw, levels: Levels) -> None:
        known = levels != MISSING
        for kind in KINDS:
            chosen = self._cells(kind, known)
            push_levels(coder, self._halves(kind, raw, *chosen), levels[chosen], self.num_levels[chosen[1]])
        if self.is_sometimes_missing.any():
            asked = ~known[:, self.is_sometimes_missing]
            coder.encode_reverse(asked.astype(np.int32).ravel(), decision(), self._shares(len(levels)))

    def decode(self, coder: Stack, raw: Raw) -> Levels:
        known = np.tile(self.missing < SHARES, (len(raw), 1))
        if self.is_sometimes_missing.any():
            is_missing = coder.decode(decision(), self._shares(len(raw))).astype(bool)
            known[:, self.is_sometimes_missing] = ~is_missing.reshape(len(raw), -1)
        levels = np.full(known.shape, MISSING, np.int64)
        for kind in reversed(KINDS):
            chosen = self._cells(kind, known)
            halves = self._halves(kind, raw, *chosen)
            levels[chosen] = pop_levels(coder, halves, len(chosen[0]), self.num_levels[chosen[1]])
        return levels

    def bits(self, raw: Raw, levels: Levels) -> Float64[np.ndarray, "image element"]:
        """The bits of each known cell; those of missing ones are in `missing_bits`."""
        known, total = levels != MISSING, np.zeros(levels.shape)
        for kind in KINDS:
            chosen = self._cells(kind, known)
            halves = self._halves(kind, raw, *chosen)
            total[chosen] = bits_of_levels(halves, levels[chosen], self.num_levels[chosen[1]])
        return total

    @property
    def num_probabilities(self) -> int:
        kinds = (self.where["count"], self.where["categorical"])
        return sum(len(where) * int(self.num_levels[where].max(initial=0)) for where in kinds)

    def missing_bits(self, levels: Levels) -> Float64[np.ndarray, " image"]:
        """The bits that it takes to say which cells of each row are missing; −ELBO has none for them."""
        asked = levels[:, self.is_sometimes_missing] == MISSING
        share = self.missing[self.is_sometimes_missing] / SHARES
        found: np.ndarray = -np.where(asked, np.log2(share), np.log2(1 - share)).sum(1)
        return found

    def log_prob(self, likelihood: Likelihood, raw: Raw, levels: Levels) -> Float64[Tensor, " image"]:
        """log p(x|z) of rounded numbers: the mass of the density over the interval that rounds to each, in nats."""
        others = levels.copy()
        others[:, self.where["numeric"]] = MISSING
        chosen = self._cells("numeric", levels != MISSING)
        location, precision = self._normals(raw, *chosen)
        ends = [
            (torch.from_numpy(levels[chosen] + side - location) * torch.from_numpy(precision)) for side in (-0.5, 0.5)
        ]
        # Both ends in the lower tail, where masses have all their digits.
        is_above = ends[0] > 0
        low, high = torch.where(is_above, -ends[1], ends[0]), torch.where(is_above, -ends[0], ends[1])
        log_high = torch.special.log_ndtr(high)
        mass = log_high + torch.log1p(-torch.exp(torch.special.log_ndtr(low) - log_high))
        rows = torch.from_numpy(chosen[0])
        return super().log_prob(likelihood, raw, others).index_add(0, rows, mass)

    def _cells(self, kind: ColumnKind, known: Known) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the known cells of a kind."""
        rows, at = np.nonzero(known[:, self.where[kind]])
        return rows, self.where[kind][at]

    def _shares(self, num_rows: int) -> Float64[np.ndarray, " cell"]:
        return np.tile(self.missing[self.is_sometimes_missing] / SHARES, num_rows)

    def _halves(self, kind: ColumnKind, raw: Raw, rows: np.ndarray, columns: np.ndarray) -> Halves:
        """The masses of levels of cells that have this kind."""
        if kind == "numeric":
            location, precision = self._normals(raw, rows, columns)
            return CdfRanges(normal_of, location[None], precision[None], np.ones((1, len(rows))))
        outputs = raw[rows, self.first[columns]]
        if kind == "binary":
            return binary_halves(outputs)
        most = int(self.num_levels[columns].max(initial=1))
        if kind == "count":
            r = self.r[np.searchsorted(self.where[kind], columns)]
            return cumulative_halves(count_weights(*negative_binomial_ratios(rate_of(outputs), r), most))
        levels = np.arange(most)
        at = np.minimum(self.first[columns][:, None] + levels, raw.shape[1] - 1)
        logits = np.where(levels < self.num_levels[columns][:, None], raw[rows[:, None], at], LEAST_LOGIT)
        return cumulative_halves(exp_of(logits - logits.max(1, keepdims=True, initial=LEAST_LOGIT)))

    def _normals(
        self, raw: Raw, rows: np.ndarray, columns: np.ndarray
    ) -> tuple[Float64[np.ndarray, " cell"], Float64[np.ndarray, " cell"]]:
        """Means in levels, and how many standard deviations a level is wide."""
        mean = self.location[columns] + self.scale[columns] * (raw[rows, self.first[columns]] / STEPS)
        at = np.searchsorted(self.where["numeric"], columns)
        location = (mean + self.offset[columns]) * self.unit[columns] - self.low[columns]
        return location, 1 / (self.sigma[at] * self.scale[columns] * self.unit[columns])

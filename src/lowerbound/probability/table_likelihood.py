"""TableLikelihood: p(x|z) for rows of a table, with a family per column; missing cells are omitted."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import LARGEST, Column, ColumnKind, Support
from lowerbound.probability.counts import NegativeBinomial
from lowerbound.probability.distributions import Bernoulli, DiagonalNormal, Distribution, RescaledNormal
from lowerbound.probability.likelihood import (
    LEAST_RATE,
    LOG_R_RANGE,
    MAX_LOG_RATE,
    MEAN_MARGIN,
    Likelihood,
    are_counts,
    binomial_logits,
    log_r_of,
)
from lowerbound.probability.tables import Block, ColumnCodes, TableRow

MIN_LOG_SIGMA = math.log(1e-3)  # of a numeric column, in standard deviations of the training data


class TableLikelihood(Likelihood):
    """Independent columns: normal, negative binomial, Bernoulli or categorical, by kind.

    A numeric column has a mean from the decoder and a learned standard deviation, in standard deviations of the
    training data; densities are in the column's own unit. A count has a learned shape r. The encoder's input has
    standardised numbers, log(1 + x) of counts, one-hot categories, and for every column whether it is present; missing
    values are 0.
    """

    accepts_missing = True

    location: Tensor
    scale: Tensor

    def __init__(self, event_shape: tuple[int, ...], columns: tuple[Column, ...] = ()) -> None:
        super().__init__(event_shape)
        # Without columns, as for an array without names, all are numeric.
        self.columns = columns or tuple(Column(name=str(i), kind="numeric") for i in range(math.prod(event_shape)))
        self.log_sigma = nn.Parameter(torch.zeros(len(self.columns_of("numeric"))))
        self.log_r = nn.Parameter(torch.zeros(len(self.columns_of("count"))))
        self.register_buffer("location", torch.zeros(len(self.columns)))
        self.register_buffer("scale", torch.ones(len(self.columns)))

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (sum(self.widths()),)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return (sum(self.widths()) + len(self.columns),)

    @property
    def feature_range(self) -> None:
        """None: categories and flags of known cells are 0 or 1."""
        return None

    def standardise(self, mean: Float[Tensor, " column"], deviation: Float[Tensor, " column"]) -> None:
        """Set location and scale of numeric columns to the training data's mean and standard deviation, and initialise
        the shapes of counts from them.
        """
        numeric = self.columns_of("numeric")
        self.location[numeric] = mean[numeric]
        self.scale[numeric] = torch.where(deviation[numeric] > 0, deviation[numeric], 1.0)
        counts = self.columns_of("count")
        with torch.no_grad():
            self.log_r.copy_(log_r_of(mean[counts], deviation[counts]))

    def features(self, x: Float[Tensor, "*batch column"]) -> Float[Tensor, "*batch feature"]:
        is_missing = x.isnan()
        parts = [self._column_features(index, x[..., index]) for index in range(len(self.columns))]
        return torch.cat([*parts, (~is_missing).to(x.dtype)], dim=-1)

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> TableRow:
        slices = raw.split(self.widths(), dim=-1)
        blocks = []
        for kind in ("numeric", "count", "binary"):
            if len(where := self.columns_of(kind)):
                joined = torch.cat([slices[index] for index in where], dim=-1)
                blocks.append(Block(torch.tensor(where, device=raw.device), self._family(kind, joined, where)))
        for index in self.columns_of("categorical"):
            blocks.append(Block(torch.tensor([index], device=raw.device), ColumnCodes(slices[index])))
        return TableRow(tuple(blocks))

    def raw_of_mean(self, mean: Float[Tensor, " column"]) -> Float[Tensor, " raw"]:
        parts = []
        for index, column in enumerate(self.columns):
            value = mean[index]
            if column.kind == "numeric":
                parts.append(((value - self.location[index]) / self.scale[index]).reshape(1))
            elif column.kind == "count":
                parts.append(value.clamp(min=LEAST_RATE).log().reshape(1))
            elif column.kind == "binary":
                parts.append(torch.logit(value, eps=MEAN_MARGIN).reshape(1))
            else:
                parts.append(binomial_logits(value / max(column.num_levels - 1, 1), column.num_levels))
        return torch.cat(parts)

    def convention(self, support: Support) -> str:
        if not (math.isfinite(support.low) and math.isfinite(support.high)):
            came = f"[{support.low:g}, {support.high:g}]"
            raise DataError(f"data lie in {came}, but likelihood 'table' needs finite or missing values.")
        return "table" if self.columns_of("numeric") else "discrete table"

    def admits(self, x: Float[Tensor, "batch *event"], is_binary: bool) -> Bool[Tensor, "batch *event"]:
        parts = [self._admits(column, x[..., index]) for index, column in enumerate(self.columns)]
        return torch.stack(parts, dim=-1)

    def accepted(self, is_binary: bool, low: float, high: float) -> str:
        return "numbers, counts and levels, by the columns' kinds"

    def _admits(self, column: Column, cells: Float[Tensor, " *batch"]) -> Bool[Tensor, " *batch"]:
        if column.kind == "numeric":
            return cells.isnan() | (cells.abs() < LARGEST)
        is_whole = are_counts(cells)
        if column.levels:
            is_whole &= cells < column.num_levels
        return cells.isnan() | is_whole

    def columns_of(self, kind: ColumnKind) -> list[int]:
        """The positions of the columns of a kind."""
        return [index for index, column in enumerate(self.columns) if column.kind == kind]

    def widths(self) -> list[int]:
        """How many outputs of the decoder each column has."""
        return [column.num_levels if column.kind == "categorical" else 1 for column in self.columns]

    def _family(self, kind: ColumnKind, raw: Tensor, where: list[int]) -> Distribution:
        if kind == "numeric":
            log_variance = 2 * self.log_sigma.clamp(min=MIN_LOG_SIGMA).expand_as(raw)
            standardised = DiagonalNormal(raw, log_variance, event_ndim=0)
            return RescaledNormal(standardised, self.location[where], self.scale[where])
        if kind == "count":
            return NegativeBinomial(raw.clamp(max=MAX_LOG_RATE), self.log_r.clamp(*LOG_R_RANGE), event_ndim=0)
        return Bernoulli(raw, event_ndim=0)

    def _column_features(self, index: int, cells: Float[Tensor, " *batch"]) -> Float[Tensor, "*batch feature"]:
        column, is_missing = self.columns[index], cells.isnan().unsqueeze(-1)
        known = cells.nan_to_num(0.0)
        if column.kind == "categorical":
            features = F.one_hot(known.long(), column.num_levels).to(cells.dtype)
        elif column.kind == "count":
            features = torch.log1p(known).unsqueeze(-1)
        elif column.kind == "binary":
            features = known.unsqueeze(-1)
        else:
            features = ((known - self.location[index]) / self.scale[index]).unsqueeze(-1)
        return features.masked_fill(is_missing, 0.0)

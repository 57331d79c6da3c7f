"""Factors: known factors of variation of examples, such as position and shape, by which disentanglement is measured.

Factors come as columns with a cell for each example: numbers, texts or booleans, none of them missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from lowerbound.data.number_parsing import parse_plain_number
from lowerbound.data.reading import refuse
from lowerbound.foundation.text import pluralise

MAX_LEVELS = 100
"""Different values of a factor. Numbers with more are divided into NUM_BINS intervals of equal width."""

NUM_BINS = 20

Cells = Sequence[Any]


@dataclass(frozen=True, eq=False)
class Factors:
    """The level that each factor has in each example."""

    names: tuple[str, ...]
    levels: tuple[tuple[str | float, ...], ...]  # the values of each factor; a code is a position among them
    codes: Int64[np.ndarray, "example factor"]

    def __len__(self) -> int:
        return len(self.codes)

    def subset(self, indices: Integer[np.ndarray, " index"] | Bool[np.ndarray, " example"]) -> "Factors":
        """The factors of the examples at `indices`, in that order."""
        return replace(self, codes=self.codes[indices])


def encode_factors(place: str, columns: Mapping[str, Cells]) -> tuple[Factors, tuple[str, ...]]:
    """Factors of columns of equal length, and notes on numbers that were divided into intervals.

    DataError for a missing cell, for values that are neither numbers nor texts, and for texts with too many levels.
    """
    found = [_values(place, name, cells) for name, cells in columns.items()]
    levels = [sorted(set(values)) for values, _ in found]
    positions = [{value: at for at, value in enumerate(different)} for different in levels]
    codes = [[position[value] for value in values] for position, (values, _) in zip(positions, found, strict=True)]
    factors = Factors(tuple(columns), tuple(map(tuple, levels)), np.array(codes, np.int64).T)
    return factors, tuple(note for _, note in found if note)


def _values(place: str, name: str, cells: Cells) -> tuple[list[Any], str]:
    """Numbers, where all cells are, or texts; and a note on numbers that were divided into intervals."""
    texts = _texts(place, name, cells)
    numbers = [number for text in texts if (number := parse_plain_number(text)) is not None]
    values: list[Any] = numbers if len(numbers) == len(texts) else texts
    if (number := len(set(values))) <= MAX_LEVELS:
        return values, ""
    if values is texts:
        came = f"has {number:,} different texts as factor {name!r}"
        refuse(place, f"{came}, but the limit is {MAX_LEVELS}; give numbers, or fewer categories")
    note = f"factor {name!r}: {number:,} different numbers, divided into {NUM_BINS} intervals"
    return _in_intervals(np.array(numbers)), note


def _texts(place: str, name: str, cells: Cells) -> list[str]:
    """The cells as texts."""
    for index, cell in enumerate(cells):
        if cell is None or cell == "" or cell != cell:
            refuse(place, f"has no value of factor {name!r} for example {index}; give one for every example")
        if not isinstance(cell, str | bool | int | float) or cell in (np.inf, -np.inf):
            came = f"has {cell!r:.40}" if isinstance(cell, float) else f"has a {type(cell).__name__}"
            refuse(place, f"{came} as factor {name!r} of example {index}; accepted: finite numbers, texts or booleans")
    return [cell if isinstance(cell, str) else repr(cell) for cell in cells]


def _in_intervals(numbers: Float64[np.ndarray, " example"]) -> list[float]:
    """The middle of the interval, of NUM_BINS of equal width, in which each number lies."""
    edges = np.linspace(numbers.min(), numbers.max(), NUM_BINS + 1)
    middles: Float64[np.ndarray, " interval"] = (edges[1:] + edges[:-1]) / 2
    return middles[np.searchsorted(edges[1:-1], numbers, side="right")].tolist()


def check_num_factors(place: str, columns: Mapping[str, Cells], num_examples: int) -> None:
    """DataError unless there are columns, each with a cell for each example."""
    if not columns:
        refuse(place, "has an empty table of factors; give a column for each factor")
    for name, cells in columns.items():
        if len(cells) != num_examples:
            came = f"has {pluralise(num_examples, 'example')} and {pluralise(len(cells), 'value')} of factor {name!r}"
            refuse(place, f"{came}; give one for each")

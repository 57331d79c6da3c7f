"""Factors: known factors of variation of examples, such as position and shape, by which disentanglement is measured.

Factors come as columns with a cell for each example: numbers, texts or booleans, none of them missing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from lowerbound.data.number_parsing import parse_plain_number
from lowerbound.data.reading import refuse
from lowerbound.foundation.schema import Column
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
    numbers: Mapping[str, Float64[np.ndarray, " example"]] = field(default_factory=dict)  # before they were divided

    def __len__(self) -> int:
        return len(self.codes)

    def subset(self, indices: Integer[np.ndarray, " index"] | Bool[np.ndarray, " example"]) -> "Factors":
        """The factors of the examples at `indices`, in that order."""
        numbers = {name: of_factor[indices] for name, of_factor in self.numbers.items()}
        return replace(self, codes=self.codes[indices], numbers=numbers)

    def cells(self, name: str) -> list[str | float]:
        """The values of a factor as they were given."""
        if name in self.numbers:
            return self.numbers[name].tolist()
        index = self.names.index(name)
        return [self.levels[index][code] for code in self.codes[:, index]]

    def without(self, names: Collection[str]) -> "Factors | None":
        """The other factors; None if there are none."""
        kept = [index for index, name in enumerate(self.names) if name not in names]
        if not kept:
            return None
        return Factors(
            tuple(self.names[index] for index in kept),
            tuple(self.levels[index] for index in kept),
            self.codes[:, kept],
            {name: numbers for name, numbers in self.numbers.items() if name not in names},
        )


def encode_factors(
    place: str, given: Mapping[str, Cells] | None, rows: Sequence[int], conditions: Sequence[Column] = ()
) -> tuple[Factors | None, tuple[str, ...]]:
    """Factors of some rows of columns, and notes on numbers that were divided into intervals.

    None if there are none but those that a model is conditional on.

    DataError for a missing cell, for values that are neither numbers nor texts, and for texts with too many levels.
    """
    left_out = {column.name for column in conditions}
    columns = {name: [cells[row] for row in rows] for name, cells in (given or {}).items() if name not in left_out}
    if not columns:
        return None, ()
    found = [_values(place, name, cells) for name, cells in columns.items()]
    levels = [sorted(set(values)) for values, _ in found]
    positions = [{value: at for at, value in enumerate(different)} for different in levels]
    codes = [[position[value] for value in values] for position, (values, _) in zip(positions, found, strict=True)]
    divided = {name: numbers for name, (_, numbers) in zip(columns, found, strict=True) if numbers is not None}
    notes = tuple(
        f"factor {name!r}: {len(np.unique(numbers)):,} different numbers, divided into {NUM_BINS} intervals"
        for name, numbers in divided.items()
    )
    return Factors(tuple(columns), tuple(map(tuple, levels)), np.array(codes, np.int64).T, divided), notes


def _values(place: str, name: str, cells: Cells) -> tuple[list[Any], Float64[np.ndarray, " example"] | None]:
    """Numbers, where all cells are, or texts; and the numbers themselves, if they were divided into intervals."""
    texts = _texts(place, name, cells)
    numbers = [number for text in texts if (number := parse_plain_number(text)) is not None]
    values: list[Any] = numbers if len(numbers) == len(texts) else texts
    if (number := len(set(values))) <= MAX_LEVELS:
        return values, None
    if values is texts:
        came = f"has {number:,} different texts as factor {name!r}"
        refuse(place, f"{came}, but the limit is {MAX_LEVELS}; give numbers, or fewer categories")
    return _in_intervals(np.array(numbers)), np.array(numbers)


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

"""KnownCells: the non-missing cells of a column, parsed as numbers or strings; missing-value markers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Float

from lowerbound.data import number_parsing
from lowerbound.data.tables import Cell, RawTable, cell_text
from lowerbound.foundation.errors import DataError


@dataclass(frozen=True)
class KnownCells:
    """The cells of one column that are not missing, and their rows."""

    table: RawTable
    name: str
    rows: Sequence[int]
    cells: Sequence[Cell]
    decimal: number_parsing.Decimal
    skip_broken: bool = False  # rows with invalid cells are skipped

    @cached_property
    def plain(self) -> list[float | None]:
        """Cells that are unambiguously numbers, else None; texts of a text-typed column are never numbers."""
        return [self._number(cell, self.table.is_text, number_parsing.parse_plain_number) for cell in self.cells]

    @cached_property
    def numbers(self) -> list[float | None]:
        """The same, ambiguous texts such as 3e2 included."""
        pairs = zip(self.cells, self.plain, strict=True)
        return [
            self._number(cell, True, number_parsing.parse_number) if number is None else number
            for cell, number in pairs
        ]

    @cached_property
    def values(self) -> Float[np.ndarray, " cell"]:
        """The same in float64; NaN for a text that is not a number, infinity for "inf"."""
        pairs = zip(self.cells, self.numbers, strict=True)
        words = (np.inf if number is None and _says_infinity(cell) else number for cell, number in pairs)
        return np.array([np.nan if number is None else number for number in words], np.float64)

    @cached_property
    def texts(self) -> list[str]:
        """The cells as texts, in the form of levels."""
        return [cell_text(cell) for cell in self.cells]

    @cached_property
    def markers(self) -> Counter[str]:
        """Texts read as missing here, with their counts; without the empty text."""
        known = set(self.rows)
        cells = enumerate(self.table.columns[self.name])
        return Counter(cell for row, cell in cells if row not in known and isinstance(cell, str) and cell)

    def valid_only(self, is_wrong: Bool[np.ndarray, " cell"], sentence: str) -> "KnownCells":
        """The valid cells if broken rows are skipped; otherwise DataError for the first invalid one."""
        if not is_wrong.any():
            return self
        if not self.skip_broken:
            self.refuse(int(np.flatnonzero(is_wrong)[0]), sentence)
        kept = np.flatnonzero(~is_wrong).tolist()
        return replace(self, rows=[self.rows[index] for index in kept], cells=[self.cells[index] for index in kept])

    def refuse(self, index: int, sentence: str) -> NoReturn:
        """DataError for the known cell at `index`."""
        cell, where = str(self.cells[index])[:60], self.table.where(self.rows[index], self.name)
        hints = [number_parsing.sign_hint([cell], self.decimal), exclusion_hint(self.name)]
        raise DataError(f"{where} is {cell!r}; {sentence}, {', '.join(filter(None, hints))}.")

    def _number(self, cell: Cell, texts_too: bool, parse) -> float | None:  # type: ignore[no-untyped-def]
        if isinstance(cell, str):
            return parse(cell, self.decimal) if texts_too else None
        return _as_float(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else None


def known_cells(
    table: RawTable,
    name: str,
    markers: Sequence[str],
    decimal: number_parsing.Decimal,
    levels: Sequence[str] = (),
    skip_broken: bool = False,
) -> KnownCells:
    """The non-missing cells of a column; a marker that is one of its `levels` is not missing."""
    missing, kept = frozenset(markers) | {""}, kept_markers(markers, levels)
    cells = table.columns[name]
    rows = [row for row, cell in enumerate(cells) if not is_missing(cell, missing) or (kept and cell in kept)]
    return KnownCells(table, name, rows, [cells[row] for row in rows], decimal, skip_broken)


def kept_markers(markers: Sequence[str], levels: Sequence[str]) -> frozenset[str]:
    """The levels that would otherwise be missing-value markers."""
    return frozenset(level for level in levels if level and level.lower() in markers)


def is_missing(cell: Cell, markers: frozenset[str]) -> bool:
    """Whether a cell is empty or a missing-value marker."""
    return cell is None or (isinstance(cell, str) and cell.lower() in markers)


def lower_case(markers: Sequence[str]) -> tuple[str, ...]:
    """Markers normalised for comparison: lower case, without surrounding spaces."""
    return tuple(dict.fromkeys(marker.strip().lower() for marker in markers))


def exclusion_hint(name: str) -> str:
    """How to exclude a column that cannot be read."""
    return f'or exclude the column: set data.exclude=["{name}"]'


def _says_infinity(cell: Cell) -> bool:
    return isinstance(cell, str) and number_parsing.is_infinite(cell)


def _as_float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return np.inf if number > 0 else -np.inf

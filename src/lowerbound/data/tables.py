"""RawTable and TableOptions: CSV files and columns in memory to named columns of cells.

    CSV       every cell is a text until the decimal sign and the kinds of the columns are known
    others    numbers, strings and booleans by type; values of a dictionary type are strings

Kinds of columns are inferred in table_schema.py; cells are parsed in table_examples.py.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lowerbound.data import number_parsing
from lowerbound.data.csv_text import LEAST_SHARE, decode_csv, find_separator, header_problem, quote_problem
from lowerbound.data.file_signatures import check_text
from lowerbound.data.reading import (
    STANDARD_LIMIT,
    Limit,
    open_regular_file,
    printable,
    read_up_to,
    reading,
    refuse,
    too_large,
)
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import MISSING_MARKERS, ColumnKind
from lowerbound.foundation.settings import setting
from lowerbound.foundation.text import pluralise

CELL_BYTES = 144  # cells and rows are temporarily Python objects
CHARACTER_BYTES = 6  # of a CSV: as bytes, as text, and in the reader
MAX_COLUMNS = 20_000  # each takes 0.2 ms; wider data should be an array
INDEX_NAMES = ("", "Unnamed: 0", "__index_level_0__")  # names that pandas gives to an unnamed index

Cell = Any
"""A number (int or float), a string, a boolean, None if missing, or an unsupported object."""


@dataclass(frozen=True, kw_only=True)
class ColumnSetting:
    """Explicit kind and levels of one column, in place of inferred ones."""

    kind: ColumnKind | Literal[""] = setting("", "Kind of the column; empty infers it.")
    levels: tuple[str, ...] = setting((), "Levels of a binary or categorical column, in order; empty infers them.")


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Options for reading a table."""

    label: str = ""  # the label column, which is not part of x
    exclude: tuple[str, ...] = ()  # columns to leave out
    columns: Mapping[str, ColumnSetting] = field(default_factory=dict)
    missing_markers: tuple[str, ...] = MISSING_MARKERS  # besides the empty cell, which is always missing
    decimal: Literal["", ".", ","] = ""  # empty: inferred
    separator: str = ""  # empty: inferred
    skip_broken: bool = False  # rows with invalid cells are skipped
    limit: Limit = STANDARD_LIMIT  # on memory


STANDARD = TableOptions()


@dataclass(frozen=True)
class RawTable:
    """Columns by name, in the file's order, with the lines of their rows."""

    place: str  # its name in messages
    columns: dict[str, list[Cell]]
    label: str = ""  # the label column, if the file names one
    factors: Mapping[str, Sequence[Any]] | None = None  # columns of factors, which are not part of x
    num_validation: int = 0  # size of a given validation split, which precedes the test split
    num_test: int = 0
    notes: tuple[str, ...] = ()
    is_text: bool = False  # from a CSV: a text may be a number
    separator: str = ""  # of a CSV
    decimal: Literal["", ".", ","] = ""  # of a CSV, if set
    lines: Sequence[int] = ()  # of a CSV: the line in which each row begins
    unnamed: frozenset[str] = frozenset()  # columns without a name, which may be an index
    unreadable: Mapping[int, str] = field(default_factory=dict)  # rows with too many or too few cells, with the reason

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), []))

    def where(self, row: int, column: str = "") -> str:
        """A row, counted from 0 as in ids, or one of its cells, for messages."""
        line = f" (line {self.lines[row]})" if len(self.lines) else ""
        return f"{printable(self.place)}: row {row}{line}" + (f", column {column!r}" if column else "")


def read_csv(path: Path, options: TableOptions = STANDARD) -> RawTable:
    """A CSV file with a header: UTF-8, or UTF-16 with a byte order mark; its separator is detected."""
    with reading(path, "a CSV table"):
        text = decode_csv(printable(path), csv_content(path, options.limit)).characters
        check_text(printable(path), text)
        separator = options.separator or find_separator(text, printable(path))
        lines, rows = _numbered_rows(path, text, separator, options.limit)
    if not rows:
        refuse(path, "is empty; its first line must contain the column names")
    if len(rows) == 1:
        refuse(path, "has no rows")
    header, *rows = rows
    rows, trimmed = _without_empty_ends(rows, len(header))
    width = len(header)
    ragged = {row: cells for row, cells in enumerate(rows) if len(cells) != width}
    _check_width(path, width, len(rows), ragged)
    whole = [[None] * width if row in ragged else cells for row, cells in enumerate(rows)] if ragged else rows
    columns = [list(column) for column in zip(*whole, strict=True)]
    check_header(path, header, columns)
    names, notes = _named(path, header)
    table = RawTable(
        printable(path),
        {name: [_stripped(cell) for cell in cells] for name, cells in zip(names, columns, strict=True)},
        notes=(*notes, *trimmed),
        is_text=True,
        separator=separator,
        decimal=options.decimal,
        lines=lines[1:],
        unnamed=_index_names(header, names),
    )
    came = {row: f"{table.where(row)} has {pluralise(len(cells), 'cell')}" for row, cells in ragged.items()}
    unreadable = {row: f"{what}, but the header has {pluralise(width, 'column')}" for row, what in came.items()}
    return replace(table, unreadable=unreadable)


def table_from_columns(path: Path | str, columns: Mapping[Any, Iterable[Any]]) -> RawTable:
    """A table from columns of numbers, strings, booleans and dates, such as those of a DataFrame; None is missing."""
    return table_from_cells(path, [(str(name), _values(values)) for name, values in columns.items()])


def csv_content(path: Path, limit: Limit = STANDARD_LIMIT) -> bytes:
    """The bytes of a CSV; TooLarge before reading if its text would exceed the limit."""
    limit.check(path, CHARACTER_BYTES * path.stat().st_size, "takes as text")
    with open_regular_file(path) as file:
        content = bytes(read_up_to(file, limit.max_bytes // CHARACTER_BYTES + 1))
    limit.check(path, CHARACTER_BYTES * len(content), "takes as text")  # it may have grown
    return content


def check_size(path: Path | str, num_cells: int, limit: Limit = STANDARD_LIMIT, already: int = 0) -> None:
    """TooLarge for more cells than fit into the limit, given `already` bytes in use."""
    num_bytes = CELL_BYTES * num_cells + already
    if num_bytes > limit.max_bytes:
        accepted = (limit.max_bytes - already) // CELL_BYTES
        too_large(path, f"has {num_cells:,} cells or more, but the limit is {accepted:,}; {limit.remedy(num_bytes)}")


def check_header(path: Path, header: Sequence[str], columns: Sequence[Sequence[str | None]]) -> None:
    """DataError if the first line is a row of data: it has numbers that are not names, or its texts recur below it."""
    names = [name.strip() for name in header]
    is_number = [number_parsing.parse_plain_number(name) is not None for name in names]
    texts = [(name, cells) for name, cells, one in zip(names, columns, is_number, strict=True) if name and not one]
    do_recur = [name in {_stripped(cell) for cell in cells} for name, cells in texts]
    if any(is_number):
        is_row = any(one and not name.isdigit() for name, one in zip(names, is_number, strict=True)) or any(do_recur)
        is_row |= all(is_number) and names != [str(index) for index in range(len(names))]
    else:
        is_row = bool(texts) and all(do_recur)
    if is_row:
        first = ", ".join(map(repr, names[:4]))
        refuse(path, f"has no header: line 1 ({first}) is a row; add a first line with the column names")


def _numbered_rows(path: Path, text: str, separator: str, limit: Limit) -> tuple[list[int], list[list[str]]]:
    """The line of each row and its cells, the header first; empty lines are skipped."""
    taken: list[str] = []  # the lines of the current row
    reader = csv.reader(_noted(StringIO(text, newline=""), taken), delimiter=separator)
    lines, rows, num_cells, num_bytes = [], [], 0, CHARACTER_BYTES * len(text)
    for row in _with_sound_quotes(path, reader, taken, separator):
        if row:
            lines.append(reader.line_num - len(taken) + 1)
            rows.append(row)
            num_cells += 1 + len(row)
        taken.clear()
        check_size(path, num_cells, limit, num_bytes)
        if len(row) > MAX_COLUMNS:
            save = "save it as a .npy array"
            too_large(path, f"has {len(row):,} columns in line {lines[-1]}, but the limit is {MAX_COLUMNS:,}; {save}")
    return lines, rows


def _noted(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _with_sound_quotes(path: Path, reader: Any, taken: Sequence[str], separator: str) -> Iterator[list[str]]:
    """The rows of a csv.reader; DataError for rows merged by a quote, even if broken rows are skipped."""
    width = 0
    while True:
        error = None
        try:
            row = next(reader, None)
        except csv.Error as raised:  # a cell longer than csv.field_size_limit
            row, error = None, raised
        begin = reader.line_num - len(taken) + 1
        # An unclosed quote reaches to the end of the file, which may be the same line.
        has_quote = len(taken) > 1 or (len(taken) == 1 and not taken[0].endswith(("\r", "\n")))
        problem = quote_problem("".join(taken), separator, width or 1, begin) if has_quote else ""
        if problem:
            raise DataError(f"{printable(path)}: {problem}; close the quote or remove it.")
        if error is not None:
            raise error
        if row is None:
            return
        width = width or len(row)
        yield row


def _without_empty_ends(rows: list[list[str]], width: int) -> tuple[list[list[str]], tuple[str, ...]]:
    """The rows without cells beyond the header's last column if they are empty in most rows; and a note."""
    are_longer = [len(cells) > width and not any(map(str.strip, cells[width:])) for cells in rows]
    if sum(are_longer) < LEAST_SHARE * len(rows):
        return rows, ()
    kept = [cells[:width] if is_longer else cells for cells, is_longer in zip(rows, are_longer, strict=True)]
    return kept, ("rows end with a separator that the header lacks; the empty cells after it are ignored",)


def _check_width(path: Path, width: int, num_rows: int, ragged: Mapping[int, Sequence[str]]) -> None:
    """DataError for a line above the header: nearly all rows have another width."""
    (usual, count), *_ = Counter(map(len, ragged.values())).most_common(1) or [(0, 0)]
    if count > 1 and count >= LEAST_SHARE * num_rows:
        refuse(path, header_problem(width, usual))


def _stripped(cell: str | None) -> str | None:
    return None if cell is None else cell.strip()


def _named(path: Path | str, header: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Names of all columns; an unnamed column is named by its position."""
    names = [name.strip() for name in header]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        refuse(path, f"has {quoted_list(twice)} twice; give columns different names")
    made_up = _made_up(names)
    named = [name or next(made_up) for name in names]
    new = [name for name, old in zip(named, names, strict=True) if not old]
    return named, (f"columns without a name are named {quoted_list(new)}",) if new else ()


def _made_up(names: Sequence[str]) -> Iterator[str]:
    known = set(names)
    for index, name in enumerate(names, start=1):
        if not name:
            made_up = f"column {index}"
            yield made_up + "_" * (made_up in known)


def _index_names(header: Sequence[str], names: Sequence[str]) -> frozenset[str]:
    return frozenset(name for old, name in zip(header, names, strict=True) if old.strip() in INDEX_NAMES)


def table_from_cells(path: Path | str, columns: Sequence[tuple[str, list[Cell]]]) -> RawTable:
    header = [name for name, _ in columns]
    names, notes = _named(path, header)
    cells = dict(zip(names, (values for _, values in columns), strict=True))
    return _checked(path, RawTable(printable(path), cells, notes=notes, unnamed=_index_names(header, names)))


def _checked(path: Path | str, table: RawTable) -> RawTable:
    if not table.num_rows:
        refuse(path, "has no rows")
    return table


def _values(values: Iterable[Any]) -> list[Cell]:
    cells = [to_cell(value) for value in values]
    is_category = str(getattr(values, "dtype", "")) == "category"  # of pandas
    return categories_as_text(cells) if is_category else cells


def categories_as_text(cells: list[Cell]) -> list[Cell]:
    return [cell_text(cell) if isinstance(cell, bool | int | float) else cell for cell in cells]


def to_cell(value: Any) -> Cell:
    """A value of any library as a number, text, boolean or None; unchanged if it is none of these."""
    if isinstance(value, np.generic):
        # For datetime64 and timedelta64, `item` returns a bare count of nanoseconds.
        value = _numpy_time(value) if value.dtype.kind in "mM" else value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return None if value != value else value
    if isinstance(value, str):
        return value.strip()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "total_seconds"):
        return float(value.total_seconds())
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if hasattr(value, "as_tuple") and hasattr(value, "is_finite"):  # Decimal
        return None if value.is_nan() else float(value)
    return value


def _numpy_time(value: np.generic) -> str | float | None:
    if np.isnat(value):
        return None
    return float(value / np.timedelta64(1, "s")) if value.dtype.kind == "m" else str(value)  # type: ignore[operator]


def cell_text(cell: Cell) -> str:
    """A cell as text, in the form of levels and labels: 5 and 5.0 are "5"."""
    is_number = isinstance(cell, int | float) and not isinstance(cell, bool) and np.isfinite(cell)
    return number_parsing.as_text(cell) if is_number else str(cell)


def quoted_list(names: Any) -> str:
    """Names quoted for a message; only the first eight."""
    names = list(names)
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return ", ".join(repr(name) for name in names[:8]) + more

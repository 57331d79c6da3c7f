"""Tables from CSV and Parquet: what kind each column is, and its cells as numbers.

    two different values            binary
    text, or true and false         categorical, up to 1,000 levels
    whole numbers from 0 upwards    counts, where they vary at least as much as a Poisson's
    other numbers                   numeric
    empty, NA, NaN, null, ?         missing

A column that tells nothing is left out: one with a single value, an identifier (text that hardly repeats), one without
any value. A model knows its columns; new rows are read by their names, and a level it has never seen counts as missing.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from lowerbound.data.conforming import numbered
from lowerbound.data.examples import Collection, Examples, RawArray
from lowerbound.data.reading import MAX_BYTES, reading, refuse, shown
from lowerbound.schema import MISSING_MARKERS, Column, ColumnKind, Schema

MISSING = frozenset(MISSING_MARKERS)
MAX_LEVELS = 1_000
MAX_COUNT = 1_000_000
MAX_CELLS = MAX_BYTES // 64  # a cell is a Python object for a while
SEPARATORS = ",;\t|"
SAMPLE = 64 * 1024  # characters that tell the separator
LEAST_REPEATED = 0.5  # of a text column's rows must share their value with another, or it is an identifier

Cell = str | float | bool | None


@dataclass(frozen=True, kw_only=True)
class ColumnSetting:
    """What is set about one column, in place of what its cells tell."""

    kind: ColumnKind | Literal[""] = ""
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What is chosen about reading a table."""

    label: str = ""  # the column that holds labels and is not part of x
    exclude: tuple[str, ...] = ()  # columns to leave out
    columns: Mapping[str, ColumnSetting] = field(default_factory=dict)
    missing_markers: tuple[str, ...] = ()  # in place of schema.MISSING_MARKERS
    decimal: Literal["", ".", ","] = ""  # empty finds it out
    separator: str = ""  # empty finds it out


STANDARD = TableOptions()


@dataclass(frozen=True)
class RawTable:
    """Columns by name, each cell a number, a text, or None where it is missing."""

    place: str  # what messages call it
    columns: dict[str, list[Cell]]
    label: str = ""  # the column that holds labels, where the file says so
    num_validation: int = 0  # of the rows before the last `num_test`, where they are a split of their own
    num_test: int = 0
    notes: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), []))


def read_csv(path: Path, options: TableOptions = STANDARD) -> RawTable:
    """A CSV file with a header, its separator found out; UTF-8."""
    with reading(path, "a CSV table"), path.open(encoding="utf-8-sig", newline="") as file:
        separator = _separator(file.read(SAMPLE))
        file.seek(0)
        rows = csv.reader(file, delimiter=separator)
        names = [name.strip() for name in next(rows, [])]
        _check_names(path, names)
        columns: list[list[Cell]] = [[] for _ in names]
        for number, row in enumerate(rows, start=2):
            if not row:
                continue
            if len(row) != len(names):
                refuse(path, f"has {len(row)} cells in line {number}, where its header names {len(names)} columns")
            if number * len(names) > MAX_CELLS:
                refuse(path, f"has more than {MAX_CELLS:,} cells; save it as Parquet, or train on a part")
            for column, cell in zip(columns, row, strict=True):
                column.append(_from_text(cell))
    return _checked(path, RawTable(shown(path), dict(zip(names, columns, strict=True))))


def read_parquet(path: Path, options: TableOptions = STANDARD) -> RawTable:
    """A Parquet file of numbers, texts and truth values."""
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        refuse(path, "is read with pyarrow, which is not installed; pip install 'lowerbound[tables]'")
    with reading(path, "a Parquet table"):
        about = parquet.read_metadata(path)
        check_size(path, about.num_rows * about.num_columns)
        table = parquet.read_table(path)
        _check_names(path, table.column_names)
        return from_values(path, {name: table[name].to_pylist() for name in table.column_names})


def check_size(path: Path | str, num_cells: int) -> None:
    """DataError for a table of more cells than can be held."""
    if num_cells > MAX_CELLS:
        refuse(path, f"has {num_cells:,} cells, accepted are {MAX_CELLS:,}; train on a part")


def from_values(path: Path | str, columns: Mapping[str, Sequence[Any]]) -> RawTable:
    """A table from columns of numbers, texts, truth values and dates; None is missing."""
    cells = {name: [_from_value(path, name, value) for value in values] for name, values in columns.items()}
    return _checked(path, RawTable(shown(path), cells))


def schema_of_table(table: RawTable, options: TableOptions) -> Schema:
    """What the columns are, as their cells tell; `options` go before them."""
    label = options.label or table.label
    if label and label not in table.columns:
        refuse(table.place, f"has no column {label!r} for labels; it has {_listed(table.columns)}")
    kinds = {name: _kind(name, cells) for name, cells in table.columns.items() if name != label}
    columns = tuple(column for column in kinds.values() if isinstance(column, Column))
    left_out = tuple(f"column {shown(name)} is left out: {why}" for name, why in kinds.items() if isinstance(why, str))
    if not columns:
        refuse(table.place, f"has no column to learn from; {'; '.join(left_out)}")
    return Schema(
        layout="table",
        shape=(len(columns),),
        dtype="",
        columns=columns,
        left_out=tuple(name for name, why in kinds.items() if isinstance(why, str)),
        label=label,
    )


def conformed_table(table: RawTable, schema: Schema, skip_broken: bool = False) -> Collection:
    """The rows as a model sees them; columns that are not the schema's are not read."""
    columns = schema.columns
    absent = [column.name for column in columns if column.name not in table.columns]
    if absent:
        refuse(table.place, f"lacks {_listed(absent)}, which the model was trained on")
    has_labels = schema.label in table.columns
    labels, names = numbered([_label(cell) for cell in table.columns[schema.label]]) if has_labels else (None, ())
    examples = Examples(rows_of(table, columns), 1.0, labels, layout="table", columns=columns)
    return Collection(
        examples,
        names,
        notes=table.notes,
        num_validation=table.num_validation,
        num_test=table.num_test,
        schema=schema,
    )


def _label(cell: Cell) -> str | None:
    return None if cell is None else _written(cell)


def as_array(table: RawTable) -> RawArray:
    """The cells as an array of numbers, a column for each; DataError for a cell that is none."""
    raise NotImplementedError


def rows_of(table: RawTable, columns: Sequence[Column]) -> Float32[np.ndarray, "row column"]:
    """The cells of `columns` as numbers; NaN where one is missing, or a level that the column does not have."""
    values = np.full((table.num_rows, len(columns)), np.nan, np.float32)
    for index, column in enumerate(columns):
        position = {level: float(place) for place, level in enumerate(column.levels)}
        for row, cell in enumerate(table.columns[column.name]):
            if column.levels:
                values[row, index] = position.get(_written(cell), np.nan) if cell is not None else np.nan
            elif isinstance(cell, float | bool):
                values[row, index] = cell
    return values


def _separator(sample: str) -> str:
    """The separator that gives the header the most cells, one that gives all lines as many before others."""
    # csv.Sniffer takes minutes for some files of a few thousand quotation marks.
    lines = sample.splitlines()
    lines = lines[:-1] if len(sample) == SAMPLE and len(lines) > 1 else lines  # the last is cut off

    def fits(separator: str) -> tuple[bool, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator) if row] or [0]
        return len(set(widths)) == 1 and widths[0] > 1, widths[0]

    return max(SEPARATORS, key=fits)


def _check_names(path: Path, names: Sequence[str]) -> None:
    if not names or not all(names):
        refuse(path, "has a column without a name; its first line must name every column")
    if all(isinstance(_from_text(name), float) for name in names):
        refuse(path, "begins with numbers; its first line must name the columns")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        refuse(path, f"has {_listed(twice)} twice; give columns different names")


def _checked(path: Path | str, table: RawTable) -> RawTable:
    if not table.num_rows:
        refuse(path, "has no rows")
    return table


def _from_text(cell: str) -> Cell:
    text = cell.strip()
    if text.lower() in MISSING:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return number if np.isfinite(number) else None


def _from_value(path: Path | str, name: str, cell: Any) -> Cell:
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, int | float):
        return float(cell) if np.isfinite(cell) else None
    if isinstance(cell, str):
        return None if cell.strip().lower() in MISSING else cell.strip()
    if hasattr(cell, "isoformat"):  # dates and times read as text, and so, mostly, as identifiers
        return str(cell.isoformat())
    try:
        return float(cell)  # decimals
    except (TypeError, ValueError):
        refuse(
            path, f"has cells of type {type(cell).__name__} in {name!r}; accepted are numbers, texts and truth values"
        )


def _kind(name: str, cells: Sequence[Cell]) -> Column | str:
    """The column, or why it is left out."""
    known = [cell for cell in cells if cell is not None]
    different = Counter(known)
    if not known:
        return "it has no value"
    if len(different) == 1:
        return "all its values are the same"
    is_number = all(isinstance(cell, float) for cell in known)
    if len(different) == 2:
        return Column(name=name, kind="binary", levels=_levels(different))
    if not is_number:
        repeated = sum(count for count in different.values() if count > 1)
        if len(different) > MAX_LEVELS or repeated < LEAST_REPEATED * len(known):
            return f"its {len(different):,} different texts are identifiers rather than categories"
        return Column(name=name, kind="categorical", levels=_levels(different))
    numbers = np.array(known, np.float64)
    is_whole = bool(((numbers >= 0) & (numbers <= MAX_COUNT) & (numbers == numbers.round())).all())
    # A count varies at least as much as a Poisson's; years or sizes that vary less are measurements.
    is_count = is_whole and numbers.var() >= numbers.mean()
    return Column(name=name, kind="count" if is_count else "numeric")


def _levels(different: Iterable[Cell]) -> tuple[str, ...]:
    numbers = sorted(cell for cell in different if isinstance(cell, float) and not isinstance(cell, bool))
    others = sorted(_written(cell) for cell in different if not isinstance(cell, float))
    return (*(_written(number) for number in numbers), *others)


def _written(cell: Cell) -> str:
    if isinstance(cell, float) and cell == int(cell):
        return str(int(cell))
    return str(cell)


def _listed(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(repr(name) for name in names[:8]) + more

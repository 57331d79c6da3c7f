"""What the columns of a training table are, as their cells tell. Found once; later reading goes by the schema.

    missing       empty, and the usual markers (schema.MISSING_MARKERS, or data.missing_markers)
    numeric       at least 95 % of the other cells are numbers; the rest are missing markers of that column, and named
    count         of these, whole numbers from 0 upwards that are likelier as counts than as rounded measurements
    binary        two different values, numbers or texts
    categorical   text, or true and false, up to 1,000 levels; text because a number is padded with zeros (00501)
    left out      an identifier (text that hardly repeats, whole numbers that count the rows), an index without a name,
                  a column with a single value or none

`data.columns.NAME.kind` and `.levels` go before all of this, `data.exclude` leaves a column out. The decimal sign of a
CSV is the comma where its separator is another character and its numbers have commas; `data.decimal` sets it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Float

from lowerbound.data import numbers
from lowerbound.data.count_fit import is_count
from lowerbound.data.reading import refuse
from lowerbound.data.scales import LARGEST, offset_of
from lowerbound.data.tables import Cell, ColumnSetting, RawTable, TableOptions, listed, written
from lowerbound.errors import DataError, UnknownName
from lowerbound.schema import MISSING_MARKERS, Column, Schema
from lowerbound.storage import toml_key

LEAST_NUMBERS = 0.95  # of a column's known cells, for it to be numeric
LEAST_ROWS_OF_AN_ID = 10  # numbers 1..n of fewer rows may be a small table's data
MAX_LEVELS = 1_000
MAX_COUNT = 1_000_000
LEAST_REPEATED = 0.5  # of a text column's rows must share their value with another, or it is an identifier
DECIMAL_SAMPLE = 10_000  # cells of a column that tell the decimal sign
MOST_NAMED = 8  # exceptional texts in a note


@dataclass(frozen=True)
class Inferred:
    """A table's schema, and what a person should know of how it was found."""

    schema: Schema
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """A column, or None where it is left out, and why; or which of its cells count as missing."""

    column: Column | None
    note: str = ""


@dataclass(frozen=True)
class KnownCells:
    """The cells of one column that are not missing, and their rows."""

    table: RawTable
    name: str
    rows: Sequence[int]
    cells: Sequence[Cell]
    decimal: numbers.Decimal

    @cached_property
    def plain(self) -> list[float | None]:
        """The numbers that cells are beyond doubt; texts are none where a type says that they are texts."""
        return [self._number(cell, self.table.is_text, numbers.plain_number) for cell in self.cells]

    @cached_property
    def numbers(self) -> list[float | None]:
        """The same, ambiguous texts such as 3e2 included."""
        pairs = zip(self.cells, self.plain, strict=True)
        return [self._number(cell, True, numbers.number) if number is None else number for cell, number in pairs]

    @cached_property
    def values(self) -> Float[np.ndarray, " cell"]:
        """The same in float64; NaN for a text that is not a number, infinity for its word."""
        pairs = zip(self.cells, self.numbers, strict=True)
        words = (np.inf if number is None and _says_infinity(cell) else number for cell, number in pairs)
        return np.array([np.nan if number is None else number for number in words], np.float64)

    @cached_property
    def texts(self) -> list[str]:
        """The cells as levels have them."""
        return [written(cell) for cell in self.cells]

    def refuse(self, index: int, sentence: str) -> NoReturn:
        """DataError about the known cell at `index`."""
        cell, where = str(self.cells[index])[:60], self.table.where(self.rows[index], self.name)
        raise DataError(f"{where} is {cell!r}; {sentence}, {way_out(self.name)}.")

    def _number(self, cell: Cell, texts_too: bool, parse) -> float | None:  # type: ignore[no-untyped-def]
        if isinstance(cell, str):
            return parse(cell, self.decimal) if texts_too else None
        return _as_float(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else None


def schema_of_table(table: RawTable, options: TableOptions) -> Schema:
    """What the columns are, as their cells tell; `options` go before them."""
    return inferred(table, options).schema


def inferred(table: RawTable, options: TableOptions) -> Inferred:
    """The schema of a table, and notes on columns that are left out and cells that count as missing."""
    label = options.label or table.label
    _check_names(table, options, label)
    if len(table.unreadable) == table.num_rows:
        raise DataError(f"{next(iter(table.unreadable.values()))}.")
    markers = lower_case(options.missing_markers) if options.missing_markers else MISSING_MARKERS
    names = [name for name in table.columns if name != label and name not in options.exclude]
    decimal = options.decimal or decimal_of(table, names)
    known = (known_cells(table, name, markers, decimal) for name in names)
    findings = {cells.name: _finding(cells, options.columns.get(cells.name, ColumnSetting())) for cells in known}
    columns = tuple(finding.column for finding in findings.values() if finding.column is not None)
    notes = tuple(f"column {name!r} {finding.note}" for name, finding in findings.items() if finding.note)
    if not columns:
        refuse(table.place, f"has no column to learn from; {'; '.join(notes) or 'all are excluded'}")
    used = {column.name for column in columns}
    schema = Schema(
        layout="table",
        shape=(len(columns),),
        dtype="",
        columns=columns,
        left_out=tuple(name for name in table.columns if name not in used and name != label),
        label=label,
        missing_markers=markers,
        decimal=decimal,
        separator=options.separator,
    )
    return Inferred(schema, notes)


def known_cells(table: RawTable, name: str, markers: Sequence[str], decimal: numbers.Decimal) -> KnownCells:
    """The cells of a column that hold something."""
    missing = frozenset(markers) | {""}
    cells = table.columns[name]
    rows = [row for row, cell in enumerate(cells) if not is_missing(cell, missing)]
    return KnownCells(table, name, rows, [cells[row] for row in rows], decimal)


def is_missing(cell: Cell, markers: frozenset[str]) -> bool:
    """Whether a cell holds nothing, or a marker that stands for it."""
    return cell is None or (isinstance(cell, str) and cell.lower() in markers)


def lower_case(markers: Sequence[str]) -> tuple[str, ...]:
    """Markers as they are compared: capitals and spaces around them do not matter."""
    return tuple(dict.fromkeys(marker.strip().lower() for marker in markers))


def decimal_of(table: RawTable, names: Sequence[str]) -> numbers.Decimal:
    """The decimal sign of a CSV: a comma where numbers have it and the separator is another character."""
    if table.decimal:
        return table.decimal
    if not table.is_text or table.separator == ",":
        return "."
    with_comma = [name for name in names if _is_written_with(table, name, ",")]
    with_point = [name for name in names if _is_written_with(table, name, ".")]
    if with_comma and with_point:
        refuse(
            table.place,
            f"has decimal commas in column {with_comma[0]!r} and decimal points in column {with_point[0]!r}; set "
            "data.decimal, or leave one of them out (data.exclude)",
        )
    return "," if with_comma else "."


def way_out(name: str) -> str:
    """How a column that cannot be read is left out."""
    return f'or leave the column out: --set data.exclude=["{name}"]'


def _is_written_with(table: RawTable, name: str, decimal: numbers.Decimal) -> bool:
    cells = list(islice(filter(None, table.columns[name]), DECIMAL_SAMPLE))
    cells = [cell for cell in cells if not is_missing(cell, frozenset(MISSING_MARKERS))]
    has_sign = any(decimal in cell for cell in cells)
    return has_sign and _share([numbers.plain_number(cell, decimal) for cell in cells]) >= LEAST_NUMBERS


def _check_names(table: RawTable, options: TableOptions, label: str) -> None:
    if label and label not in table.columns:
        refuse(table.place, f"has no column {label!r} for labels; it has {listed(table.columns)}")
    for name in (*options.exclude, *options.columns):
        if name not in table.columns:
            raise UnknownName("column", name, table.columns)


def _finding(known: KnownCells, setting: ColumnSetting) -> Finding:
    """What one column is."""
    for index, cell in enumerate(known.cells):
        if not isinstance(cell, str | bool | int | float):
            known.refuse(index, f"cells of type {type(cell).__name__} are not accepted; give numbers or texts")
    if setting.kind or setting.levels:
        return Finding(_as_set(known, setting))
    if not known.cells:
        return Finding(None, "is left out: it has no value")
    return _numeric_finding(known) if _is_numeric(known) else _text_finding(known)


def _is_numeric(known: KnownCells) -> bool:
    if known.table.is_text and any(cell[0] in "+-−0" and numbers.is_padded(cell) for cell in known.cells):
        return False
    num_infinite = int(np.isinf(known.values).sum())
    num_plain = len(known.cells) - known.plain.count(None)
    return num_plain > 0 and num_plain >= LEAST_NUMBERS * (len(known.cells) - num_infinite)


def _numeric_finding(known: KnownCells) -> Finding:
    """A column of numbers, its few other texts named and missing."""
    _check_magnitude(known)
    is_number = ~np.isnan(known.values)
    column, why = _column_of_numbers(known, known.values[is_number])
    if column is None:
        return Finding(None, f"is left out: {why}")
    exceptions = Counter(written(known.cells[index]) for index in np.flatnonzero(~is_number).tolist())
    return Finding(replace(column, missing_markers=tuple(sorted(exceptions))), _about(known, exceptions))


def _column_of_numbers(known: KnownCells, values: Float[np.ndarray, " row"]) -> tuple[Column | None, str]:
    different = np.unique(values)
    if len(different) == 1:
        return None, "all its values are the same"
    if (why := _why_index(known, values, different)) != "":
        return None, why
    if len(different) == 2:
        return Column(name=known.name, kind="binary", levels=tuple(map(numbers.as_text, different.tolist()))), ""
    is_counted = bool(_are_counts(values).all()) and is_count(values)
    return _count(known.name) if is_counted else _numeric(known.name, values), ""


def _why_index(known: KnownCells, values: Float[np.ndarray, " row"], different: Float[np.ndarray, " value"]) -> str:
    """Why whole numbers, all different, number the rows; empty where they do not."""
    num_rows = known.table.num_rows
    if len(different) != num_rows or not (values == np.rint(values)).all():
        return ""
    if known.name in known.table.unnamed:
        return "it has no name and all its whole numbers are different, an index"
    is_run = different[0] in (0, 1) and different[-1] - different[0] == num_rows - 1
    if is_run and num_rows >= LEAST_ROWS_OF_AN_ID:
        return f"it numbers the rows from {different[0]:.0f} to {different[-1]:.0f}; set its kind to keep it"
    return ""


def _text_finding(known: KnownCells) -> Finding:
    """A column of texts: levels, or an identifier."""
    different, num_known = Counter(known.texts), len(known.texts)
    hint = numbers.common_hint(different, known.decimal, LEAST_NUMBERS) if known.table.is_text else ""
    if len(different) == 1:
        return Finding(None, "is left out: all its values are the same")
    if len(different) == 2:
        return Finding(Column(name=known.name, kind="binary", levels=_levels(different)))
    repeated = sum(count for count in different.values() if count > 1)
    if len(different) > MAX_LEVELS or repeated < LEAST_REPEATED * num_known:
        why = f"its {len(different):,} different texts are identifiers rather than categories"
        return Finding(None, f"is left out: {why}{_bracketed(hint)}")
    column = Column(name=known.name, kind="categorical", levels=_levels(different))
    return Finding(column, f"is categorical{_bracketed(hint)}" if hint else "")


def _as_set(known: KnownCells, setting: ColumnSetting) -> Column:
    """The column of a kind, or with levels, that were set; DataError for the first cell that does not fit."""
    if not known.cells and not setting.levels:
        refuse(known.table.place, f"has no value in column {known.name!r}; {way_out(known.name)}")
    if setting.levels or setting.kind in ("binary", "categorical"):
        return _levels_as_set(known, setting)
    _check_magnitude(known)
    for index in np.flatnonzero(np.isnan(known.values)).tolist():
        known.refuse(index, f"it is not a number, and the column's kind is set to {setting.kind!r}")
    if setting.kind == "numeric":
        return _numeric(known.name, known.values)
    for index in np.flatnonzero(~_are_counts(known.values)).tolist():
        known.refuse(index, "counts are whole numbers from 0")
    return _count(known.name)


def _levels_as_set(known: KnownCells, setting: ColumnSetting) -> Column:
    texts = _texts_as_levels(known)
    levels = setting.levels or _levels(texts)
    kind = setting.kind or ("binary" if len(levels) == 2 else "categorical")
    if kind not in ("binary", "categorical"):
        refuse(known.table.place, f"cannot have levels in column {known.name!r}, whose kind is set to {kind!r}")
    if kind == "binary" and len(levels) != 2:
        third = next((i for i, text in enumerate(texts) if text not in levels[:2]), 0)
        known.refuse(third, f"a binary column has 2 different values, this one has {len(levels):,}")
    if len(levels) > MAX_LEVELS:
        refuse(known.table.place, f"has {len(levels):,} levels in column {known.name!r}, accepted are {MAX_LEVELS:,}")
    for index, text in enumerate(texts):
        if text not in levels and known.texts[index] not in levels:
            known.refuse(index, f"the levels set are {listed(levels)}")
    return Column(name=known.name, kind=kind, levels=levels)


def _texts_as_levels(known: KnownCells) -> list[str]:
    """5 and 5.0 are one level; 05 is another."""
    pairs = zip(known.texts, known.plain, strict=True)
    return [text if number is None else numbers.as_text(number) for text, number in pairs]


def _count(name: str) -> Column:
    return Column(name=name, kind="count", decimals=0)


def _numeric(name: str, values: Float[np.ndarray, " row"]) -> Column:
    return Column(name=name, kind="numeric", offset=offset_of(values), decimals=numbers.num_decimals(values))


def _about(known: KnownCells, exceptions: Mapping[str, int]) -> str:
    if not exceptions:
        return ""
    num_cells, num_known = sum(exceptions.values()), len(known.cells)
    setting = f"'data.columns.{toml_key(known.name)}.kind=categorical'"
    return (
        f"is numeric in {num_known - num_cells:,} of {num_known:,} cells; the others are read as missing: "
        f"{listed(sorted(exceptions))} (to keep them: --set {setting})"
    )


def _bracketed(hint: str) -> str:
    return f" (its cells look like numbers: {hint})" if hint else ""


def _levels(texts: Sequence[str] | Mapping[str, int]) -> tuple[str, ...]:
    """Different texts: numbers in their order, then the others in theirs."""
    plain = {text: numbers.plain_number(text) for text in texts}
    return tuple(sorted(plain, key=lambda text: (plain[text] is None, plain[text] or 0.0, text)))


def _check_magnitude(known: KnownCells) -> None:
    for index in np.flatnonzero(np.abs(known.values) >= LARGEST).tolist():
        if np.isinf(known.values[index]):
            known.refuse(index, "numbers must be finite; leave the cell empty")
        known.refuse(index, "numbers must be below 1e18; divide the column")


def _says_infinity(cell: Cell) -> bool:
    return isinstance(cell, str) and numbers.is_infinite(cell)


def _as_float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return np.inf if number > 0 else -np.inf


def _are_counts(values: Float[np.ndarray, " cell"]) -> Bool[np.ndarray, " cell"]:
    return (values >= 0) & (values <= MAX_COUNT) & (values == np.rint(values))


def _share(found: Sequence[float | None]) -> float:
    return 1 - found.count(None) / len(found) if found else 0.0

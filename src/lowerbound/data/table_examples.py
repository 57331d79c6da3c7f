"""Rows of a table to examples, by the schema of its columns: parsing cells, missing and unreadable cells.

A cell is missing if it is empty or a marker of the schema or the column. Any other invalid cell is unreadable: it is
refused with its row and column or, with skip_broken, its row is kept without values and listed in
`Collection.unreadable`, so that row numbers stay those of the file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from lowerbound.data import number_parsing
from lowerbound.data.array_examples import encode_labels
from lowerbound.data.decimal_signs import infer_decimal_sign
from lowerbound.data.examples import Collection, Examples, Given
from lowerbound.data.factors import encode_factors
from lowerbound.data.known_cells import KnownCells, is_missing, kept_markers, known_cells, lower_case
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import refuse_mismatch
from lowerbound.data.tables import STANDARD, Cell, RawTable, TableOptions, cell_text, quoted_list
from lowerbound.foundation.errors import SchemaError
from lowerbound.foundation.schema import LARGEST, LARGEST_COUNT, MISSING_MARKERS, Column, Schema
from lowerbound.foundation.text import pluralise

WHOLE = f"whole numbers from 0 to {LARGEST_COUNT:,}"


class Unreadable(Exception):
    """A cell that its column does not accept, with the reason."""


def conform_table(table: RawTable, schema: Schema, skip_broken: bool = False, given: Given | None = None) -> Collection:
    """The rows parsed by the schema's columns, found by name; DataError for the first cell that does not fit.

    `given` has the context of each row, for a conditional model.
    """
    given = given or Given()
    names = match_columns(table, schema)
    values, unreadable = parse_cells(table, schema, names)
    unreadable = {**given.problems, **unreadable}
    reasons = tuple(unreadable[row] for row in sorted(unreadable))
    if reasons and not skip_broken:
        raise SchemaError(f"{reasons[0]}.")
    if len(reasons) == table.num_rows:
        raise SchemaError(f"{table.place}: no row can be read; the first reason: {reasons[0]}.")
    values[list(unreadable)] = np.nan
    label = table.columns.get(schema.label)
    labels, label_names = (
        encode_labels([format_label(cell, schema) for cell in label]) if label is not None else (None, ())
    )
    # Those of unreadable rows, which are never used, are those of a readable one.
    readable = next(row for row in range(table.num_rows) if row not in unreadable)
    rows = [readable if row in unreadable else row for row in range(table.num_rows)]
    factors, notes = encode_factors(table.place, table.factors, rows, schema.conditions)
    return Collection(
        Examples(values, 1.0, labels, layout="table", columns=schema.columns, factors=factors, context=given.of()),
        label_names,
        skipped=reasons,
        notes=(*table.notes, *_notes(table, schema, names), *notes),
        num_validation=table.num_validation,
        num_test=table.num_test,
        schema=schema,
        place=table.place,
        unreadable=unreadable,
    )


def match_columns(table: RawTable, schema: Schema) -> list[str]:
    """The table's name of each schema column: matched by name or, for a model of an array, by position."""
    names = [column.name for column in schema.columns]
    absent = [name for name in names if name not in table.columns]
    if schema.dtype and absent:
        names = [name for name in table.columns if name not in table.unnamed]
        if len(names) != len(schema.columns):
            trained = f"the model was trained on an array with {len(schema.columns)}"
            came = f"has {pluralise(len(names), 'column')}, but {trained}"
            refuse_mismatch(table.place, f"{came}; give the same columns in the same order")
        return names
    if absent:
        has = quoted_list(table.columns)
        refuse_mismatch(table.place, f"lacks {quoted_list(absent)}, which the model was trained on; it has {has}")
    return names


def parse_cells(
    table: RawTable, schema: Schema, names: Sequence[str]
) -> tuple[Float32[np.ndarray, "row column"], dict[int, str]]:
    """The cells as numbers, NaN where missing; and the reason for each unreadable row."""
    values = np.full((table.num_rows, len(names)), np.nan, np.float32)
    unreadable = dict(table.unreadable)
    for index, (column, name) in enumerate(zip(schema.columns, names, strict=True)):
        cells, problems = read_cells(table, name, column, schema)
        values[:, index] = cells - column.offset
        for row, why in problems.items():
            unreadable.setdefault(row, f"{table.where(row, name)} {why}")
    return values, unreadable


def parse_rows(
    table: RawTable, columns: Sequence[Column], markers: Sequence[str] = MISSING_MARKERS
) -> Float32[np.ndarray, "row column"]:
    """The cells of `columns` as numbers; NaN where missing or invalid."""
    schema = Schema(
        layout="table", shape=(len(columns),), dtype="", columns=tuple(columns), missing_markers=tuple(markers)
    )
    return parse_cells(table, schema, [column.name for column in columns])[0]


def table_to_array(table: RawTable, options: TableOptions = STANDARD) -> RawArray:
    """The cells as a numeric array, one column for each; DataError for a cell that is not a number."""
    label = options.label or table.label
    left_out = {label, *options.exclude, *table.unnamed}
    names = [name for name in table.columns if name not in left_out]
    if table.unreadable:
        raise SchemaError(f"{next(iter(table.unreadable.values()))}.")
    decimal = options.decimal or infer_decimal_sign(table, names)
    markers = lower_case(options.missing_markers)
    known = [known_cells(table, name, markers, decimal) for name in names]
    columns = [_all_numbers(cells) for cells in known]
    is_integer = all(_are_integers(cells) for cells in known)
    labels = [format_label(cell, None) for cell in table.columns[label]] if label in table.columns else None
    return RawArray(
        place=table.place,
        values=np.stack(columns, axis=1).astype(np.int64 if is_integer else np.float64),
        labels=labels,
        factors=table.factors,
        notes=table.notes,
        num_validation=table.num_validation,
        num_test=table.num_test,
    )


def format_label(cell: Cell, schema: Schema | None) -> str | None:
    """A label as text, 5 and 5.0 alike; None if missing."""
    markers = MISSING_MARKERS if schema is None else schema.missing_markers
    if is_missing(cell, frozenset(markers) | {""}):
        return None
    if isinstance(cell, str):
        whole, point, zeros = cell.partition(".")
        return (
            whole if point and zeros.strip("0") == "" and number_parsing.parse_plain_number(whole) is not None else cell
        )
    return cell_text(cell)


Reader = Callable[[Cell], float]


def read_cells(
    table: RawTable, name: str, column: Column, schema: Schema
) -> tuple[Float64[np.ndarray, " row"], dict[int, str]]:
    """The cells under a name as numbers, NaN where missing or unreadable; and the reason for each unreadable one."""
    cells, read = table.columns[name], _reader(column, schema)
    values = np.full(len(cells), np.nan)
    problems = {}
    for row, cell in enumerate(cells):
        try:
            values[row] = read(cell)
        except Unreadable as why:
            problems[row] = f"is {str(cell)[:60]!r}; {why}"
    return values, problems


def _reader(column: Column, schema: Schema) -> Reader:
    """A function that parses a cell of this column, NaN if missing; it raises Unreadable."""
    markers, kept = frozenset(schema.missing_markers) | {""}, kept_markers(schema.missing_markers, column.levels)
    read = _Levels(column.levels, schema.decimal) if column.levels else _Number(column.kind == "count", schema.decimal)

    def reader(cell: Cell) -> float:
        if kept and isinstance(cell, str) and cell in kept:
            return read(cell)
        if is_missing(cell, markers) or (column.missing_markers and cell_text(cell) in column.missing_markers):
            return np.nan
        return read(cell)

    return reader


@dataclass(frozen=True)
class _Number:
    """Parser of a numeric or count column."""

    is_count: bool
    decimal: number_parsing.Decimal

    def __call__(self, cell: Cell) -> float:
        value = self._value(cell)
        if not abs(value) < LARGEST:
            raise Unreadable("accepted: finite numbers below 1e18")
        if self.is_count and not (0 <= value <= LARGEST_COUNT and value == round(value)):
            raise Unreadable(f"counts are {WHOLE}")
        return value

    def _value(self, cell: Cell) -> float:
        if isinstance(cell, int | float):
            return float(cell) if abs(cell) < LARGEST else np.inf
        value = number_parsing.parse_number(cell, self.decimal) if isinstance(cell, str) else None
        if value is None:
            raise Unreadable(self._why_not(cell))
        return value

    def _why_not(self, cell: Cell) -> str:
        hint = number_parsing.number_hint(cell, self.decimal) if isinstance(cell, str) else ""
        accepted = WHOLE if self.is_count else "numbers"
        return hint or f"accepted: {accepted}, or an empty cell for a missing one"


class _Levels:
    """Parser of a binary or categorical column to level indices; 5, 5.0 and "5" are one level."""

    def __init__(self, levels: Sequence[str], decimal: number_parsing.Decimal) -> None:
        self.levels, self.decimal = levels, decimal
        self.positions = {level: float(position) for position, level in enumerate(levels)}
        plain = {level: number_parsing.parse_plain_number(level) for level in levels}
        self.by_number = {plain[level]: position for level, position in self.positions.items()}
        self.by_number.pop(None, None)
        words = {level.lower(): position for level, position in self.positions.items()}
        self.truth = words if set(words) == {"false", "true"} else {}

    def __call__(self, cell: Cell) -> float:
        position = self.positions.get(cell) if isinstance(cell, str) else None
        if position is None:
            position = self._otherwise(cell)
        if position is None:
            raise Unreadable(f"accepted: {quoted_list(self.levels)}, or an empty cell for a missing one")
        return position

    def _otherwise(self, cell: Cell) -> float | None:
        if isinstance(cell, bool) or (isinstance(cell, str) and self.truth):
            return self.truth.get(str(cell).lower()) if self.truth else self.by_number.get(float(cell))
        if isinstance(cell, str):
            return self.by_number.get(number_parsing.parse_number(cell, self.decimal))
        return self.by_number.get(cell) if isinstance(cell, int | float) else None


def _all_numbers(known: KnownCells) -> Float64[np.ndarray, " row"]:
    if len(known.cells) < known.table.num_rows:
        row = next(row for row, known_row in enumerate([*known.rows, -1]) if row != known_row)
        where = known.table.where(row, known.name)
        raise SchemaError(f"{where} is missing; an array has a number in every cell (data.layout).")
    for index, number in enumerate(known.plain):
        if number is None:
            known.refuse(index, "an array contains only numbers (data.layout)")
    return np.array(known.plain, np.float64)


def _are_integers(known: KnownCells) -> bool:
    """Whether all cells are integers, by type or as text."""
    return all(cell.lstrip("+-−").isdigit() if isinstance(cell, str) else isinstance(cell, int) for cell in known.cells)


def _notes(table: RawTable, schema: Schema, names: Sequence[str]) -> tuple[str, ...]:
    given = {column.name for column in schema.conditions}
    expected = {*names, *given, *schema.left_out, schema.label, *table.unnamed}
    extra = [name for name in table.columns if name not in expected]
    return (f"unknown columns are ignored: {quoted_list(extra)}",) if extra else ()


def drop_unreadable(collection: Collection) -> Collection:
    """Only the readable rows, for training, where row numbers no longer matter."""
    if not collection.unreadable:
        return collection
    kept = np.setdiff1d(np.arange(len(collection.examples)), list(collection.unreadable))
    read = collection.subset(kept)
    return replace(read, ids=read.ids if collection.ids else (), unreadable={})

"""The cells of a table as levels and as text, and the way back to exactly the text that was given.

Cells of the model's columns are coded as levels. A cell that is not written as its level usually is (5.0 among whole
numbers, one of several ways to say missing) is kept as text, as are the columns that the model does not know.
"""

import json
import lzma
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lowerbound.coding.element_coding import MOST_COUNTS, Levels
from lowerbound.coding.table_coding import MISSING, MOST_NUMBERS, SHARES, CodedColumn, coded_column
from lowerbound.data import number_parsing
from lowerbound.data.column_writers import as_texts, csv_form, drawn_columns
from lowerbound.data.examples import Collection
from lowerbound.data.table_examples import match_columns, read_cells
from lowerbound.data.tables import RawTable, cell_text
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.foundation.schema import Column, Schema

Texts = Mapping[str, Sequence[str]]
"""The columns of a table by name, in order, every cell as text; empty for a missing one, unless a marker was given."""

Style = Literal["fixed", "shortest", "float"]
STYLES: tuple[Style, ...] = ("fixed", "shortest", "float")
"""Numbers with all decimals of their column (1.50, 2.00), with those that they need (1.5, 2), or one at least (2.0)."""

MAX_TEXTS = 2**28  # bytes of a block's texts, unpacked
MEMORY = 2**28  # bytes for unpacking


@dataclass(frozen=True, kw_only=True)
class StoredTable:
    """How levels are written as cells: that of each column of the model, and the table's own columns and signs."""

    names: tuple[str, ...]  # of all columns, in order
    columns: tuple[CodedColumn, ...]  # of the model
    styles: tuple[Style, ...]  # in which each column writes most of its numbers
    missing: tuple[str, ...]  # how each column says missing
    separator: str = ","
    decimal: str = "."


def table_texts(table: RawTable) -> dict[str, list[str]]:
    """All cells as text."""
    return {name: ["" if cell is None else cell_text(cell) for cell in cells] for name, cells in table.columns.items()}


def table_of_rows(collection: Collection) -> RawTable:
    """The rows of a data set that is no longer at hand as text, with the digits that they were stored with."""
    columns = drawn_columns(collection.examples.values, collection.examples.columns)
    return RawTable(collection.place, {name: as_texts(cells) for name, cells in columns.items()}, is_text=True)


def levels_of_table(table: RawTable, schema: Schema) -> tuple[Levels, StoredTable, Texts]:
    """The levels of the model's columns, how to write them, and all texts; DataError for what has no level."""
    if schema.dtype:
        raise UsageError(
            "the run was trained on an array with missing cells, whose numbers have no levels; lossless compression "
            "takes tables, and arrays of levels or counts."
        )
    match_columns(table, schema)
    texts = table_texts(table)
    levels = np.zeros((table.num_rows, len(schema.columns)), np.int64)
    coded, styles, missing = [], [], []
    for at, column in enumerate(schema.columns):
        numbers, _ = read_cells(table, column.name, column, schema)
        try:
            one, levels[:, at] = coded_column(column, numbers)
        except DataError as error:
            raise DataError(f"{table.place}: {error}") from error
        written = texts[column.name]
        absent = Counter(text for text, level in zip(written, levels[:, at], strict=True) if level == MISSING)
        usual = absent.most_common(1)[0][0] if absent else ""
        ways = {style: _written(column, one, levels[:, at], style, usual, schema.decimal) for style in STYLES}
        alike = {style: sum(map(str.__eq__, cells, written)) for style, cells in ways.items()}
        coded.append(one)
        styles.append(max(STYLES, key=alike.__getitem__))
        missing.append(usual)
    stored = StoredTable(
        names=tuple(texts),
        columns=tuple(coded),
        styles=tuple(styles),
        missing=tuple(missing),
        separator=table.separator or csv_form(schema).separator,
        decimal=schema.decimal,
    )
    return levels, stored, texts


def _written(
    column: Column, coded: CodedColumn, levels: np.ndarray, style: Style, missing: str, decimal: str
) -> list[str]:
    """Levels as a table usually writes them."""
    if column.levels:
        by_level = [*(_level(text, style, decimal) for text in column.levels), missing]
        return [by_level[level] for level in levels.tolist()]
    write = {"fixed": f"%.{coded.decimals}f".__mod__, "shortest": number_parsing.as_text, "float": repr}[style]
    numbers = coded.numbers(levels).tolist()
    return [missing if number != number else write(number).replace(".", decimal) for number in numbers]


def _level(text: str, style: Style, decimal: str) -> str:
    """A level's text, or if it is a number this as a float."""
    number = number_parsing.parse_plain_number(text) if style == "float" else None
    return text if number is None else repr(number).replace(".", decimal)


def packed_texts(texts: Texts, levels: Levels, stored: StoredTable, columns: Sequence[Column]) -> bytes:
    """What levels do not say of some rows: columns that the model does not know, and cells written otherwise."""
    others = {name: list(cells) for name, cells in texts.items() if name not in {column.name for column in columns}}
    usual = _usual(levels, stored, columns)
    patches = {
        name: [[row, given] for row, (given, text) in enumerate(zip(texts[name], cells, strict=True)) if given != text]
        for name, cells in usual.items()
    }
    patches = {name: cells for name, cells in patches.items() if cells}
    if not others and not patches:
        return b""
    content = json.dumps([others, patches], separators=(",", ":"), ensure_ascii=False).encode()
    return lzma.compress(content, format=lzma.FORMAT_ALONE, preset=9 | lzma.PRESET_EXTREME)


def restored_texts(
    packed: bytes, levels: Levels, stored: StoredTable, columns: Sequence[Column]
) -> dict[str, list[str]]:
    """The cells of some rows; DataError for damaged texts."""
    others, patches = _unpacked(packed) if packed else ({}, {})
    found = {**others, **_usual(levels, stored, columns)}
    try:
        for name, cells in patches.items():
            for row, text in cells:
                found[name][row] = text
        ordered = {name: found[name] for name in stored.names}
        if not all(len(cells) == len(levels) and _are_texts(cells) for cells in ordered.values()):
            raise ValueError
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError("its texts are not those of its rows") from error
    return ordered


def _are_texts(cells: Sequence[str]) -> bool:
    return all(isinstance(cell, str) for cell in cells)


def _usual(levels: Levels, stored: StoredTable, columns: Sequence[Column]) -> dict[str, list[str]]:
    parts = zip(columns, stored.columns, stored.styles, stored.missing, strict=True)
    return {
        column.name: _written(column, coded, levels[:, at], style, missing, stored.decimal)
        for at, (column, coded, style, missing) in enumerate(parts)
    }


def _unpacked(packed: bytes) -> tuple[dict[str, list[str]], dict[str, list[tuple[int, str]]]]:
    try:
        unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=MEMORY)
        others, patches = json.loads(unpacker.decompress(packed, MAX_TEXTS))
        if not isinstance(others, dict) or not isinstance(patches, dict):
            raise ValueError
    except (lzma.LZMAError, ValueError, TypeError, RecursionError) as error:
        raise DataError("its texts cannot be read") from error
    return others, patches


def stored_problem(stored: StoredTable, columns: Sequence[Column]) -> str:
    """What of a header's table cannot be of a model with these columns; empty if it can."""
    if not len(columns) == len(stored.columns) == len(stored.styles) == len(stored.missing):
        return "it states another number of columns than its model has"
    if len(set(stored.names)) != len(stored.names) or not {column.name for column in columns} <= set(stored.names):
        return "it lacks columns of its model"
    for column, coded in zip(columns, stored.columns, strict=True):
        most = column.num_levels or (MOST_COUNTS if column.kind == "count" else MOST_NUMBERS)
        is_sound = 0 < coded.num_levels <= most and abs(coded.low) <= 2**53 and 0 <= coded.decimals <= 22
        is_plain = column.kind == "numeric" or not (coded.low or coded.decimals)
        if not (is_sound and is_plain and 0 <= coded.missing <= SHARES):
            return f"it states levels that the column {column.name!r} cannot have"
    return ""

"""Filling missing cells of a CSV or Parquet file, with everything else copied unchanged.

CSV       the text of a filled cell is replaced in place; every other character is copied, including quotation marks,
          line ends, empty lines, byte order mark and encoding
Parquet   a filled cell takes the type of its column; known cells, types, other columns and their order are kept
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_EVEN
from decimal import Decimal as Exact
from io import BytesIO
from pathlib import Path
from typing import Any

from lowerbound.data.csv_text import decode_csv, replace_cells
from lowerbound.data.parquet import read_arrow_table
from lowerbound.data.reading import STANDARD_LIMIT, Limit, reading
from lowerbound.data.tables import RawTable


@dataclass(frozen=True)
class Fill:
    """The value for a missing cell."""

    text: str  # numbers with a decimal point
    number: float | None = None  # for numeric and count columns, and for numeric levels
    is_level: bool = False


Fills = Mapping[tuple[int, str], Fill]
"""By row, counted from 0, and column name."""


def fill_csv(content: bytes, table: RawTable, decimal: str, fills: Fills) -> bytes:
    """A CSV's bytes with cells filled; `table` was read from it."""
    text = decode_csv(table.place, content)
    positions = {name: position for position, name in enumerate(table.columns)}
    cells = {(row, positions[name]): as_cell(fill, decimal, table.columns[name]) for (row, name), fill in fills.items()}
    return text.encoded(replace_cells(text.characters, table.separator, cells))


def fill_parquet(path: Path, table: RawTable, fills: Fills, limit: Limit = STANDARD_LIMIT) -> bytes:
    """A Parquet file's bytes with cells filled; `table` was read from it."""
    from pyarrow import parquet

    by_column: dict[str, dict[int, Fill]] = defaultdict(dict)
    for (row, name), fill in fills.items():
        by_column[name][row] = fill
    with reading(path, "a Parquet table"):
        stored = read_arrow_table(path, limit)
        for position, name in enumerate(table.columns):
            if name in by_column:
                column = _filled(stored.column(position), by_column[name])
                stored = stored.set_column(position, stored.field(position), column)
        buffer = BytesIO()
        parquet.write_table(stored, buffer)
    return buffer.getvalue()


def same_file(path: Path, other: Path) -> bool:
    """Whether two paths lead to the same file, following links."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()


def as_cell(fill: Fill, decimal: str, cells: Sequence[str | None]) -> str:
    """The text of a fill among the cells of a column."""
    # A level such as 1.5 may be a number with a decimal comma or a text with a point: the other cells decide.
    has_decimal = not fill.is_level or any(decimal in cell for cell in cells if cell)
    return fill.text.replace(".", decimal) if fill.number is not None and has_decimal else fill.text


def _filled(column: Any, fills: Mapping[int, Fill]) -> Any:
    """A column of the same type with some cells replaced, by Arrow, so that known cells are not converted."""
    import pyarrow
    import pyarrow.compute as compute

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        # Encoding again appends levels that the dictionary lacks.
        plain = _filled(column.cast(kind.value_type), fills)
        return plain.dictionary_encode().cast(kind)
    rows = sorted(fills)
    mask = [False] * len(column)
    for row in rows:
        mask[row] = True
    values = pyarrow.array([_as_arrow(fills[row], kind) for row in rows], kind)
    whole = column.combine_chunks()
    whole = pyarrow.concat_arrays(whole.chunks) if isinstance(whole, pyarrow.ChunkedArray) else whole
    return compute.replace_with_mask(whole, pyarrow.array(mask), values)


def _as_arrow(fill: Fill, kind: Any) -> Any:
    """A fill as a Python value for a column of this type."""
    import pyarrow

    types, number = pyarrow.types, fill.number
    if types.is_boolean(kind):
        return fill.text.lower() in ("true", "1")
    if number is None:
        is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        return fill.text if is_text else pyarrow.scalar(fill.text).cast(kind).as_py()
    if types.is_integer(kind):
        return _whole(number, kind)
    if types.is_floating(kind):
        return number
    if types.is_decimal(kind):
        return Exact(fill.text).quantize(Exact(1).scaleb(-kind.scale), ROUND_HALF_EVEN)
    if types.is_duration(kind):
        return timedelta(seconds=number)
    return fill.text


def _whole(number: float, kind: Any) -> int:
    bits = kind.bit_width
    is_signed = str(kind).startswith("int")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    return min(max(round(number), low), high)

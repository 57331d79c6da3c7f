"""A table with some of its cells filled, everything else as it was.

CSV       the text of a filled cell is replaced where it stands; every other character is copied: quotation marks,
          line ends, empty lines, byte order mark, encoding
Parquet   a filled cell takes its column's type; known cells, types, other columns and their order stay
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
    """What a missing cell is filled with."""

    text: str  # as it is written, numbers with a decimal point
    number: float | None = None  # of a numeric column or a count, and of a level that is a number
    is_level: bool = False


Fills = Mapping[tuple[int, str], Fill]
"""By row, counted from 0, and the table's name for the column."""


def fill_csv(content: bytes, table: RawTable, decimal: str, fills: Fills) -> bytes:
    """A CSV's bytes with cells replaced; `table` is what was read from it."""
    text = decode_csv(table.place, content)
    positions = {name: position for position, name in enumerate(table.columns)}
    cells = {
        (row, positions[name]): _as_cell(fill, decimal, table.columns[name]) for (row, name), fill in fills.items()
    }
    return text.encoded(replace_cells(text.characters, table.separator, cells))


def fill_parquet(path: Path, table: RawTable, fills: Fills, limit: Limit = STANDARD_LIMIT) -> bytes:
    """A Parquet file's bytes with cells filled; `table` is what was read from it."""
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
    """Whether two paths lead to one file, through links, too."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()


def _as_cell(fill: Fill, decimal: str, cells: Sequence[str | None]) -> str:
    # A level such as 1.5 is a number with a comma, or a text with a point: the others tell.
    has_decimal = not fill.is_level or any(decimal in cell for cell in cells if cell)
    return fill.text.replace(".", decimal) if fill.number is not None and has_decimal else fill.text


def _filled(column: Any, fills: Mapping[int, Fill]) -> Any:
    """A column with some cells replaced, of the same type; by Arrow, so that no known cell passes through Python."""
    import pyarrow
    import pyarrow.compute as compute

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        # Levels that the dictionary lacks are appended to it by encoding again.
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
    """A fill as a Python value that a column of this type takes."""
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

"""Reader of Parquet files, batch by batch within a memory limit; Arrow columns to cells.

A Parquet file can repeat a value with a few bits, so kilobytes may expand to gigabytes. The number of values in the
metadata is compared with the limit before anything is decoded. Texts are read as dictionaries, so that repeated
texts are stored once, and batch by batch, so that a file with false metadata is abandoned early.
"""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lowerbound.data.reading import Limit, reading, refuse, too_large
from lowerbound.data.tables import (
    MAX_COLUMNS,
    STANDARD,
    Cell,
    RawTable,
    TableOptions,
    categories_as_text,
    check_size,
    table_from_cells,
    to_cell,
)

MOST_ROWS, FEWEST_ROWS = 65_536, 1_024  # of a batch
SHARED = "DELTA_BYTE_ARRAY"  # an encoding that stores only the difference from the previous text


def read_parquet(path: Path, options: TableOptions = STANDARD) -> RawTable:
    """A Parquet file of numbers, strings and booleans."""
    parquet = _library(path)
    with reading(path, "a Parquet table"), path.open("rb") as opened:
        file = parquet.ParquetFile(opened)
        check_metadata(path, file, options.limit)
        texts = _as_dictionaries(file)
        file = parquet.ParquetFile(opened, read_dictionary=texts, pre_buffer=False)
        columns = [_Column(field.name, field.type) for field in _known_schema(file)]
        for batch in _batches(path, file, options.limit):
            for column, values in zip(columns, batch.columns, strict=True):
                column.add(values)
        return table_from_cells(path, [(column.name, column.cells) for column in columns])


def read_arrow_table(path: Path, limit: Limit) -> Any:
    """The file as a pyarrow.Table, with all its types; TooLarge for one that unpacks to more than the limit."""
    parquet = _library(path)
    with path.open("rb") as opened:
        file = parquet.ParquetFile(opened)
        check_metadata(path, file, limit)
        return _with_dictionaries(file)


def check_metadata(path: Path, file: Any, limit: Limit) -> None:
    """TooLarge for a file that declares more columns, cells or bytes than the limit."""
    about = file.metadata
    if about.num_columns > MAX_COLUMNS:
        too_large(path, f"has {about.num_columns:,} columns, but the limit is {MAX_COLUMNS:,}; save it as a .npy array")
    chunks = list(_chunks(about))
    num_values = max(sum(chunk.num_values for chunk in chunks), about.num_rows * about.num_columns)
    limit.check(path, sum(chunk.total_uncompressed_size for chunk in chunks), "unpacks to")
    check_size(path, about.num_rows + num_values, limit)


def arrow_cells(column: Any) -> list[Cell]:
    """The cells of a pyarrow array; equal dictionary entries share one object."""
    import pyarrow

    kind = column.type
    if isinstance(column, pyarrow.ChunkedArray):
        return [cell for chunk in column.chunks for cell in arrow_cells(chunk)]
    if pyarrow.types.is_dictionary(kind):
        known = categories_as_text(arrow_cells(column.dictionary))
        return [None if index is None else known[index] for index in column.indices.to_pylist()]
    if pyarrow.types.is_duration(kind):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        counts = column.cast(pyarrow.int64()).to_pylist()
        return [None if count is None else count / per_second for count in counts]
    return [to_cell(value) for value in column.to_pylist()]


class _Column:
    """The cells of one column, batch by batch; equal texts share one object."""

    def __init__(self, name: str, kind: Any) -> None:
        import pyarrow

        self.name, self.cells = name, list[Cell]()
        self.is_dictionary = pyarrow.types.is_dictionary(kind)
        self.texts: dict[str, str] = {}

    def add(self, values: Any) -> None:
        """Add the cells of the next batch; dictionary values become texts."""
        cells = arrow_cells(values)
        if self.is_dictionary:
            cells = categories_as_text(cells)
        self.cells += [self.texts.setdefault(cell, cell) if isinstance(cell, str) else cell for cell in cells]


def _library(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError:
        refuse(path, "is read with pyarrow, which is not installed; pip install 'lowerbound[tables]'")
    return parquet


def _chunks(about: Any) -> Iterator[Any]:
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        yield from (group.column(index) for index in range(group.num_columns))


def _as_dictionaries(file: Any) -> list[str]:
    """Text columns that pyarrow can read as dictionaries; some encodings are not supported."""
    others = {chunk.path_in_schema for chunk in _chunks(file.metadata) if any("DELTA" in of for of in chunk.encodings)}
    return [field.name for field in file.schema_arrow if _is_text(field.type) and field.name not in others]


def _batches(path: Path, file: Any, limit: Limit) -> Iterator[Any]:
    """The rows in batches; TooLarge as soon as their size without dictionaries exceeds the limit."""
    num_bytes = 0
    for batch in file.iter_batches(_batch_size(file.metadata, limit)):
        num_bytes += sum(map(_plain_bytes, batch.columns))
        limit.check(path, num_bytes, "unpacks to more than")
        yield batch


def _batch_size(about: Any, limit: Limit) -> int:
    """A number of rows for which one batch stays within the limit even if each text is as long as its whole column."""
    texts = [chunk for chunk in _chunks(about) if chunk.physical_type == "BYTE_ARRAY"]
    longest = max((chunk.total_uncompressed_size for chunk in texts), default=1)
    is_shared = any(SHARED in chunk.encodings for chunk in texts)
    return max(1 if is_shared else FEWEST_ROWS, min(MOST_ROWS, limit.max_bytes // (8 * max(1, longest))))


def _plain_bytes(values: Any) -> int:
    import pyarrow
    import pyarrow.compute as compute

    if not pyarrow.types.is_dictionary(values.type):
        return int(values.nbytes)
    lengths = compute.binary_length(values.dictionary) if _is_text(values.type.value_type) else None
    if lengths is None:
        return int(values.nbytes)
    return int(values.indices.nbytes) + int(compute.sum(lengths.take(values.indices)).as_py() or 0)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _known_schema(file: Any) -> Sequence[Any]:
    """The fields of the original Arrow schema: Parquet drops the dictionaries of numeric columns."""
    import pyarrow

    schema: Sequence[Any] = file.schema_arrow
    stored = (file.metadata.metadata or {}).get(b"ARROW:schema")
    if stored is None:
        return list(schema)
    known = pyarrow.ipc.read_schema(pyarrow.py_buffer(base64.b64decode(stored)))
    return list(known) if len(known) == len(schema) else list(schema)


def _with_dictionaries(file: Any) -> Any:
    """The table of a ParquetFile, with dictionaries of numbers restored."""
    import pyarrow

    table = file.read()
    for index, known in enumerate(_known_schema(file)):
        if pyarrow.types.is_dictionary(known.type) and not pyarrow.types.is_dictionary(table.schema.types[index]):
            encoded = table.column(index).dictionary_encode().cast(known.type)
            table = table.set_column(index, table.field(index).with_type(known.type), encoded)
    return table

"""Packed data on disk: a manifest, and shards in the Arrow IPC format whose record batches are blocks with a checksum.

    packed.json               the manifest: schema, splits, shards, CRC-32 of every block; written last
    statistics.safetensors    mean and standard deviation of the training split
    train-00000.arrow ...     shards; columns x (arrow.fixed_shape_tensor) and, with labels, label (int64)

Any Arrow library reads the shards. A record batch is located by the file's footer and read by one positioned read,
without mapping the file, so that memory is what is read, whatever the file's size.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.reading import printable, pyarrow_for, refuse
from lowerbound.data.remote import Location
from lowerbound.foundation.errors import DataError, RunError, in_one_line
from lowerbound.foundation.run_identity import checksum_of
from lowerbound.foundation.schema import Schema, Support, check_schema
from lowerbound.foundation.storage import write_atomically
from lowerbound.foundation.strict import parsed
from lowerbound.foundation.text_files import write_json

MANIFEST, STATISTICS = "packed.json", "statistics.safetensors"
PACKED_VERSION = 1
BLOCK_ROWS = 256
LARGEST_BLOCK = 2**22  # bytes of values; large examples get fewer rows in a block
CRC_DIGITS = 8

Block = tuple[np.ndarray, np.ndarray | None]
"""Values and labels of consecutive examples."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of a split."""

    file: str
    rows: int
    num_bytes: int
    crc32: str  # of every block, eight hexadecimal digits each

    def crc_of(self, block: int) -> str:
        """The checksum of a block."""
        return self.crc32[CRC_DIGITS * block : CRC_DIGITS * (block + 1)]


@dataclass(frozen=True, kw_only=True)
class PackedSplit:
    """The files of a split, in order, and the support of its values."""

    rows: int
    shards: tuple[Shard, ...]
    support: Support


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a folder of packed data contains."""

    packed_version: int
    name: str  # of the data that were packed
    schema: Schema
    dtype: str  # of the values in the shards: uint8 or float32
    block_rows: int  # rows of every block but the last of a shard
    splits: dict[str, PackedSplit]  # train, validation, test
    has_own_splits: bool  # whether the data came with the validation split
    statistics: str  # checksum of statistics.safetensors
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    checksum: str = ""  # of all the above

    @property
    def num_rows(self) -> int:
        """Number of examples of all splits."""
        return sum(split.rows for split in self.splits.values())

    @property
    def row_bytes(self) -> int:
        """Bytes of the values of an example."""
        return int(np.prod(self.schema.shape)) * np.dtype(self.dtype).itemsize

    def sealed(self) -> "Manifest":
        """The same with its checksum, by which a run recognises its data: it covers every block."""
        return replace(self, checksum=checksum_of(asdict(self)))


def block_rows_for(num_bytes: int) -> int:
    """Rows of a block of examples of `num_bytes`: 256, or the power of two that keeps a block within 4 MiB."""
    most = max(1, LARGEST_BLOCK // max(1, num_bytes))
    return min(BLOCK_ROWS, 1 << (most.bit_length() - 1))


def is_packed(location: Location) -> bool:
    """Whether this is a folder of packed data."""
    return location.has(MANIFEST)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, which completes packed data."""
    write_json(folder / MANIFEST, asdict(manifest.sealed()))


def read_manifest(location: Location) -> Manifest:
    """The manifest of packed data; DataError if it is missing, damaged, or a shard is missing or has another size."""
    place = f"{location}/{MANIFEST}"
    try:
        manifest = parsed(Manifest, location.read_json(MANIFEST), place, accepts_infinity=True)
        check_schema(manifest.schema, manifest.schema.event_shape, place)
    except RunError as error:
        raise DataError(str(error)) from error
    if manifest.packed_version != PACKED_VERSION:
        refuse(place, f"has version {manifest.packed_version}, but this lowerbound reads {PACKED_VERSION}")
    if manifest.checksum != checksum_of(asdict(manifest)):
        refuse(place, "is damaged (its checksum does not match its content); restore it, or pack the data again")
    _check_files(location, manifest)
    return manifest


def _check_files(location: Location, manifest: Manifest) -> None:
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    sizes = location.sizes([STATISTICS, *(shard.file for shard in shards)])
    if STATISTICS not in sizes:
        refuse(f"{location}/{STATISTICS}", "is missing; restore it, or pack the data again")
    for shard in shards:
        if shard.file not in sizes:
            refuse(f"{location}/{shard.file}", "is missing; restore it, or pack the data again")
        size = sizes[shard.file]
        if size is not None and size != shard.num_bytes:
            came = f"has {size:,} bytes instead of {shard.num_bytes:,}"
            refuse(f"{location}/{shard.file}", f"{came}; restore it, or pack the data again")


def write_shard(path: Path, blocks: Iterable[Block], about: str) -> Shard:
    """Write blocks to one Arrow file, atomically; `about` is kept in its metadata. The bytes depend only on these."""
    arrow, written = needed_pyarrow(), list[tuple[int, str]]()

    def write(temporary: Path) -> None:
        written.clear()
        coming = iter(blocks)
        first = next(coming)
        schema = _arrow_schema(arrow, first).with_metadata({"lowerbound": about})
        with arrow.OSFile(str(temporary), "wb") as sink, arrow.ipc.new_file(sink, schema) as writer:
            for block in chain([first], coming):
                writer.write_batch(_record_batch(arrow, schema, block))
                written.append((len(block[0]), _crc(block)))

    write_atomically(path, write)
    return Shard(
        file=path.name,
        rows=sum(rows for rows, _ in written),
        num_bytes=path.stat().st_size,
        crc32="".join(crc for _, crc in written),
    )


def shard_about(path: Path) -> str:
    """The `about` of a shard; empty for a file that is no shard."""
    arrow = needed_pyarrow()
    try:
        with arrow.OSFile(str(path)) as source:
            metadata = arrow.ipc.open_file(source).schema.metadata or {}
    except (OSError, arrow.ArrowException):
        return ""
    return metadata.get(b"lowerbound", b"").decode(errors="replace")


def described_shard(path: Path, seen: Callable[[Iterator[Block]], Iterator[Block]] = iter) -> Shard:
    """A shard that was written before, from its content, which passes through `seen`."""
    arrow = needed_pyarrow()
    rows, crcs = 0, list[str]()
    with arrow.OSFile(str(path)) as source:
        reader = arrow.ipc.open_file(source)
        batches = map(reader.get_batch, range(reader.num_record_batches))
        for block in seen(map(_block_of, batches)):
            rows += len(block[0])
            crcs.append(_crc(block))
    return Shard(file=path.name, rows=rows, num_bytes=path.stat().st_size, crc32="".join(crcs))


class ShardReader:
    """The blocks of one shard, each verified when it is read. Threads may share a reader."""

    def __init__(self, location: Location, shard: Shard, manifest: Manifest) -> None:
        self.arrow = needed_pyarrow()
        self.place = f"{location}/{shard.file}"
        self.shard, self.manifest = shard, manifest
        with self._reading():
            self.reader = self.arrow.ipc.open_file(location.open_arrow(shard.file))

    def block(self, number: int) -> Block:
        """Values and labels of a block; DataError if they are damaged."""
        with self._reading():
            values, labels = _block_of(self.reader.get_batch(number))
        rows = min(self.manifest.block_rows, self.shard.rows - number * self.manifest.block_rows)
        expected = (rows, *self.manifest.schema.shape)
        is_right = values.shape == expected and values.dtype == np.dtype(self.manifest.dtype)
        if not is_right or _crc((values, labels)) != self.shard.crc_of(number):
            self._refuse(f"block {number} does not match its checksum")
        return values, labels

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        # A damaged file makes the library raise nearly anything; a file system has errors of its own.
        except DataError:
            raise
        except Exception as error:
            self._refuse(in_one_line(error))

    def _refuse(self, reason: str) -> None:
        refuse(self.place, f"is damaged ({printable(reason)}); restore the file, or pack the data again")


def _arrow_schema(arrow: Any, block: Block) -> Any:
    fields = [("x", arrow.fixed_shape_tensor(arrow.from_numpy_dtype(block[0].dtype), block[0].shape[1:]))]
    return arrow.schema(fields if block[1] is None else [*fields, ("label", arrow.int64())])


def _record_batch(arrow: Any, schema: Any, block: Block) -> Any:
    values, labels = block
    columns = [arrow.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))]
    return arrow.record_batch(columns if labels is None else [*columns, arrow.array(labels)], schema=schema)


def _block_of(batch: Any) -> Block:
    labels = batch.column("label").to_numpy() if "label" in batch.schema.names else None
    return batch.column("x").to_numpy_ndarray(), labels


def _crc(block: Block) -> str:
    crc = 0
    for array in block:
        if array is not None:
            crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
    return f"{crc:0{CRC_DIGITS}x}"


def needed_pyarrow() -> Any:
    """The module pyarrow; UsageError if it is not installed."""
    return pyarrow_for("packed data are read and written")

"""PackedValues and PackedLabels: the values and labels of a split on disk, indexed like arrays and read when needed."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from lowerbound.data.block_order import BlockRows, Blocks
from lowerbound.data.packed_files import Block, Manifest, Shard, ShardReader
from lowerbound.data.remote import Location
from lowerbound.foundation.schema import Support

OPEN_SHARDS = 64
"""Files that are kept open."""

Transform = Callable[[np.ndarray, int], np.ndarray]
"""From stored values of consecutive rows, and the number of the first, to other values."""


class PackedRows:
    """The rows of some shards, in order, read block by block. Threads may share it.

    With `most` they are the first rows. `bytes_read` counts the bytes of values that were read.
    """

    def __init__(
        self,
        location: Location,
        manifest: Manifest,
        shards: Sequence[Shard],
        transform: Transform | None = None,
        most: int | None = None,
    ) -> None:
        self.location, self.manifest, self.shards = location, manifest, tuple(shards)
        self.transform = transform
        starts = np.cumsum([0, *(shard.rows for shard in shards)])
        kept = np.diff(starts if most is None else np.minimum(starts, most)).tolist()
        self.blocks = Blocks(rows_of_shards=tuple(kept), block_rows=manifest.block_rows)
        per_shard = [-(-rows // manifest.block_rows) for rows in kept]
        self.first_blocks = np.concatenate([[0], np.cumsum(per_shard)])
        self.bytes_read = 0
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.blocks.num_rows

    def block(self, number: int) -> Block:
        """Values and labels of a block; DataError if it is damaged."""
        shard = int(np.searchsorted(self.first_blocks, number, side="right")) - 1
        values, labels = self._reader(shard).block(number - int(self.first_blocks[shard]))
        with self._lock:
            self.bytes_read += values.nbytes
        size = int(self.blocks.sizes[number])
        values, labels = values[:size], None if labels is None else labels[:size]
        if self.transform is not None:
            values = self.transform(values, int(self.blocks.starts[number]))
        return values, labels

    def gathered(self, pieces: Iterable[BlockRows], block: Callable[[int], Block] | None = None) -> Block:
        """The rows of several blocks, one after another; those of a single block are not copied.

        `block` reads a block, by default from the disk.
        """
        read = [((block or self.block)(piece.block), piece.rows) for piece in pieces]
        if len(read) == 1:
            (of_block, names), rows = read[0]
            return of_block[rows], None if names is None else names[rows]
        values = np.concatenate([one[0][rows] for one, rows in read])
        labels = [one[1][rows] for one, rows in read if one[1] is not None]
        return values, np.concatenate(labels) if labels else None

    def consecutive(self, start: int, stop: int) -> Block:
        """Rows from `start` to `stop`."""
        return self.gathered(self.blocks.covering(start, stop))

    def chosen(self, indices: Int64[np.ndarray, " index"]) -> Block:
        """The rows at `indices`, each of whose blocks is read once."""
        numbers = np.searchsorted(self.blocks.starts, indices, side="right") - 1
        values = np.empty((len(indices), *self.manifest.schema.shape), self.dtype)
        labels = np.empty(len(indices), np.int64)
        for number in np.unique(numbers).tolist():
            block, of_block = self.block(number)
            places = np.flatnonzero(numbers == number)
            rows = indices[places] - self.blocks.starts[number]
            values[places] = block[rows]
            if of_block is not None:
                labels[places] = of_block[rows]
        return values, labels if self.manifest.schema.label_names else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values; binarised ones are bytes."""
        return np.dtype(np.uint8 if self.transform is not None else self.manifest.dtype)

    @property
    def row_bytes(self) -> int:
        """Bytes of the values of a row."""
        return int(np.prod(self.manifest.schema.shape)) * self.dtype.itemsize

    @property
    def digest(self) -> bytes:
        """A hash over the checksums of all blocks."""
        return hashlib.sha256("".join(shard.crc32 for shard in self.shards).encode()).digest()

    def _reader(self, shard: int) -> ShardReader:
        with self._lock:
            if shard in self._readers:
                self._readers.move_to_end(shard)
                return self._readers[shard]
        reader = ShardReader(self.location, self.shards[shard], self.manifest)
        with self._lock:
            self._readers[shard] = reader
            while len(self._readers) > OPEN_SHARDS:
                self._readers.popitem(last=False)
        return reader


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and standard deviation of each element of a training split, in stored units; missing cells are skipped."""

    mean: Float64[np.ndarray, " *event"]
    deviation: Float64[np.ndarray, " *event"]


class _Column:
    """What an array of rows on disk can do: length, slices and lists of indices."""

    def __init__(self, rows: PackedRows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def _read(self, key: Any) -> Block:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1 and start < stop:
                return self.rows.consecutive(start, stop)
            key = np.arange(start, stop, step)
        indices = np.asarray(key, np.int64)
        block = self.rows.chosen(indices.reshape(-1))
        return block if indices.ndim else (block[0][0], None if block[1] is None else block[1][0])


class PackedValues(_Column):
    """The values of a split, N×event; `values[indices]` reads them into an array."""

    def __init__(self, rows: PackedRows, support: Support, statistics: Statistics | None = None) -> None:
        super().__init__(rows)
        self.support, self.statistics = support, statistics

    def head(self, most: int) -> "PackedValues":
        """The first rows."""
        whole = self.rows
        rows = PackedRows(whole.location, whole.manifest, whole.shards, whole.transform, most)
        return PackedValues(rows, self.support, self.statistics)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, and the stored shape of one."""
        return len(self), *self.rows.manifest.schema.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self.rows.dtype

    @property
    def num_bytes(self) -> int:
        """Bytes of all values."""
        return len(self) * self.rows.row_bytes

    @property
    def place(self) -> str:
        """Where the values are, for messages."""
        return str(self.rows.location)

    def __getitem__(self, key: Any) -> np.ndarray:
        return self._read(key)[0]


class PackedLabels(_Column):
    """The labels of a split; `labels[indices]` reads them into an array."""

    @property
    def shape(self) -> tuple[int]:
        """Number of rows."""
        return (len(self),)

    @property
    def dtype(self) -> np.dtype[np.int64]:
        """The type of labels."""
        return np.dtype(np.int64)

    def __getitem__(self, key: Any) -> np.ndarray:
        labels = self._read(key)[1]
        assert labels is not None
        return labels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

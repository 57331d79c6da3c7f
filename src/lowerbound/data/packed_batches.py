"""Batches of examples on disk: those of an epoch in random order, or all in order, read ahead by a thread."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from lowerbound.data.block_order import EpochOrder
from lowerbound.data.packed_files import Block
from lowerbound.data.packed_rows import PackedRows
from lowerbound.data.prefetch import prefetched
from lowerbound.foundation.shares import WHOLE, Share

AHEAD = 2**25
"""Bytes of batches that are read ahead, about."""

MOST_AHEAD = 64  # batches


def shuffled_blocks(
    rows: PackedRows, batch_size: int, seed: int, epoch: int, start: int = 0, share: Share = WHOLE
) -> Iterator[Block]:
    """The batches of one epoch from number `start`, as values and labels, in the order of `EpochOrder`.

    A rank gets its share of the rows of every batch, and reads only the blocks of the lanes that these lie in.
    """
    return prefetched(
        _shuffled(rows, batch_size, seed, epoch, start, share), _depth(rows, batch_size // share.num_ranks)
    )


def blocks_in_order(rows: PackedRows, batch_size: int, share: Share = WHOLE) -> Iterator[Block]:
    """All batches in order, as values and labels; of each, the rows of the rank."""
    return prefetched(_in_order(rows, batch_size, share), _depth(rows, batch_size // share.num_ranks))


def _depth(rows: PackedRows, batch_size: int) -> int:
    return max(2, min(MOST_AHEAD, AHEAD // max(1, batch_size * _row_bytes(rows))))


def _row_bytes(rows: PackedRows) -> int:
    return int(np.prod(rows.manifest.schema.shape)) * rows.dtype.itemsize


def _in_order(rows: PackedRows, batch_size: int, share: Share) -> Iterator[Block]:
    cache: dict[int, Block] = {}  # the last block: batches need not end where blocks do
    for first in range(0, len(rows), batch_size):
        own = share.rows(min(batch_size, len(rows) - first))
        yield _consecutive(rows, first + own.start, first + own.stop, cache)


def _consecutive(rows: PackedRows, start: int, stop: int, cache: dict[int, Block]) -> Block:
    number, parts = rows.blocks.containing(start), list[Block]()
    while not parts or rows.blocks.starts[number] < stop:
        low = int(rows.blocks.starts[number])
        if number not in cache:
            cache.clear()
            cache[number] = rows.block(number)
        inside = slice(max(0, start - low), max(0, stop - low))
        parts.append(_rows(cache[number], inside))
        number += 1
        if number == len(rows.blocks.sizes):
            break
    return _joined(parts)


def _shuffled(rows: PackedRows, batch_size: int, seed: int, epoch: int, start: int, share: Share) -> Iterator[Block]:
    block_bytes = rows.manifest.block_rows * _row_bytes(rows)
    order = EpochOrder(rows.blocks, batch_size, block_bytes, seed, epoch)
    lanes = _Lanes(rows, order, share) if start < order.num_full else None
    for batch in range(start, order.num_full):
        assert lanes is not None
        yield lanes.batch(batch)
    if len(order.tail) and start <= order.num_full:
        yield _of_tail(rows, order, share)


def _of_tail(rows: PackedRows, order: EpochOrder, share: Share) -> Block:
    """The rank's rows of the last, shorter batch."""
    own = share.rows(len(order.tail))
    return _rows(rows.gathered(list(order.pieces(order.tail))), order.shuffled(order.tail)[own.slice])


class _Lanes:
    """The windows of a rank's lanes, in one array from which a batch is taken in one step."""

    def __init__(self, rows: PackedRows, order: EpochOrder, share: Share) -> None:
        self.rows, self.order = rows, order
        places = np.arange(order.batch_size)[share.rows(order.batch_size).slice]
        first, last = int(places[0]) // order.rows_per_lane, int(places[-1]) // order.rows_per_lane
        self.lane_of = places // order.rows_per_lane - first  # of each row of the rank's part of a batch
        self.within = places % order.rows_per_lane
        self.starts = np.array([order.lane_range(lane).start for lane in range(first, last + 1)])
        self.windows = [order.windows(lane) for lane in range(first, last + 1)]
        self.size = max(len(window) for windows in self.windows for window in windows)
        shape = (len(self.starts), self.size)
        self.values = np.empty((*shape, *rows.manifest.schema.shape), rows.dtype)
        self.labels = np.empty(shape, np.int64) if rows.manifest.schema.label_names else None
        self.permutation = np.zeros(shape, np.int64)
        self.begins = np.zeros(len(self.starts), np.int64)  # of the windows, in the sequence of rows
        self.ends = np.zeros(len(self.starts), np.int64)

    def batch(self, number: int) -> Block:
        """The rank's rows of a batch."""
        positions = self.starts[self.lane_of] + number * self.order.rows_per_lane + self.within
        chosen, is_missing = self._chosen(positions)
        # Rows of windows that are not loaded yet are taken from anywhere, and replaced below.
        values, labels = self._taken(chosen)
        while is_missing.any():
            missing = np.flatnonzero(is_missing)
            for lane in np.unique(self.lane_of[missing]):
                self._load(int(lane), int(positions[missing][self.lane_of[missing] == lane][0]))
            chosen, still_missing = self._chosen(positions)
            found = missing[~still_missing[missing]]
            more = self._taken(chosen[found])
            values[found] = more[0]
            if labels is not None:
                labels[found] = more[1]
            is_missing[found] = False
        return values, labels

    def _chosen(self, positions: Int64[np.ndarray, " row"]) -> tuple[np.ndarray, np.ndarray]:
        """Where rows are in the windows, as numbers of rows of all of them; and which are in none."""
        begins, ends = self.begins[self.lane_of], self.ends[self.lane_of]
        is_missing = (positions < begins) | (positions >= ends)
        places = self.permutation[self.lane_of, np.where(is_missing, 0, positions - begins)]
        return self.lane_of * self.size + places, is_missing

    def _taken(self, chosen: Int64[np.ndarray, " row"]) -> Block:
        flat = self.values.reshape(-1, *self.values.shape[2:])
        labels = None if self.labels is None else self.labels.reshape(-1)[chosen]
        return np.take(flat, chosen, axis=0, mode="clip"), labels

    def _load(self, lane: int, position: int) -> None:
        """Replace the window of a lane by the one with this position."""
        window = next(window for window in self.windows[lane] if position in window)
        at = 0
        for piece in self.order.pieces(window):
            values, labels = self.rows.block(piece.block)
            size = piece.rows.stop - piece.rows.start
            self.values[lane, at : at + size] = values[piece.rows]
            if self.labels is not None and labels is not None:
                self.labels[lane, at : at + size] = labels[piece.rows]
            at += size
        self.permutation[lane, : len(window)] = self.order.shuffled(window)
        self.begins[lane], self.ends[lane] = window.start, window.stop


def _rows(block: Block, chosen: slice | np.ndarray) -> Block:
    values, labels = block
    return values[chosen], None if labels is None else labels[chosen]


def _joined(parts: list[Block]) -> Block:
    if len(parts) == 1:
        return parts[0]
    labels = [part[1] for part in parts if part[1] is not None]
    return np.concatenate([part[0] for part in parts]), np.concatenate(labels) if labels else None

"""Batches of examples on disk: those of an epoch in random order, or all in order, read ahead by a thread."""

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from lowerbound.data.block_order import EpochOrder
from lowerbound.data.packed_files import Block
from lowerbound.data.packed_rows import PackedRows
from lowerbound.data.prefetch import prefetched
from lowerbound.foundation.shares import WHOLE, Share

AHEAD = 2**23
"""Bytes of batches that are read ahead, about: few enough to stay in the processor's cache until they are used."""

MOST_AHEAD = 64  # batches

NOTHING: Block = (np.empty(0), None)


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
    return max(2, min(MOST_AHEAD, AHEAD // max(1, batch_size * rows.row_bytes)))


def _in_order(rows: PackedRows, batch_size: int, share: Share) -> Iterator[Block]:
    block = lru_cache(maxsize=1)(rows.block)  # batches need not end where blocks do
    for first in range(0, len(rows), batch_size):
        own = share.rows(min(batch_size, len(rows) - first))
        yield rows.gathered(rows.blocks.covering(first + own.start, first + own.stop), block)


def _shuffled(rows: PackedRows, batch_size: int, seed: int, epoch: int, start: int, share: Share) -> Iterator[Block]:
    block_bytes = rows.manifest.block_rows * rows.row_bytes
    order = EpochOrder(rows.blocks, batch_size, block_bytes, seed, epoch)
    own = share.rows(batch_size)
    lanes = [
        _Lane(rows, order, lane, slice(max(0, own.start - low), min(order.rows_per_lane, own.stop - low)))
        for lane in range(order.lanes)
        if (low := lane * order.rows_per_lane) < own.stop and own.start < low + order.rows_per_lane
    ]
    for batch in range(start, order.num_full):
        values = np.empty((own.stop - own.start, *rows.manifest.schema.shape), rows.dtype)
        labels = np.empty(len(values), np.int64) if rows.manifest.schema.label_names else None
        at = 0
        for lane in lanes:
            at = lane.write(batch, values, labels, at)
        yield values, labels
    if len(order.tail) and start <= order.num_full:
        yield _of_tail(rows, order, share)


def _of_tail(rows: PackedRows, order: EpochOrder, share: Share) -> Block:
    """The rank's rows of the last, shorter batch."""
    own = share.rows(len(order.tail))
    values, labels = rows.gathered(order.pieces(order.tail))
    chosen = order.shuffled(order.tail)[own.slice]
    return values[chosen], None if labels is None else labels[chosen]


class _Lane:
    """Reads one lane: window after window, of which each batch takes some rows."""

    def __init__(self, rows: PackedRows, order: EpochOrder, lane: int, wanted: slice) -> None:
        self.rows, self.order = rows, order
        self.wanted = wanted  # of the lane's rows in a batch
        self.start = order.lane_range(lane).start
        self.windows = order.windows(lane)
        self.window, self.permutation = range(0), np.empty(0, np.int64)
        self.content: Block = NOTHING

    def write(self, batch: int, values: np.ndarray, labels: np.ndarray | None, at: int) -> int:
        """Write the wanted rows of a batch from row `at` on; the row after them."""
        begin = self.start + batch * self.order.rows_per_lane
        position, stop = begin + self.wanted.start, begin + self.wanted.stop
        while position < stop:
            self._load(position)
            until = min(stop, self.window.stop)
            places = self.permutation[position - self.window.start : until - self.window.start]
            out = slice(at, at + len(places))
            # With "raise" a copy of the output would be made first.
            np.take(self.content[0], places, axis=0, out=values[out], mode="clip")
            if labels is not None and self.content[1] is not None:
                labels[out] = self.content[1][places]
            position, at = until, out.stop
        return at

    def _load(self, position: int) -> None:
        if position in self.window:
            return
        self.content = NOTHING  # freed before the next is read
        self.window = self.windows[bisect_right(self.windows, position, key=lambda window: window.start) - 1]
        self.content = self.rows.gathered(self.order.pieces(self.window))
        self.permutation = self.order.shuffled(self.window)

"""The order of training examples in blocks on disk: well mixed, resumable, the same for any number of ranks.

In each epoch the blocks are permuted. The resulting sequence of rows is cut into lanes of equal length, and every batch
takes the same number of rows from each lane, in the order of the lanes. A lane shuffles the rows of a few blocks at a
time, its window. A batch is therefore a mixture of rows of many random blocks, and a rank that takes a contiguous part
of every batch reads only the lanes of that part: each block is read by one rank.

All permutations are keyed by the seed, the epoch and the position in the sequence, never by the rank, so that the
position of a batch is enough to resume.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Int64

from lowerbound.foundation.seeding import generator

MIXED_BLOCKS = 16
"""Blocks that a batch is drawn from, at least, where the split has as many."""

LEAST_ROWS = 8
"""Rows that a batch takes from each lane, at least, if there are no more lanes than mixed blocks."""

ROWS_OF_MANY = 32
"""Rows that a batch takes from each lane, at least, if there are more: the windows of all should stay in the cache."""

LARGEST_WINDOWS = 2**28
"""Bytes of the windows of all lanes, at most, in one process."""


@dataclass(frozen=True)
class BlockRows:
    """Rows of one block, and their places in a window."""

    block: int
    rows: slice  # within the block


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """How the examples of a split lie in blocks: all have `block_rows` rows, except the last of each shard."""

    rows_of_shards: tuple[int, ...]
    block_rows: int

    @cached_property
    def sizes(self) -> Int64[np.ndarray, " block"]:
        """Rows of each block, in the order of the shards."""
        sizes = []
        for rows in self.rows_of_shards:
            full, rest = divmod(rows, self.block_rows)
            sizes += [self.block_rows] * full + ([rest] if rest else [])
        return np.array(sizes, np.int64)

    @cached_property
    def starts(self) -> Int64[np.ndarray, " block"]:
        """The first row of each block, and the number of rows."""
        return np.concatenate([[0], np.cumsum(self.sizes)])

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.starts[-1])

    def covering(self, start: int, stop: int) -> Iterator[BlockRows]:
        """The rows from `start` to `stop`, block by block."""
        first = int(np.searchsorted(self.starts, start, side="right")) - 1
        for block in range(first, len(self.sizes)):
            low, high = int(self.starts[block]), int(self.starts[block + 1])
            if low >= stop:
                return
            yield BlockRows(block, slice(max(start, low) - low, min(stop, high) - low))


def num_lanes(batch_size: int, num_blocks: int, block_bytes: int) -> int:
    """Lanes of a split: a divisor of the batch size, so that every batch takes equally many rows from each."""
    wanted = max(min(batch_size // LEAST_ROWS, MIXED_BLOCKS), batch_size // ROWS_OF_MANY)
    most = max(1, min(wanted, num_blocks, LARGEST_WINDOWS // max(1, block_bytes)))
    return next(lanes for lanes in range(most, 0, -1) if batch_size % lanes == 0)


class EpochOrder:
    """The order of one epoch."""

    def __init__(self, blocks: Blocks, batch_size: int, block_bytes: int, seed: int, epoch: int) -> None:
        self.blocks, self.batch_size = blocks, batch_size
        self.seed, self.epoch = seed, epoch
        num_blocks = len(blocks.sizes)
        self.permuted = torch.randperm(num_blocks, generator=generator(seed, f"blocks/{epoch}")).numpy()
        self.starts = np.concatenate([[0], np.cumsum(blocks.sizes[self.permuted])])
        self.num_full = blocks.num_rows // batch_size
        self.lanes = num_lanes(batch_size, num_blocks, block_bytes)
        self.window_blocks = math.ceil(min(MIXED_BLOCKS, num_blocks) / self.lanes)
        self.rows_per_lane = batch_size // self.lanes
        self.lane_length = self.num_full * self.rows_per_lane

    def lane_range(self, lane: int) -> range:
        """The positions of a lane in the sequence of rows."""
        return range(lane * self.lane_length, (lane + 1) * self.lane_length)

    @property
    def tail(self) -> range:
        """The positions of the last, shorter batch."""
        return range(self.num_full * self.batch_size, self.blocks.num_rows)

    def windows(self, lane: int) -> list[range]:
        """The parts of a lane that are shuffled, each of a few blocks."""
        positions = self.lane_range(lane)
        if not len(positions):
            return []
        first = int(np.searchsorted(self.starts, positions.start, side="right")) - 1
        # The windows of different lanes end at different batches, so that reading is spread over time.
        whole = 1 + lane % self.window_blocks
        edges, block = [positions.start], first + whole
        while block < len(self.starts) and self.starts[block] < positions.stop:
            edges.append(int(self.starts[block]))
            block += self.window_blocks
        edges.append(positions.stop)
        return [range(start, stop) for start, stop in pairwise(edges) if start < stop]

    def pieces(self, positions: range) -> Iterator[BlockRows]:
        """The rows of the blocks at these positions of the sequence."""
        place = int(np.searchsorted(self.starts, positions.start, side="right")) - 1
        while place < len(self.permuted) and self.starts[place] < positions.stop:
            low, high = int(self.starts[place]), int(self.starts[place + 1])
            rows = slice(max(positions.start, low) - low, min(positions.stop, high) - low)
            yield BlockRows(int(self.permuted[place]), rows)
            place += 1

    def shuffled(self, positions: range) -> Int64[np.ndarray, " row"]:
        """The order within a window, keyed by its place in the sequence."""
        stream = generator(self.seed, f"rows/{self.epoch}/{positions.start}")
        return torch.randperm(len(positions), generator=stream).numpy()

"""The order of an epoch in blocks: a permutation, well mixed, and divided so that each rank reads its own blocks."""

import numpy as np
import pytest

from lowerbound.data.block_order import Blocks, EpochOrder, num_lanes
from lowerbound.foundation.shares import Share


def positions(order: EpochOrder, batch: int) -> list[int]:
    """The places of a batch in the sequence of rows, as the definition states them."""
    if batch == order.num_full:
        return [order.tail.start + int(place) for place in order.shuffled(order.tail)]
    found = []
    for lane in range(order.lanes):
        start = order.lane_range(lane).start + batch * order.rows_per_lane
        for place in range(start, start + order.rows_per_lane):
            (window,) = (window for window in order.windows(lane) if place in window)
            found.append(window.start + int(order.shuffled(window)[place - window.start]))
    return found


def rows_at(order: EpochOrder) -> list[int]:
    """The row of each place in the sequence."""
    starts = order.blocks.starts
    whole = range(order.blocks.num_rows)
    return [
        int(starts[piece.block]) + row
        for piece in order.pieces(whole)
        for row in range(piece.rows.start, piece.rows.stop)
    ]


@pytest.mark.parametrize(
    ("shards", "block_rows", "batch_size"),
    [((96, 96, 57), 16, 32), ((100,), 16, 7), ((5,), 16, 8), ((64, 3), 8, 64), ((40,), 4, 100), ((512, 512), 16, 128)],
)
def test_an_epoch_takes_every_row_once_whatever_the_sizes(shards, block_rows, batch_size):
    order = EpochOrder(Blocks(rows_of_shards=shards, block_rows=block_rows), batch_size, 1000, seed=3, epoch=1)
    num_batches = -(-sum(shards) // batch_size)
    places = [place for batch in range(num_batches) for place in positions(order, batch)]
    assert sorted(places) == list(range(sum(shards)))
    assert sorted(rows_at(order)) == list(range(sum(shards)))


def test_epochs_and_seeds_have_orders_of_their_own_and_equal_ones_are_equal():
    blocks = Blocks(rows_of_shards=(640,), block_rows=16)
    orders = [
        EpochOrder(blocks, 32, 1000, seed, epoch).permuted.tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))
    ]
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3


def test_a_batch_is_drawn_from_at_least_sixteen_blocks():
    blocks = Blocks(rows_of_shards=(16 * 200,), block_rows=16)
    for batch_size in (32, 128, 30):
        order = EpochOrder(blocks, batch_size, 1000, seed=0, epoch=0)
        rows = rows_at(order)
        mixed = [len({rows[place] // 16 for place in positions(order, batch)}) for batch in range(3, 20)]
        # A batch of few lanes takes its rows from windows of several blocks.
        assert np.mean(mixed) > 0.8 * min(16, batch_size) - 3


def test_lanes_divide_the_batch_and_are_limited_by_blocks_and_memory():
    assert num_lanes(512, num_blocks=1000, block_bytes=1000) == 16
    assert num_lanes(32, num_blocks=1000, block_bytes=1000) == 4
    assert num_lanes(1024, num_blocks=1000, block_bytes=1000) == 32
    assert num_lanes(100, num_blocks=1000, block_bytes=1000) == 10
    assert num_lanes(7, num_blocks=1000, block_bytes=1000) == 1
    assert num_lanes(1024, num_blocks=5, block_bytes=1000) == 4
    assert num_lanes(1024, num_blocks=1000, block_bytes=2**26) == 4


@pytest.mark.parametrize("num_ranks", [1, 2, 4, 8])
def test_every_block_is_read_by_one_rank_but_those_at_the_edges_of_lanes(num_ranks):
    blocks = Blocks(rows_of_shards=(16 * 300,), block_rows=16)
    order = EpochOrder(blocks, 256, 1000, seed=0, epoch=0)
    readers = np.zeros(len(blocks.sizes), int)
    for rank in range(num_ranks):
        own = Share(rank, num_ranks).rows(256)
        lanes = range(own.start // order.rows_per_lane, -(-own.stop // order.rows_per_lane))
        read = {piece.block for lane in lanes for window in order.windows(lane) for piece in order.pieces(window)}
        readers[list(read)] += 1
    assert (readers > 1).sum() < num_ranks
    assert readers.sum() <= len(blocks.sizes) + num_ranks

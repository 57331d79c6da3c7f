"""Batches of examples on disk: all rows once, resumable, and the same for any number of ranks."""

from functools import partial

import numpy as np
import pytest
import torch

from lowerbound.data.batches import Batches
from lowerbound.data.examples import Examples
from lowerbound.data.packed_batches import blocks_in_order, shuffled_blocks
from lowerbound.data.packed_data import packed_examples
from lowerbound.data.packed_files import (
    PACKED_VERSION,
    STATISTICS,
    Manifest,
    PackedSplit,
    read_manifest,
    write_manifest,
)
from lowerbound.data.remote import Location
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.shares import Share
from lowerbound.foundation.tensor_files import save_tensors
from packed_sets import packed_splits, shards_of


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig(source="digits"))


@pytest.fixture(scope="module")
def packed(digits, tmp_path_factory):
    return load(DataConfig(source=str(packed_splits(tmp_path_factory.mktemp("sets") / "packed", digits, 16))))


def as_set(values: np.ndarray) -> list[bytes]:
    return sorted(row.tobytes() for row in values)


def test_an_epoch_has_every_example_with_its_label(packed, digits):
    batches = list(shuffled_blocks(packed.train.stored.rows, 100, seed=0, epoch=0))
    values, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert [len(part) for part, _ in batches] == [100] * 12 + [57]
    joined = np.concatenate([values.reshape(len(values), -1), labels[:, None]], 1)
    expected = np.concatenate([digits.train.values.reshape(1257, -1), digits.train.labels[:, None]], 1)
    assert as_set(joined) == as_set(expected)


def test_an_epoch_continues_from_any_batch(packed):
    batches = Batches(packed.train, 64)
    whole = list(batches.shuffled(seed=1, epoch=2))
    for start in (1, 7, len(whole) - 1, len(whole)):
        rest = list(batches.shuffled(seed=1, epoch=2, start=start))
        assert len(rest) == len(whole) - start
        for one, other in zip(whole[start:], rest, strict=True):
            torch.testing.assert_close(one.x, other.x, rtol=0, atol=0)


@pytest.mark.parametrize("num_ranks", [2, 3, 4, 7])
def test_the_shares_of_all_ranks_are_the_batch(packed, num_ranks):
    rows = packed.train.stored.rows
    for read in (partial(shuffled_blocks, rows, 48, 0, 0, 0), partial(blocks_in_order, rows, 48)):
        whole = list(read(Share()))
        parts = [list(read(Share(rank, num_ranks))) for rank in range(num_ranks)]
        for batch, pieces in zip(whole, zip(*parts, strict=True), strict=True):
            own = [Share(rank, num_ranks).rows(len(batch[0])) for rank in range(num_ranks)]
            for rank, piece in enumerate(pieces):
                np.testing.assert_array_equal(piece[0], batch[0][own[rank].slice])
                np.testing.assert_array_equal(piece[1], batch[1][own[rank].slice])


def test_ranks_read_the_data_about_once_together(digits, tmp_path):
    rows = load(DataConfig(source=str(packed_splits(tmp_path / "small", digits, 4)))).train.stored.rows
    total = len(rows) * 64
    for num_ranks in (1, 2, 4):
        before = rows.bytes_read
        for rank in range(num_ranks):
            for _ in shuffled_blocks(rows, 256, 0, 0, share=Share(rank, num_ranks)):
                pass
        # A block at the edge of two lanes may be read twice, and those of the last batch by every rank.
        at_edges, of_tail = 8, num_ranks * (1 + len(rows) % 256 // 4 + 1)
        assert rows.bytes_read - before <= total + (at_edges + of_tail) * 4 * 64


def test_batches_in_order_are_those_of_the_split(packed, digits):
    found = torch.cat([batch.x for batch in Batches(packed.train, 100)])
    expected = torch.cat([batch.x for batch in Batches(digits.train, 100)])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_pixels_that_are_redrawn_are_drawn_for_the_position_in_the_epoch(digits, tmp_path):
    folder = str(packed_splits(tmp_path / "packed", digits))
    train = load(DataConfig(source=folder, binarisation="dynamic")).train
    whole = list(Batches(train, 64).shuffled(0, 0))
    half = list(Batches(train, 64, share=Share(1, 2)).shuffled(0, 0))
    assert set(whole[0].x.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(half[3].x, whole[3].x[32:], rtol=0, atol=0)


def test_batch_means_depend_little_on_blocks(tmp_path):
    """Of rows whose mean differs from block to block, the batch means vary as those of fully shuffled rows do."""
    stream = np.random.default_rng(0)
    values = np.repeat(stream.normal(size=320), 32)[:, None] + 0.1 * stream.normal(size=(10_240, 1))
    values = values.astype(np.float32)
    tmp_path.joinpath("sorted").mkdir()
    examples = Examples(values, 1.0, layout="array")
    schema = Schema(layout="array", shape=(1,), dtype="float32", support=examples.support)
    shards = shards_of(tmp_path / "sorted", "train", examples, 32)
    split = PackedSplit(rows=len(values), shards=shards, support=examples.support)
    manifest = Manifest(
        packed_version=PACKED_VERSION, name="sorted", schema=schema, dtype="float32", block_rows=32,
        splits={"train": split}, has_own_splits=False, statistics=STATISTICS,
    )  # fmt: skip
    save_tensors(tmp_path / "sorted" / STATISTICS, {}, {})
    write_manifest(tmp_path / "sorted", manifest)
    location = Location(tmp_path / "sorted")
    rows = packed_examples(location, read_manifest(location)).stored.rows
    means = [float(batch.mean()) for batch, _ in shuffled_blocks(rows, 128, 0, 0)]
    full = values[stream.permutation(len(values))].reshape(-1, 128).mean(1).std()
    in_order = values.reshape(-1, 128).mean(1).std()
    # 8 rows of each of 16 random blocks: the variance of 16 independent draws instead of 128, at worst.
    assert np.std(means) < 0.7 * in_order
    assert np.std(means) < 3.5 * full

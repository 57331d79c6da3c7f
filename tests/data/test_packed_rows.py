"""Values and labels on disk are indexed as arrays are."""

import numpy as np
import pytest

from lowerbound.data.packed_files import read_manifest
from lowerbound.data.packed_rows import OPEN_SHARDS, PackedLabels, PackedRows, PackedValues
from lowerbound.data.remote import Location
from lowerbound.data.sources import DataConfig, load
from packed_sets import packed_splits


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig(source="digits"))


@pytest.fixture(scope="module")
def rows(digits, tmp_path_factory):
    location = Location(packed_splits(tmp_path_factory.mktemp("sets") / "packed", digits))
    manifest = read_manifest(location)
    return PackedRows(location, manifest, manifest.splits["train"].shards)


@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        slice(30, 100),
        slice(96, 97),
        slice(1250, 9999),
        slice(100, 20, -7),
        slice(5, 5),
        np.array([1256, 0, 700, 700, 33]),
        [3, 1],
        7,
    ],
    ids=repr,
)
def test_values_and_labels_are_those_of_an_array(rows, digits, key):
    values, labels = PackedValues(rows, digits.train.support), PackedLabels(rows)
    np.testing.assert_array_equal(values[key], digits.train.values[key])
    np.testing.assert_array_equal(labels[key], digits.train.labels[key])
    assert (values.shape, values.dtype) == (digits.train.values.shape, digits.train.values.dtype)
    assert len(labels) == len(digits.train)


def test_the_first_rows_are_read_without_the_others(rows, digits):
    head = PackedValues(rows, digits.train.support).head(100)
    np.testing.assert_array_equal(head[:], digits.train.values[:100])
    assert head.rows.bytes_read == sum(head.rows.blocks.sizes[:4] > 0) * 32 * 64


def test_each_block_of_chosen_rows_is_read_once(rows, digits):
    before = rows.bytes_read
    rows.chosen(np.array([0, 40, 1, 41, 2]))
    assert rows.bytes_read - before == 2 * 32 * 64


def test_no_more_than_a_few_shards_are_open(rows):
    for number in range(len(rows.blocks.sizes)):
        rows.block(number)
    assert len(rows._readers) <= min(OPEN_SHARDS, len(rows.shards))


def test_the_digest_depends_on_the_values(rows, digits, tmp_path):
    other = Location(packed_splits(tmp_path / "same", digits))
    same = PackedRows(other, read_manifest(other), read_manifest(other).splits["train"].shards)
    different = PackedRows(other, read_manifest(other), read_manifest(other).splits["test"].shards)
    assert rows.digest == same.digest != different.digest

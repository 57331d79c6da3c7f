"""Packed data on disk: Arrow files that other libraries read, with a checksum for every block."""

import json

import numpy as np
import pyarrow
import pyarrow.ipc
import pytest

from lowerbound.data.packed_files import (
    MANIFEST,
    ShardReader,
    block_rows_for,
    described_shard,
    is_packed,
    read_manifest,
    shard_about,
    write_shard,
)
from lowerbound.data.remote import Location
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError
from packed_sets import packed_splits


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig(source="digits"))


@pytest.fixture
def packed(tmp_path, digits):
    return packed_splits(tmp_path / "packed", digits)


def test_shards_are_read_by_pyarrow_alone(packed, digits):
    names = [shard.file for shard in read_manifest(Location(packed)).splits["train"].shards]
    tables = [pyarrow.ipc.open_file(packed / name).read_all() for name in names]
    values = np.concatenate([table["x"].combine_chunks().to_numpy_ndarray() for table in tables])
    labels = np.concatenate([table["label"].to_numpy() for table in tables])
    np.testing.assert_array_equal(values, digits.train.values)
    np.testing.assert_array_equal(labels, digits.train.labels)


def test_the_bytes_of_a_shard_depend_on_its_blocks_alone(tmp_path):
    blocks = [(np.arange(24, dtype=np.float32).reshape(4, 6), None), (np.ones((2, 6), np.float32), None)]
    first, second = (write_shard(tmp_path / name, blocks, "about") for name in ("a.arrow", "b.arrow"))
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()
    assert (first.rows, first.crc32) == (6, second.crc32)
    assert described_shard(tmp_path / "a.arrow") == first
    assert shard_about(tmp_path / "a.arrow") == "about"
    assert shard_about(tmp_path / "absent.arrow") == ""


def test_every_flipped_byte_of_a_block_is_refused_in_one_line(packed):
    manifest = read_manifest(Location(packed))
    shard = manifest.splits["test"].shards[0]
    path = packed / shard.file
    content = bytearray(path.read_bytes())
    values = content.index(bytes(np.asarray(ShardReader(Location(packed), shard, manifest).block(1)[0][0]).tobytes()))
    content[values + 3] ^= 1
    path.write_bytes(content)
    reader = ShardReader(Location(packed), shard, manifest)
    reader.block(0)
    with pytest.raises(DataError, match=r"test-00000\.arrow is damaged \(block 1 does not match its checksum\)"):
        reader.block(1)


def test_a_byte_flipped_anywhere_in_a_shard_is_noticed_or_harmless(packed):
    manifest = read_manifest(Location(packed))
    shard = manifest.splits["test"].shards[0]
    path, stream = packed / shard.file, np.random.default_rng(0)
    original = path.read_bytes()
    blocks = range(-(-shard.rows // manifest.block_rows))
    known = [ShardReader(Location(packed), shard, manifest).block(number)[0] for number in blocks]
    noticed = 0
    for place in stream.integers(0, len(original), 60):
        content = bytearray(original)
        content[place] ^= 1 << int(stream.integers(8))
        path.write_bytes(content)
        try:
            reader = ShardReader(Location(packed), shard, manifest)
            for number in blocks:
                np.testing.assert_array_equal(reader.block(number)[0], known[number])
        except DataError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            noticed += 1
    assert noticed > 40  # the others are padding and metadata of no effect


def test_a_missing_or_truncated_shard_is_named_when_the_data_are_opened(packed):
    path = packed / "train-00002.arrow"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"train-00002\.arrow has [\d,]+ bytes instead of"):
        read_manifest(Location(packed))
    path.unlink()
    with pytest.raises(DataError, match=r"train-00002\.arrow is missing; restore it, or pack the data again"):
        read_manifest(Location(packed))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content["splits"]["train"]["shards"][0].update(crc32="0" * 24), "checksum does not match"),
        (lambda content: content.pop("schema"), "schema: is missing"),
        (lambda content: content.update(packed_version=99), "has version 99"),
    ],
)
def test_an_edited_manifest_is_refused(packed, edit, message):
    content = json.loads((packed / MANIFEST).read_text())
    edit(content)
    (packed / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_manifest(Location(packed))


def test_a_folder_without_a_manifest_is_not_packed(packed, tmp_path):
    assert is_packed(Location(packed))
    (packed / MANIFEST).unlink()
    assert not is_packed(Location(packed))


def test_blocks_of_large_examples_have_fewer_rows():
    assert block_rows_for(784) == 256
    assert block_rows_for(3 * 256 * 256) == 16
    assert block_rows_for(2**30) == 1

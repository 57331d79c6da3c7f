"""Packed data as splits: what training sees is what it sees of the same data in memory."""

import numpy as np
import pytest
import torch

from lowerbound.data.batches import deviation_of, mean_of
from lowerbound.data.packed_data import load_packed, packed_examples
from lowerbound.data.packed_files import STATISTICS, read_manifest
from lowerbound.data.remote import Location
from lowerbound.data.sources import DataConfig, collect, load
from lowerbound.foundation.errors import ConfigError, DataError, TooLarge
from packed_sets import packed_splits


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig(source="digits"))


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    return packed_splits(tmp_path_factory.mktemp("sets") / "packed", digits)


def test_splits_statistics_and_schema_are_those_of_the_data_in_memory(folder, digits):
    packed = load(DataConfig(source=str(folder)))
    assert packed.train.is_on_disk and not packed.test.is_on_disk
    for name in ("train", "validation", "test"):
        one, other = getattr(packed, name), getattr(digits, name)
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(np.asarray(one.labels), other.labels)
        assert one.support == other.support
        assert one.event_shape == other.event_shape
    torch.testing.assert_close(mean_of(packed.train), mean_of(digits.train))
    torch.testing.assert_close(deviation_of(packed.train), deviation_of(digits.train))
    assert packed.schema == digits.schema
    assert packed.label_names == digits.label_names


def test_static_binarisation_draws_the_same_pixels_as_in_memory(folder):
    packed = load(DataConfig(source=str(folder), binarisation="static", binarisation_seed=3))
    known = load(DataConfig(source="digits", binarisation="static", binarisation_seed=3))
    np.testing.assert_array_equal(packed.train.values, known.train.values)
    np.testing.assert_array_equal(packed.train.stored[700:705], known.train.values[700:705])
    np.testing.assert_array_equal(packed.validation.values, known.validation.values)
    np.testing.assert_array_equal(packed.test.values, known.test.values)
    assert packed.train.range == (0.0, 1.0)
    # The mean of the draws is that of the grey values, up to their noise.
    torch.testing.assert_close(mean_of(packed.train), mean_of(known.train), rtol=0, atol=0.06)


def test_dynamic_binarisation_keeps_the_grey_values_of_training_images(folder, digits):
    packed = load(DataConfig(source=str(folder), binarisation="dynamic"))
    assert packed.train.is_redrawn
    np.testing.assert_array_equal(packed.train.values, digits.train.values)
    assert packed.binarisation == "dynamic binarisation, seed 0"
    assert packed.checksum != load(DataConfig(source=str(folder))).checksum


@pytest.mark.parametrize(
    "setting", [{"split_seed": 1}, {"num_held_out": 5}, {"layout": "array"}, {"validation": "test"}, {"size": "8x8"}]
)
def test_a_setting_that_packing_has_decided_is_refused(folder, setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"data.{name} is decided when data are packed; remove it, or pack"):
        load(DataConfig(source=str(folder), **setting))


@pytest.mark.parametrize("name", ["train-00000.arrow", "packed.json", "statistics.safetensors"])
def test_one_file_of_packed_data_is_refused_with_the_folder_to_give(folder, name):
    with pytest.raises(DataError, match=rf"{name} is one file of packed data; give their folder, .*{folder.name}\."):
        load(DataConfig(source=str(folder / name)))


def test_held_out_examples_count_against_the_memory_limit(folder):
    with pytest.raises(TooLarge, match=r"split validation, is read into memory and takes .* data\.max_gib"):
        load(DataConfig(source=str(folder), max_gib=1e-6))


def test_damaged_statistics_are_refused(digits, tmp_path):
    folder = packed_splits(tmp_path / "packed", digits)
    content = bytearray((folder / STATISTICS).read_bytes())
    content[-1] ^= 1
    (folder / STATISTICS).write_bytes(content)
    with pytest.raises(DataError, match=r"statistics\.safetensors"):
        load_packed(Location(folder), DataConfig())


def test_all_rows_are_those_of_the_splits_one_after_another(folder, digits):
    location = Location(folder)
    examples = packed_examples(location, read_manifest(location))
    expected = np.concatenate([digits.train.values, digits.validation.values, digits.test.values])
    np.testing.assert_array_equal(examples.values, expected)


def test_inspection_sees_a_part_and_says_so(folder):
    found = collect(DataConfig(source=str(folder)))
    assert len(found.examples) == 1257 and found.notes == ()


def test_values_beyond_the_memory_limit_are_not_read_whole(folder, monkeypatch):
    from lowerbound.data import examples
    from lowerbound.data.reading import Limit

    monkeypatch.setattr(examples, "STANDARD_LIMIT", Limit(1000))
    train = load(DataConfig(source=str(folder))).train
    with pytest.raises(TooLarge, match="packed takes"):
        _ = train.values
    assert len(train.first(3)) == 3

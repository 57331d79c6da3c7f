"""Splits are disjoint, complete and repeatable, and those that data bring are kept."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_files import message_of, numbered_images, parts, positions
from lowerbound.data import sources
from lowerbound.data.examples import Collection, Examples
from lowerbound.data.sources import DataConfig, load, split_order
from lowerbound.data.splits import pool_with_default_splits
from lowerbound.foundation.errors import ConfigError, DataError, UnknownName


def test_the_order_of_the_examples_is_what_it_always_was():
    # Were this to change, splits would change under runs that are compared with older ones.
    assert split_order(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert split_order(8, 1).tolist() != [3, 2, 1, 6, 0, 7, 4, 5]


@given(num_examples=st.integers(0, 300), split_seed=st.integers(0, 2**64))
def test_the_order_is_a_permutation_and_a_function_of_its_arguments(num_examples, split_seed):
    order = split_order(num_examples, split_seed)
    assert sorted(order) == list(range(num_examples))
    assert order.tolist() == split_order(num_examples, split_seed).tolist()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(number=st.integers(3, 250), split_seed=st.integers(0, 99))
def test_a_file_is_split_80_10_10_into_disjoint_parts_of_the_whole(tmp_path_factory, number, split_seed):
    path = numbered_images(tmp_path_factory.getbasetemp() / "images.npy", number)
    splits = load(DataConfig(source=str(path), split_seed=split_seed))
    assert len(splits.validation) == len(splits.test) == max(1, number // 10)
    assert sorted(chain(*map(positions, parts(splits)))) == list(range(number))


def test_a_split_of_a_sorted_file_begins_with_a_mixture(tmp_path):
    splits = load(DataConfig(source=str(numbered_images(tmp_path / "images.npy", 250))))
    assert all(positions(part)[:9] != sorted(positions(part))[:9] for part in parts(splits))


def test_a_file_can_be_watched_on_its_test_split(tmp_path):
    source = str(numbered_images(tmp_path / "images.npy", 50))
    splits = load(DataConfig(source=source, validation="test"))
    assert tuple(map(len, parts(splits))) == (45, 5, 5)
    assert splits.monitored == "test"
    assert not set(positions(splits.train)) & set(positions(splits.test))


def test_the_last_training_images_are_held_out_where_asked_for():
    random = load(DataConfig(num_held_out=7))
    last = load(DataConfig(num_held_out=7, held_out="last"))
    assert (len(random.train), len(random.validation)) == (len(last.train), len(last.validation)) == (1430, 7)
    np.testing.assert_array_equal(random.test.values, last.test.values)
    whole = load(DataConfig(held_out="last", validation="test")).train.values
    np.testing.assert_array_equal(np.concatenate([last.train.values, last.validation.values]), whole)


def test_more_images_than_there_are_cannot_be_held_out():
    with pytest.raises(ConfigError, match=r"num_held_out is 1,437, and digits has 1,437 images"):
        load(DataConfig(num_held_out=1437))


def test_splits_of_a_mapped_file_are_in_memory(tmp_path):
    path = numbered_images(tmp_path / "images.npy", 50)
    train = load(DataConfig(source=str(path))).train
    before = positions(train)
    numbered_images(path, 3)
    assert positions(train) == before


def test_settings_out_of_range_are_refused():
    assert message_of(ConfigError, DataConfig(split_seed=-1)) == "data.split_seed needs at least 0, got -1."
    config = DataConfig()
    object.__setattr__(config, "validation", "tset")
    assert "did you mean 'test'?" in message_of(UnknownName, config)


def test_the_checksum_changes_with_pixels_labels_shape_and_scale():
    images = np.zeros((2, 4, 6, 1), np.uint8)
    other = images.copy()
    other[1, 3, 5, 0] = 1
    variants = [
        sources.Examples(images, 255.0),
        sources.Examples(images, 1.0),
        sources.Examples(images, 255.0, min_value=-1.0),
        sources.Examples(other, 255.0),
        sources.Examples(images.reshape(2, 6, 4, 1), 255.0),
        sources.Examples(images, 255.0, np.array([0, 1])),
        sources.Examples(images, 255.0, np.array([1, 0])),
    ]
    assert len({sources.checksum([variant]) for variant in variants}) == len(variants)
    assert sources.checksum([variants[0]]) == sources.checksum([sources.Examples(images.copy(), 255.0)])


def collection(num_train: int, num_validation: int, num_test: int) -> Collection:
    """Images that are filled with their positions: training, validation, test."""
    number = num_train + num_validation + num_test
    values = np.broadcast_to(np.arange(number, dtype=np.float32)[:, None, None, None], (number, 2, 2, 1))
    return Collection(Examples(values, 1.0), num_validation=num_validation, num_test=num_test)


@given(
    st.integers(3, 60), st.integers(0, 9), st.integers(0, 9), st.integers(0, 99), st.sampled_from(["held-out", "test"])
)
def test_given_splits_are_kept_and_the_others_are_a_tenth_of_the_training_examples(train, val, test, seed, monitored):
    pool = pool_with_default_splits("data", collection(train, val, test), seed)
    splits = sources.split_pool(pool, "data", "data", DataConfig(validation=monitored, split_seed=seed))
    own = [range(train), range(train, train + val), range(train + val, train + val + test)]
    found = [set(positions(part)) for part in parts(splits)]
    tenth = max(1, train // 10)
    assert found[2] == set(own[2]) if test else (len(found[2]) == tenth and found[2] <= set(own[0]))
    if monitored == "test":
        assert found[1] == found[2] and found[0] == set(range(train + val + test)) - found[2]
        return
    assert found[1] == set(own[1]) if val else (len(found[1]) == tenth and found[1] <= set(own[0]))
    assert found[0] <= set(own[0])
    assert sorted(chain(*map(positions, parts(splits)))) == list(range(train + val + test))


@pytest.mark.parametrize("settings", [{"num_held_out": 2}, {"held_out": "last"}])
def test_of_data_with_a_validation_split_no_others_are_held_out(settings):
    pool = pool_with_default_splits("data", collection(20, 3, 0), 0)
    with pytest.raises(ConfigError, match="data has its own validation split; remove"):
        sources.split_pool(pool, "data", "data", DataConfig(**settings))


@pytest.mark.parametrize(("sizes", "needed"), [((0, 3, 3), 1), ((1, 0, 3), 2), ((1, 3, 0), 2)])
def test_too_few_training_examples_beside_given_splits_are_refused(sizes, needed):
    with pytest.raises(
        DataError, match=f"contains {sizes[0]} training example.* besides its splits; it needs at least {needed}"
    ):
        pool_with_default_splits("data", collection(*sizes), 0)

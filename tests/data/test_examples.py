"""Examples, collections and their subsets."""

import numpy as np
import pytest

from lowerbound.data.examples import Collection, Examples, evenly_spaced, to_model_scale


def examples(number=10):
    return Examples(np.arange(number * 12, dtype=np.uint8).reshape(number, 2, 3, 2), 255.0, np.arange(number))


def test_the_shape_of_an_event_has_the_channels_first():
    assert examples().event_shape == (2, 2, 3)


def test_missing_cells_of_a_row_are_not_known_values():
    rows = Examples(np.array([[1.0, np.nan], [2.0, 3.0]], np.float32), 1.0, layout="table")
    assert rows.num_known.tolist() == [1, 2]
    assert rows.support.has_missing


@pytest.mark.parametrize(
    ("values", "top", "levels"), [([0, 3, 7], 7, 8), ([0, 51 / 255, 1], 1, 256), ([0, 0.1234, 1], 1, 0), ([0, 8], 7, 0)]
)
def test_levels_are_recognised_in_either_unit(values, top, levels):
    array = np.array([values], np.float32)
    assert Examples(array, float(top), layout="array").support.num_levels == levels


def test_a_subsample_is_evenly_spaced_from_the_first_to_the_last():
    assert evenly_spaced(10, 4).tolist() == [0, 3, 6, 9]
    assert examples().subsample(4).labels.tolist() == [0, 3, 6, 9]
    assert len(examples().subsample(100)) == 10


def test_a_subset_keeps_ids_and_splits():
    whole = Collection(examples(), ids=tuple("abcdefghij"), num_validation=3, num_test=2)
    part = whole.subset(np.array([0, 5, 6, 9]))
    assert (part.ids, part.num_validation, part.num_test) == (("a", "f", "g", "j"), 2, 1)


@pytest.mark.parametrize(("scale", "seen"), [((0.0, 16.0), [0.0, 0.5, 1.0]), ((-16.0, 16.0), [0.5, 0.75, 1.0])])
def test_the_range_becomes_zero_to_one(scale, seen):
    assert to_model_scale(np.array([0, 8, 16]), scale).tolist() == seen

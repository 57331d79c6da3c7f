"""Names of predefined splits."""

import pytest

from lowerbound.data.split_names import NAMES, split_from_name, split_note


@pytest.mark.parametrize(("split", "names"), NAMES.items())
def test_every_name_stands_for_its_split_in_any_case(split, names):
    assert {split_from_name(spelling) for name in names for spelling in (name, name.upper())} == {split}


def test_other_names_stand_for_none():
    assert split_from_name("unsupervised") is None


def test_the_note_has_the_sizes_in_order_and_no_empty_split():
    assert split_note({"test": 3, "train": 1_200, "validation": 0}) == "predefined splits: train 1,200, test 3"

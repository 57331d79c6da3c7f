"""Packed data as inputs of a model: read by its schema, numbered by their place in all the data."""

from dataclasses import replace

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.data.remote import Location
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import SchemaError, TooLarge
from lowerbound.runs.inputs import InputOptions, read_inputs
from lowerbound.runs.packed_inputs import PackedInputs
from packed_sets import packed_splits, untrained


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig(source="digits"))


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    return untrained(digits, tmp_path_factory.mktemp("models"), likelihood="gaussian")


def test_an_example_that_does_not_fit_is_named_by_its_number_in_all_the_data(trained, digits, tmp_path):
    values = digits.test.values.copy()
    values[123, 2, 3] = 200
    odd = replace(digits, test=replace(digits.test, stored=values))
    folder = str(packed_splits(tmp_path / "packed", odd))
    found = PackedInputs(trained, Location(folder), False)
    with pytest.raises(SchemaError, match=r"example 1560, element 2,3,0 is 200"):
        found.part(1500, 1600)
    skipping = PackedInputs(trained, Location(folder), True)
    part = skipping.part(1500, 1600)
    assert part.ids.tolist() == [number for number in range(1500, 1600) if number != 1560]
    assert len(part.examples) == 99 and "example 1560" in part.collection.skipped[0]


def test_data_of_another_shape_are_refused(trained, tmp_path):
    splits = lb.split_array(np.random.default_rng(0).integers(0, 17, (50, 5, 5), np.uint8))
    found = PackedInputs(trained, Location(str(packed_splits(tmp_path / "packed", splits))), False)
    with pytest.raises(SchemaError, match=r"examples are 10×5×5×1, but the model was trained on N×8×8×1"):
        found.part(0, 10)


def test_rows_of_a_table_are_those_that_the_table_gives(tmp_path):
    stream = np.random.default_rng(1)
    columns = {"height": stream.normal(170, 10, 80), "colour": stream.choice(["red", "blue"], 80)}
    splits = lb.split_array(columns)
    trained = untrained(splits, tmp_path, likelihood="table")
    folder = str(packed_splits(tmp_path / "packed", splits))
    part = PackedInputs(trained, Location(folder), False).part(0, 64)
    np.testing.assert_array_equal(part.examples.values, splits.train.values)
    other = lb.split_array(columns | {"colour": stream.choice(["red", "green"], 80)})
    with pytest.raises(SchemaError, match="column 'colour' is of another kind"):
        PackedInputs(trained, Location(str(packed_splits(tmp_path / "others", other))), False)


def test_packed_data_are_read_whole_where_a_task_needs_them_within_the_limit(trained, digits, tmp_path):
    folder = str(packed_splits(tmp_path / "packed", digits))
    found = read_inputs(trained, [folder])
    assert len(found.examples) == 1797 and found.label_names == digits.label_names
    np.testing.assert_array_equal(found.examples.values[:1257], digits.train.values)
    with pytest.raises(TooLarge, match=r"is read into memory and takes .* or encode or score them part by part"):
        read_inputs(trained, [folder], InputOptions(max_gib=1e-5))

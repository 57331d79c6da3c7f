"""Inputs part by part: the same examples, ids and labels as read whole, from packed data and from anything else."""

from dataclasses import replace

import numpy as np
import pytest

from lowerbound.data.sources import DataConfig, load
from lowerbound.inference.input_parts import LoadedInputs, first_of, open_inputs, parts_of
from lowerbound.runs.inputs import InputOptions, read_inputs
from packed_sets import packed_splits, untrained


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig(source="digits"))


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    return untrained(digits, tmp_path_factory.mktemp("models"), likelihood="gaussian")


@pytest.mark.parametrize("rows_at_once", [7, 100, 10_000])
def test_packed_rows_are_those_of_all_splits_in_order(trained, digits, tmp_path, rows_at_once):
    found = open_inputs(trained, [str(packed_splits(tmp_path / "packed", digits))], InputOptions())
    found.rows_at_once = rows_at_once
    parts = list(parts_of(found, 3, 1700))
    values = np.concatenate([part.examples.values for part in parts])
    splits = (digits.train, digits.validation, digits.test)
    np.testing.assert_array_equal(values, np.concatenate([split.values for split in splits])[3:1700])
    assert np.concatenate([part.ids for part in parts]).tolist() == list(range(3, 1700))
    labels = np.concatenate([np.array(part.collection.label_names)[part.examples.labels] for part in parts])
    assert labels.tolist() == np.concatenate([split.labels for split in splits])[3:1700].astype(str).tolist()


def test_other_inputs_keep_their_ids_and_what_was_skipped_comes_once(trained, tmp_path, digits):
    np.save(tmp_path / "digits.npy", digits.test.values)
    whole = read_inputs(trained, [str(tmp_path / "digits.npy")])
    named = replace(whole, ids=tuple(f"name {number}" for number in range(360)), skipped=("one",), notes=("two",))
    inputs = LoadedInputs(named)
    inputs.rows_at_once = 100
    parts = list(parts_of(inputs))
    assert [len(part.examples) for part in parts] == [100, 100, 100, 60]
    assert parts[3].ids[-1] == "name 359"
    assert [part.collection.skipped for part in parts] == [("one",), (), (), ()]
    assert LoadedInputs(whole).part(5, 8).ids.tolist() == [5, 6, 7]


def test_the_first_examples_are_at_most_all_of_them(trained, tmp_path, digits):
    packed = open_inputs(trained, [str(packed_splits(tmp_path / "packed", digits))], InputOptions())
    few = first_of(packed, 5)
    np.testing.assert_array_equal(few.values, digits.train.values[:5])
    np.save(tmp_path / "digits.npy", digits.test.values[:3])
    assert len(first_of(open_inputs(trained, [str(tmp_path / "digits.npy")], InputOptions()), 5)) == 3

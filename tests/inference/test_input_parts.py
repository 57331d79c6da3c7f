"""Inputs part by part: the same examples, ids and labels as read whole, from packed data and from anything else."""

from dataclasses import replace

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import SchemaError
from lowerbound.inference.input_parts import LoadedInputs, open_inputs, parts_of
from lowerbound.runs.inputs import InputOptions, read_inputs
from packed_sets import packed_splits


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig(source="digits"))


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    from lowerbound.foundation.seeding import generator
    from lowerbound.models.config import ModelConfig
    from lowerbound.models.construction import build_model

    config = ModelConfig(hidden=(8,), likelihood="gaussian", network="dense")
    model = build_model(config, (1, 8, 8), generator(0, "weights"))
    return lb.load(lb.save(model, tmp_path_factory.mktemp("models") / "model.safetensors", digits))


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


def test_an_example_that_does_not_fit_is_named_by_its_number_in_all_the_data(trained, digits, tmp_path):
    values = digits.test.values.copy()
    values[123, 2, 3] = 200
    odd = replace(digits, test=replace(digits.test, stored=values))
    folder = str(packed_splits(tmp_path / "packed", odd))
    found = open_inputs(trained, [folder], InputOptions())
    with pytest.raises(SchemaError, match=r"example 1560, element 2,3,0 is 200"):
        found.part(1500, 1600)
    skipping = open_inputs(trained, [folder], InputOptions(skip_broken=True))
    part = skipping.part(1500, 1600)
    assert part.ids.tolist() == [number for number in range(1500, 1600) if number != 1560]
    assert len(part.examples) == 99 and "example 1560" in part.collection.skipped[0]


def test_data_of_another_shape_are_refused(trained, tmp_path):
    splits = lb.split_array(np.random.default_rng(0).integers(0, 17, (50, 5, 5), np.uint8))
    found = open_inputs(trained, [str(packed_splits(tmp_path / "packed", splits))], InputOptions())
    with pytest.raises(SchemaError, match=r"examples are 10×5×5×1, but the model was trained on N×8×8×1"):
        found.part(0, 10)


def test_rows_of_a_table_are_those_that_the_table_gives(tmp_path):
    stream = np.random.default_rng(1)
    columns = {"height": stream.normal(170, 10, 80), "colour": stream.choice(["red", "blue"], 80)}
    splits = lb.split_array(columns)
    from lowerbound.foundation.seeding import generator
    from lowerbound.models.config import ModelConfig
    from lowerbound.models.construction import build_model

    config = ModelConfig(hidden=(8,), likelihood="table", network="dense")
    model = build_model(config, (2,), generator(0, "weights"), columns=splits.train.columns)
    trained = lb.load(lb.save(model, tmp_path / "model.safetensors", splits))
    folder = str(packed_splits(tmp_path / "packed", splits))
    part = open_inputs(trained, [folder], InputOptions()).part(0, 64)
    np.testing.assert_array_equal(part.examples.values, splits.train.values)
    other = lb.split_array(columns | {"colour": stream.choice(["red", "green"], 80)})
    with pytest.raises(SchemaError, match="column 'colour' is of another kind"):
        open_inputs(trained, [str(packed_splits(tmp_path / "others", other))], InputOptions())

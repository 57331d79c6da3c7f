"""Conditions are taken out of the data for training, and later read by the schema; others are refused in one line."""

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.data.conditions import conditioned, context_rows, replaced_context, resolved
from lowerbound.data.examples import Collection
from lowerbound.data.files import ReadingOptions, to_collection
from lowerbound.data.objects import read_object
from lowerbound.data.raw_array import RawArray
from lowerbound.foundation.errors import ConfigError, DataError, SchemaError, UsageError

NUM = 60


def table(**changed):
    noise = np.random.default_rng(0)
    columns = {
        "height": noise.normal(size=NUM).round(3).tolist(),
        "weight": noise.normal(size=NUM).round(3).tolist(),
        "site": [["north", "south", "east"][row % 3] for row in range(NUM)],
        "age": (20 + noise.random(NUM) * 50).round(1).tolist(),
        "group": ["case" if row % 2 else "control" for row in range(NUM)],
    }
    return columns | changed


def splits_of(columns, labels=None):
    from lowerbound.runs.run_data import splits_in_memory

    return splits_in_memory(columns, labels)


def read(columns, schema, **given):
    return to_collection(read_object(columns, place="the table"), ReadingOptions(schema=schema, given=given))


def test_columns_are_taken_out_of_x():
    plain = splits_of(table())
    splits = conditioned(plain, ["site", "age"])
    assert [column.name for column in splits.schema.columns] == ["height", "weight", "group"]
    assert [column.name for column in splits.schema.conditions] == ["site", "age"]
    assert splits.schema.shape == (3,)
    for part, whole in ((splits.train, plain.train), (splits.validation, plain.validation), (splits.test, plain.test)):
        np.testing.assert_array_equal(part.values, whole.values[:, [0, 1, 4]])
        np.testing.assert_array_equal(part.context, whole.values[:, [2, 3]])
    assert splits.checksum != plain.checksum


def test_labels_are_the_context_and_the_checksum_is_that_of_the_unconditional_data():
    plain = lb.load_data(lb.DataConfig(source="digits"))
    splits = conditioned(plain, ["label"])
    np.testing.assert_array_equal(splits.test.context[:, 0], plain.test.labels)
    assert splits.schema.conditions[0].levels == plain.label_names
    assert splits.checksum == plain.checksum  # so that runs with and without labels are compared in pairs
    assert conditioned(splits, ["label"]) is splits
    assert conditioned(plain, []) is plain


def test_new_rows_are_read_by_the_schema():
    schema = conditioned(splits_of(table()), ["site", "age"]).schema
    found = read({name: cells[:4] for name, cells in table().items()}, schema)
    levels = schema.conditions[0].levels
    assert [levels[int(code)] for code in found.examples.context[:, 0]] == ["north", "south", "east", "north"]
    ages = found.examples.context[:, 1] + schema.conditions[1].offset
    np.testing.assert_allclose(ages, table()["age"][:4], rtol=1e-6)
    replaced = read({name: cells[:4] for name, cells in table().items()}, schema, site="east")
    assert {levels[int(code)] for code in replaced.examples.context[:, 0]} == {"east"}


@pytest.mark.parametrize(
    ("changed", "given", "error", "message"),
    [
        (
            {"site": ["west"] * NUM},
            {},
            SchemaError,
            r"row 0, column|row 0 has the site 'west', which the model does not",
        ),
        ({"site": [None] * NUM}, {}, SchemaError, "row 0 has no site; accepted: 'east', 'north', 'south'"),
        ({"age": ["old"] * NUM}, {}, SchemaError, "row 0 has the age 'old'"),
        ({}, {"site": "west"}, SchemaError, "a value is given that is the site 'west', which the model does not know"),
        ({}, {"colour": "red"}, UsageError, "a value of 'colour' is given, .* it is conditional on 'site', 'age'"),
        ({}, {"site": ["east"]}, UsageError, "1 value of 'site' given for 60 examples"),
    ],
)
def test_what_the_model_does_not_know_is_refused(changed, given, error, message):
    schema = conditioned(splits_of(table()), ["site", "age"]).schema
    with pytest.raises(error, match=message):
        read(table(**changed), schema, **given)


def test_a_table_without_the_column_is_refused_unless_a_value_is_given():
    schema = conditioned(splits_of(table()), ["site"]).schema
    columns = {name: cells for name, cells in table().items() if name != "site"}
    with pytest.raises(UsageError, match="the model is conditional on 'site', which the table lacks; give it"):
        read(columns, schema)
    assert len(read(columns, schema, site="north").examples) == NUM


def test_rows_without_a_condition_are_skipped_where_broken_ones_are():
    schema = conditioned(splits_of(table()), ["site"]).schema
    columns = table(site=[None, *table()["site"][1:]])
    options = ReadingOptions(schema=schema, skip_broken=True)
    found = to_collection(read_object(columns, place="the table"), options)
    assert list(found.unreadable) == [0]
    assert "row 0 has no site" in found.unreadable[0]


def test_an_array_is_given_its_labels():
    schema = conditioned(splits_of(np.random.default_rng(0).random((NUM, 4)), ["a", "b", "c"] * 20), ["label"]).schema
    raw = RawArray(place="the array", values=np.random.default_rng(1).random((3, 4)), labels=["c", "a", "b"])
    found = to_collection(raw, ReadingOptions(schema=schema))
    np.testing.assert_array_equal(found.examples.context[:, 0], [2, 0, 1])
    unseen = RawArray(place="the array", values=raw.values, labels=["c", "d", None])
    with pytest.raises(SchemaError, match="example 1 has the label 'd', which the model does not know"):
        to_collection(unseen, ReadingOptions(schema=schema))
    kept = to_collection(unseen, ReadingOptions(schema=schema, skip_broken=True))
    np.testing.assert_array_equal(kept.examples.context, [[2]])
    assert [text.split(" has ")[1] for text in kept.skipped] == [
        "the label 'd', which the model does not know; accepted: 'a', 'b', 'c'",
        "no label; accepted: 'a', 'b', 'c'",
    ]
    with pytest.raises(UsageError, match="conditional on 'label', which the array lacks"):
        to_collection(RawArray(place="the array", values=raw.values), ReadingOptions(schema=schema))


@pytest.mark.parametrize(
    ("names", "columns", "labels", "message"),
    [
        (
            ["sight"],
            table(),
            None,
            "model.condition_on names 'sight', which is not in data; accepted: 'height'",
        ),
        (["label"], table(), None, "model.condition_on=label needs labels, and there are none in data"),
        (list(table()), table(), None, "names every column; at least one has to be left for x"),
    ],
)
def test_conditions_that_the_data_do_not_have_are_refused(names, columns, labels, message):
    with pytest.raises(ConfigError, match=message):
        conditioned(splits_of(columns, labels), names)


def test_missing_cells_and_labels_are_refused_in_training():
    with pytest.raises(
        DataError, match=r"missing cells in column 'site' of one of its splits, and model\.condition_on needs"
    ):
        conditioned(splits_of(table(site=[None] * 30 + table()["site"][30:])), ["site"])
    some = [None] * 30 + ["a", "b"] * 15
    with pytest.raises(DataError, match=r"has examples without a label, which a model with model\.condition_on=label"):
        conditioned(splits_of(np.random.default_rng(0).random((NUM, 4)), some), ["label"])


def test_values_become_rows_and_replace_those_of_the_data():
    splits = conditioned(splits_of(table(), None), ["site", "age"])
    rows = context_rows(splits.schema, {"site": ["north", "east"], "age": 30}, 2)
    assert rows[:, 0].tolist() == [1, 0]
    assert rows[0, 1] == rows[1, 1]
    collection = replaced_context(Collection(splits.test, schema=splits.schema), splits.schema, {"site": "south"})
    assert set(collection.examples.context[:, 0]) == {2}
    np.testing.assert_array_equal(collection.examples.context[:, 1], splits.test.context[:, 1])
    with pytest.raises(UsageError, match="conditional on 'age', so give a value"):
        context_rows(splits.schema, {"site": "north"}, 1)


def test_label_stands_for_a_column_of_labels():
    from dataclasses import replace

    splits = conditioned(lb.load_data(lb.DataConfig(source="digits")), ["label"])
    column = replace(splits.schema.conditions[0], name="digit")
    schema = replace(splits.schema, label="digit", conditions=(column,))
    assert resolved(schema, {"label": "3"}) == {"digit": "3"}
    with pytest.raises(UsageError, match="it is not conditional"):
        resolved(replace(splits.schema, conditions=()), {"label": "3"})


def test_a_column_that_is_called_label_is_a_column_like_others():
    splits = conditioned(splits_of(table(label=["p", "q"] * 30)), ["label"])
    assert [column.name for column in splits.schema.conditions] == ["label"]
    assert set(splits.train.context[:, 0]) == {0, 1}
    assert "label" not in [column.name for column in splits.schema.columns]


def test_a_column_of_one_value_is_not_called_absent():
    with pytest.raises(ConfigError, match="'site', which has the same value in every row, or was excluded"):
        conditioned(splits_of(table(site=["A"] * NUM)), ["site"])


def test_a_value_that_is_given_is_not_blamed_for_an_unknown_level_elsewhere():
    schema = conditioned(splits_of(table()), ["site", "age"]).schema
    columns = table(site=["west", *table()["site"][1:]])
    with pytest.raises(SchemaError, match="row 0 has the site 'west'"):
        read(columns, schema, age=30)
    options = ReadingOptions(schema=schema, skip_broken=True, given={"age": 30})
    found = to_collection(read_object(columns, place="the table"), options)
    assert list(found.unreadable) == [0]
    assert np.isfinite(found.examples.context).all()  # networks take every row, and rows that are skipped have no score


def test_a_name_may_contain_an_equals_sign():
    columns = table()
    columns["a=b"] = columns.pop("site")
    schema = conditioned(splits_of(columns), ["a=b"]).schema
    assert resolved(schema, {"a": "b=north"}) == {"a=b": "north"}
    with pytest.raises(UsageError, match="a value of 'a' is given, which the model does not take"):
        resolved(schema, {"a": "c=north"})


def with_factors(num=240):
    noise = np.random.default_rng(1)
    factors = {
        "dose": noise.uniform(0.0, 3.0, num).round(3).tolist(),
        "site": noise.choice(["north", "south"], num).tolist(),
        "day": noise.integers(1, 4, num).tolist(),
    }
    return noise.normal(size=(num, 4)).astype(np.float32), factors


def test_factors_of_an_array_are_conditions_and_then_no_factors():
    from lowerbound.runs.run_data import splits_in_memory

    x, factors = with_factors()
    plain = splits_in_memory(x, factors=factors)
    splits = conditioned(plain, ["dose", "site"])
    assert [(column.name, column.kind) for column in splits.schema.conditions] == [
        ("dose", "numeric"), ("site", "binary"),
    ]  # fmt: skip
    assert splits.schema.shape == (4,)
    for part, whole in ((splits.train, plain.train), (splits.test, plain.test)):
        np.testing.assert_array_equal(part.values, whole.values)
        assert part.factors.names == ("day",)
        rows = [int(np.flatnonzero((x == row).all(1))[0]) for row in part.values]
        doses = np.array(factors["dose"])[rows]  # the numbers, although the factor was divided into intervals
        np.testing.assert_allclose(part.context[:, 0], doses, rtol=1e-6)
        assert [splits.schema.conditions[1].levels[int(code)] for code in part.context[:, 1]] == [
            factors["site"][row] for row in rows
        ]
    assert conditioned(plain, ["dose", "site", "day"]).train.factors is None


def test_new_arrays_bring_the_conditions_as_factors():
    from lowerbound.runs.run_data import splits_in_memory

    x, factors = with_factors()
    schema = conditioned(splits_in_memory(x, factors=factors), ["dose", "site"]).schema
    options = ReadingOptions(schema=schema)
    new = {name: cells[:3] for name, cells in factors.items()}
    found = to_collection(read_object(x[:3], place="x", factors=new), options).examples
    np.testing.assert_allclose(found.context[:, 0], factors["dose"][:3], rtol=1e-6)
    assert found.factors.names == ("day",)
    with pytest.raises(SchemaError, match="x: example 1 has the site 'west', which the model does not know"):
        to_collection(read_object(x[:3], place="x", factors=new | {"site": ["north", "west", "south"]}), options)


def test_a_factor_of_one_value_or_of_numbers_to_infer_is_no_condition():
    from lowerbound.runs.run_data import splits_in_memory

    x, factors = with_factors()
    splits = splits_in_memory(x, factors=factors | {"unit": ["mg"] * len(x)})
    with pytest.raises(ConfigError, match="names 'unit', which has the same value for every example"):
        conditioned(splits, ["unit"])
    with pytest.raises(ConfigError, match="infers levels, and factor 'dose' is numeric"):
        conditioned(splits, ["dose"], infers=True)
    with pytest.raises(ConfigError, match="accepted: 'dose', 'site', 'day', 'unit'"):
        conditioned(splits, ["age"])

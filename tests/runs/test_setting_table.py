"""The table of settings is complete, and agrees with what the configuration accepts."""

import json
import math
import re

import pytest

from lowerbound.foundation.errors import LowerboundError, UnknownName, UsageError
from lowerbound.foundation.keywords import KEYWORDS
from lowerbound.probability.priors import PRIORS, StandardNormalPrior
from lowerbound.runs.experiment import Experiment, resolve
from lowerbound.runs.setting_keys import key_parts, nested
from lowerbound.runs.setting_table import find_settings, nearest_keys, setting_table

TABLE = setting_table()


def leaves(prefix, settings):
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from leaves(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}"


def test_every_key_of_a_configuration_is_in_the_table():
    keys = {record.key for record in TABLE}
    columns = {"data.columns"}  # which has columns by name in place of keys
    assert set(leaves("", Experiment().settings())) - columns <= keys
    assert {keyword.setting for keyword in KEYWORDS.values()} <= keys


def test_every_record_says_what_it_means():
    for record in TABLE:
        assert record.meaning.endswith("."), record
        assert all(name.meaning for name in record.names), record


@pytest.mark.parametrize(
    "record", [one for one in TABLE if not one.of and "NAME" not in one.key], ids=lambda one: one.key
)
def test_the_default_in_the_table_is_that_of_the_configuration(record):
    if record.key == "objective.preset":
        return
    section, _, key = record.key.partition(".")
    value = Experiment().settings()[section]
    for part in key.split("."):
        value = value[part]
    expected = {"model.prior": "auto", "objective.rate": "auto"}.get(record.key, value)  # which are resolved
    assert json.loads(record.default) == (list(expected) if isinstance(expected, tuple) else expected)


BEYOND = [(record.key, record.accepted) for record in TABLE if not record.of and record.accepted.startswith("at least")]


@pytest.mark.parametrize(("key", "accepted"), BEYOND)
def test_numbers_below_the_range_in_the_table_are_refused(key, accepted):
    least = float(re.search(r"[\d.]+", accepted)[0])
    section, parts = key.split(".")[0], key_parts(key)
    is_list = "list" in next(record for record in TABLE if record.key == key).type
    for number, is_accepted in ((least, True), (least - 1, False)):
        value = int(number) if number == math.floor(number) else number
        settings = nested(parts, [value] if is_list else value)
        if section == "data":  # which is checked when it is read
            continue
        if is_accepted:
            resolve("", settings)
        else:
            with pytest.raises(LowerboundError, match=re.escape(key)):
                resolve("", settings)


@pytest.mark.parametrize("record", [one for one in TABLE if one.names], ids=lambda one: one.key)
def test_names_in_the_table_are_known_to_the_configuration(record):
    message = re.escape(record.key)
    value = {"nonsense": 1.0} if record.key == "objective.penalties" else "nonsense"
    with pytest.raises(UnknownName, match=message) as caught:
        resolve("", nested(key_parts(record.key), value))
    assert all(name.name in str(caught.value) for name in record.names)


def test_a_part_of_your_own_is_in_the_table(monkeypatch):
    class Narrow(StandardNormalPrior):
        """N(0, I / 4), for tests."""

    monkeypatch.setitem(PRIORS, "narrow", Narrow)
    (record,) = find_settings("model.prior")[:1]
    assert "N(0, I / 4), for tests." in [name.meaning for name in record.names]


def test_settings_are_found_by_section_key_prefix_and_last_name():
    assert {record.key.partition(".")[0] for record in find_settings("training")} == {"training"}
    assert [record.key for record in find_settings("training.batch_size")] == ["training.batch_size"]
    assert [record.key for record in find_settings("batch_size")] == ["training.batch_size"]
    assert all(record.key.startswith("evaluation.annealing.") for record in find_settings("evaluation.annealing"))
    assert find_settings("") == setting_table()


def test_a_setting_whose_value_is_a_name_is_shown_with_the_options_of_its_names():
    options = {(record.key, record.of) for record in find_settings("model.prior") if record.of}
    assert ("model.prior_options.num_components", "vamp") in options
    assert {record.of for record in find_settings("objective.penalties")} == {"", "factor", "dip-i", "dip-ii"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("training.batchsize", "training.batch_size"),
        ("num-epochs", "training.num_epochs"),
        ("hidden", "model.hidden"),
        ("learningrate", "training.learning_rate"),
    ],
)
def test_a_misspelt_key_gets_the_nearest_ones(typed, meant):
    assert nearest_keys(typed)[0] == meant
    if typed != "hidden":
        with pytest.raises(UsageError, match=f"the nearest are.*{meant}"):
            find_settings(typed)

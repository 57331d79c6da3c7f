"""The option --set is read as TOML, and refused in one line that names it."""

import pytest

from lowerbound.commands.assignments import parse_over, parse_settings
from lowerbound.foundation.errors import ConfigError
from lowerbound.runs.experiment import resolve


def test_set_words_are_read_as_toml_and_else_as_strings():
    words = ["training.num_epochs=5", "model.hidden=[3, 4]", "data.source=mnist", "model.likelihood_options.sigma=0.5"]
    assert parse_settings(words) == {
        "training": {"num_epochs": 5},
        "model": {"hidden": [3, 4], "likelihood_options": {"sigma": 0.5}},
        "data": {"source": "mnist"},
    }


@pytest.mark.parametrize("word", ["training", "training=5", "=5", "training.=5", ""])
def test_set_words_of_another_form_are_refused(word):
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        parse_settings([word])


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("training.batch_size=true", "training.batch_size is a number, got true"),
        ("training.learning_rate=false", "training.learning_rate is a number, got false"),
        ('model.latent_dim=3\nmodel.prior="x"', "model.latent_dim is given more than one line"),
    ],
)
def test_a_value_of_another_kind_is_not_taken_for_a_number(assignment, reason):
    with pytest.raises(ConfigError, match=reason):
        resolve("dense", parse_settings([assignment]))


def test_values_to_sweep_are_divided_at_commas_outside_of_brackets_and_quotes():
    words = ["objective.rate_weight=0.1,1, 10", "model.hidden=[64, 8],[16]", "model.posterior=full-normal,'a,b',true"]
    assert parse_over(words) == {
        "objective.rate_weight": [0.1, 1, 10],
        "model.hidden": [[64, 8], [16]],
        "model.posterior": ["full-normal", "a,b", True],
    }


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["objective"], r"section\.key=value,value"),
        (["objective.rate_weight=1,,2"], "has an empty value"),
        (["objective.rate_weight="], "has an empty value"),
        (["objective.rate_weight=1", "objective.rate_weight=2"], "is given twice"),
    ],
)
def test_words_to_sweep_of_another_form_are_refused(words, reason):
    with pytest.raises(ConfigError, match=reason):
        parse_over(words)

"""Settings of a model: names, sizes and options that are refused where they are given."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.models.config import ModelConfig
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.probability.parts import option_checks
from small_models import every_likelihood, small

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(
    ("settings", "nearest"),
    [
        ({"network": "dens"}, "dense"),
        ({"likelihood": "bernouli"}, "bernoulli"),
        ({"prior": "standard_normal"}, "standard-normal"),
        ({"posterior": "diagonal"}, "diagonal-normal"),
    ],
)
def test_an_unknown_part_is_refused_with_the_nearest_one(settings, nearest):
    with pytest.raises(UnknownName, match=f"unknown model.{next(iter(settings))} .*did you mean '{nearest}'") as caught:
        ModelConfig(**settings)
    assert caught.value.nearest == nearest


@given(st.sampled_from(["hidden", "channels", "latent_dim"]), st.integers(max_value=0))
def test_sizes_below_1_are_refused(key, size):
    settings = {key: size if key == "latent_dim" else (8, size)}
    with pytest.raises(ConfigError, match=f"model.{key} needs at least 1"):
        ModelConfig(**settings)


def test_a_convolutional_network_needs_a_stage_and_a_dense_one_does_not():
    with pytest.raises(ConfigError, match="network 'conv' needs at least one stage"):
        ModelConfig(network="conv", channels=())
    assert ModelConfig(network="dense", channels=()).channels == ()


@every_likelihood
def test_an_option_that_a_likelihood_does_not_have_is_refused(likelihood):
    with pytest.raises(UnknownName, match=f"option of likelihood '{likelihood}' 'sigmaa'"):
        ModelConfig(likelihood=likelihood, likelihood_options={"sigmaa": 1.0})


def test_the_options_of_a_likelihood_are_its_constructors():
    assert option_checks(LIKELIHOODS["gaussian"]).keys() == {"sigma", "learn_sigma", "mean_map"}
    assert option_checks(LIKELIHOODS["bernoulli"]) == {}


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("sigma", 0.0, "needs a number from 0.001 to 1e\\+18"),
        ("sigma", -1.0, "needs a number from 0.001"),
        ("sigma", 1e-4, "needs a number from 0.001 to 1e\\+18, got 0.0001"),
        ("sigma", math.nan, "needs a number from 0.001"),
        ("sigma", math.inf, "needs a number from 0.001"),
        ("sigma", True, "needs a number, got True"),
        ("sigma", "1.0", "needs a number, got '1.0'"),
        ("learn_sigma", 1, "needs true or false"),
        ("learn_sigma", "yes", "needs true or false"),
        ("mean_map", "sigmoidal", "did you mean 'sigmoid'"),
        ("mean_map", 1, "accepted: identity, sigmoid"),
    ],
)
def test_a_value_that_an_option_cannot_take_is_refused_with_its_key(option, value, error):
    with pytest.raises((ConfigError, UnknownName), match=rf"model\.likelihood_options\.{option}.*{error}"):
        ModelConfig(likelihood="gaussian", likelihood_options={option: value})


@pytest.mark.parametrize(
    ("likelihood", "option", "value", "error"),
    [
        ("categorical", "num_levels", 1, "needs a number from 2 to 65536, got 1"),
        ("categorical", "num_levels", 2.5, "needs a whole number, got 2.5"),
        ("discretized-logistic", "num_levels", 100_000, "needs a number from 2 to 65536"),
        ("discretized-logistic", "num_components", 0, "needs a number from 1"),
        ("discretized-logistic", "num_components", 1.5, "needs a whole number"),
    ],
)
def test_numbers_of_levels_and_components_are_integers_within_the_accepted_range(likelihood, option, value, error):
    with pytest.raises(ConfigError, match=rf"model\.likelihood_options\.{option} {error}"):
        ModelConfig(likelihood=likelihood, likelihood_options={option: value})


@pytest.mark.parametrize(
    "options", [{"sigma": 2.0}, {"sigma": 0.5, "learn_sigma": True}, {"learn_sigma": False, "mean_map": "identity"}]
)
def test_values_that_an_option_can_take_build_a_model(options):
    model = small(likelihood="gaussian", **options)
    assert model.config.likelihood_options == options
    assert model.likelihood.sigma == pytest.approx(options.get("sigma", 1.0))

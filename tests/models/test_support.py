"""What is refused element by element is what the likelihood refuses of training data, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data.array_examples import conform_array
from lowerbound.data.examples import Examples
from lowerbound.data.raw_array import RawArray
from lowerbound.foundation.errors import DataError, SchemaError
from lowerbound.foundation.schema import Schema, Support
from lowerbound.models.support import convention_of, supported_examples
from lowerbound.probability.likelihoods import LIKELIHOODS

VALUES = (
    -1.0,
    -1e-3,
    0.0,
    0.25,
    1 / 3,
    0.5,
    1.0,
    1.001,
    2.0,
    2.5,
    300.0,
    2.0**24,
    2.0**24 + 2,
    np.nan,
    np.inf,
    -np.inf,
)
OPTIONS = {"discretized-logistic": {"num_levels": 5}, "categorical": {"num_levels": 5}}
FAMILIES = sorted(set(LIKELIHOODS) - {"table"})


def built(name):
    return LIKELIHOODS[name]((2,), **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_admitted_where_training_on_it_is(name, value):
    likelihood = built(name)
    # Beside values that every family takes, so that the value alone decides.
    support = Examples(np.array([[0.0, value], [1.0, value]], np.float32), 1.0, layout="array").support
    if name in OPTIONS and value in (0.0, 0.25, 0.5, 1.0):
        support = replace(support, num_levels=5)
    try:
        likelihood.convention(support)
        trained_on = True
    except DataError:
        trained_on = False
    admitted = likelihood.admits(torch.tensor([[0.0, value]]), is_binary=False)
    assert admitted.tolist() == [[True, trained_on]]


@pytest.mark.parametrize("name", ["bernoulli"])
def test_a_model_of_black_and_white_admits_nothing_else(name):
    x = torch.tensor([[0.0, 1.0, 0.5, 1e-6, float("nan")]])
    assert built(name).admits(x, is_binary=True).tolist() == [[True, True, False, False, False]]


def grey_schema(**changes):
    schema = Schema(layout="image", shape=(2, 3, 1), dtype="uint8", range=(0.0, 255.0))
    return replace(schema, support=replace(schema.support, low=0.0, high=1.0), **changes)


def test_a_binarised_run_draws_grey_pixels_with_their_own_probability_and_states_the_convention():
    schema = grey_schema(binarisation="dynamic", binarisation_seed=7)
    schema = replace(schema, support=replace(schema.support, is_binary=True))
    likelihood = LIKELIHOODS["bernoulli"]((1, 2, 3))
    assert convention_of(likelihood, schema) == "dynamic binarisation, seed 7"
    values = np.repeat(np.array([0, 51, 102, 153, 204, 255], np.uint8).reshape(1, 2, 3, 1), 4000, axis=0)
    alike = supported_examples(conform_array(RawArray(place="x", values=values), schema), likelihood, schema)
    assert len(np.unique(alike.examples.values, axis=0)) == 1
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, (6000, 2, 3), np.uint8)
    drawn = supported_examples(
        conform_array(RawArray(place="x", values=noisy), schema), likelihood, schema
    ).examples.values
    for low in range(0, 256, 64):
        chosen = (noisy >= low) & (noisy < low + 64)
        assert drawn[..., 0][chosen].mean() == pytest.approx(noisy[chosen].mean() / 255, abs=0.02)


def test_counts_beyond_those_that_a_mean_can_reach_are_refused_in_training_and_in_scoring():
    schema = Schema(layout="array", shape=(2,), dtype="float64")
    collection = conform_array(RawArray(place="x.npy", values=np.array([[1.0, 2.0**24], [3.0, 2.0**24 + 2]])), schema)
    for name in ("poisson", "negative-binomial"):
        likelihood = LIKELIHOODS[name]((2,))
        assert likelihood(torch.full((2,), 1e4)).mean[0].item() == pytest.approx(2**24, rel=1e-6)
        with pytest.raises(SchemaError, match=r"element 1 is 16777218; the model accepts counts, .* to 16,777,216"):
            supported_examples(collection, likelihood, schema)
        with pytest.raises(DataError, match=r"needs counts, whole numbers from 0 to 16,777,216; use .gaussian."):
            likelihood.convention(collection.examples.support)


def test_skipped_examples_are_named_and_the_others_keep_their_positions():
    schema = Schema(layout="array", shape=(2,), dtype="float64")
    likelihood = LIKELIHOODS["poisson"]((2,))
    values = np.array([[1.0, 2], [0.5, 1], [3, 4], [2, -1]])
    collection = conform_array(RawArray(place="x.npy", values=values), schema)
    with pytest.raises(SchemaError, match=r"x\.npy: example 1, element 0 is 0\.5; the model accepts counts"):
        supported_examples(collection, likelihood, schema)
    kept = supported_examples(collection, likelihood, schema, skip_broken=True)
    assert kept.ids == ("0", "2") and len(kept.skipped) == 2 and "example 3, element 1 is -1" in kept.skipped[1]
    with pytest.raises(SchemaError, match="none of the examples can be scored"):
        supported_examples(
            conform_array(RawArray(place="x", values=values[3:]), schema), likelihood, schema, skip_broken=True
        )


def test_levels_under_a_likelihood_of_counts_are_refused_with_the_reason_and_the_remedies():
    pixels = Support(low=0.0, high=1.0, num_levels=256)
    for name in ("poisson", "negative-binomial"):
        with pytest.raises(DataError, match=r"256 levels, scaled .* 'discretized-logistic', or set data.range"):
            LIKELIHOODS[name]((2,)).convention(pixels)

"""Means in log space, estimates with their errors, and units."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch.testing import assert_close

from lowerbound.foundation.numerics import bits_per_dimension, log_mean_exp, mean_and_standard_error

pytestmark = pytest.mark.usefixtures("float64")

EXTREMES = st.floats(-1e6, 1e6)


@given(arrays(np.float64, array_shapes(max_dims=3, max_side=5), elements=EXTREMES), st.data())
def test_log_mean_exp_agrees_with_scipy_however_large_the_values(values, data):
    axis = data.draw(st.integers(0, values.ndim - 1))
    expected = scipy.special.logsumexp(values, axis=axis, b=1 / values.shape[axis])
    assert_close(log_mean_exp(torch.from_numpy(values), dim=axis).numpy(), np.asarray(expected))


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20))
def test_log_mean_exp_is_the_log_of_the_mean_of_exp(values):
    assert log_mean_exp(torch.tensor(values), dim=0).item() == pytest.approx(np.log(np.mean(np.exp(values))))


@given(EXTREMES, st.integers(1, 50))
def test_log_mean_exp_of_equal_values_is_that_value(value, count):
    assert log_mean_exp(torch.full((count,), value), dim=0).item() == pytest.approx(value, abs=1e-9)


@given(arrays(np.float64, 7, elements=st.floats(-50, 50)))
def test_log_mean_exp_lies_between_the_mean_and_the_maximum(values):
    result = log_mean_exp(torch.from_numpy(values), dim=0).item()
    assert values.mean() - 1e-9 <= result <= values.max() + 1e-9


def test_log_mean_exp_of_impossible_values_is_minus_infinity_and_one_possible_value_counts_alone():
    nothing = torch.full((4,), -math.inf)
    assert log_mean_exp(nothing, dim=0) == -math.inf
    assert_close(log_mean_exp(torch.cat([nothing, torch.tensor([5.0])]), dim=0), torch.tensor(5.0 - math.log(5)))


def test_the_gradient_of_log_mean_exp_is_the_normalised_weights():
    values = torch.tensor([[1.0, -700.0], [2.0, 700.0], [0.5, 699.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(log_mean_exp(values, dim=0).sum(), values)
    assert_close(gradient.numpy(), scipy.special.softmax(values.detach().numpy(), axis=0))


@given(arrays(np.float64, st.integers(2, 40), elements=st.floats(-1e3, 1e3)))
def test_mean_and_standard_error_agree_with_scipy(values):
    estimate = mean_and_standard_error(torch.from_numpy(values))
    assert estimate.value == pytest.approx(np.mean(values), abs=1e-9)
    assert estimate.standard_error == pytest.approx(scipy.stats.sem(values), abs=1e-9)


def test_single_precision_values_are_averaged_in_double_precision():
    values = torch.tensor([16777216.0, 1.0, 1.0, 1.0], dtype=torch.float32)
    assert mean_and_standard_error(values).value == (16777216 + 3) / 4


def test_one_value_has_no_standard_error():
    estimate = mean_and_standard_error(torch.tensor([3.0]))
    assert estimate.value == 3
    assert math.isnan(estimate.standard_error)


@given(st.integers(1, 10_000), st.integers(2, 65536))
def test_a_uniform_choice_among_n_levels_costs_log2_n_bits_per_dimension(num_dimensions, num_levels):
    nats = torch.tensor([num_dimensions * math.log(num_levels)])
    estimate = bits_per_dimension(nats, torch.tensor([num_dimensions]))
    assert estimate.value == pytest.approx(math.log2(num_levels))


@given(arrays(np.float64, st.integers(2, 40), elements=st.floats(0, 1e3)), st.integers(1, 1000))
def test_bits_of_equally_many_values_are_a_mean_over_examples(nats, num_values):
    estimate = bits_per_dimension(torch.from_numpy(nats), torch.full((len(nats),), num_values))
    bits = nats / (num_values * math.log(2))
    assert estimate.value == pytest.approx(bits.mean(), abs=1e-9)
    assert estimate.standard_error == pytest.approx(scipy.stats.sem(bits), abs=1e-9)


def test_the_error_of_bits_is_the_spread_of_new_draws_where_examples_have_different_numbers_of_values():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 10, (4000, 300))  # of 4,000 data sets
    nats = rng.gamma(2.0, 1.0, counts.shape) + counts * rng.gamma(3.0, 0.3, counts.shape)
    ratio = nats.sum(1) / (math.log(2) * counts.sum(1))
    pairs = zip(torch.from_numpy(nats[:200]), torch.from_numpy(counts[:200]), strict=True)
    estimates = [bits_per_dimension(*pair) for pair in pairs]
    np.testing.assert_allclose([estimate.value for estimate in estimates], ratio[:200])
    assert np.mean([estimate.standard_error for estimate in estimates]) == pytest.approx(ratio.std(ddof=1), rel=0.05)

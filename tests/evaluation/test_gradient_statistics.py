"""Statistics of gradient estimates of known mean and covariance: unbiased, with standard errors that are true."""

import math

import pytest
import torch

from lowerbound.evaluation.gradient_statistics import (
    gradient_statistics,
    ratio_of_roots,
    squared_length_of_mean,
    total_variance,
)
from lowerbound.foundation.numerics import Estimate
from lowerbound.foundation.seeding import generator

pytestmark = pytest.mark.usefixtures("float64")

REPEATS = 250
SCALE = torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, 0.3], [0.0, 0.0, 0.7]], dtype=torch.float64)
TRACE = float(SCALE.square().sum())


def normals(num, mean, repeat, stream):
    """Estimates for two examples, whose covariance is SCALE' SCALE."""
    noise = torch.randn(num, 2, 3, generator=generator(repeat, stream))
    return torch.tensor(mean) + noise @ SCALE


def assert_true(found, expected):
    """The mean of many estimates is the truth, and their spread is the standard error that each states.

    For a squared length near zero the stated one may be larger, by half at most.
    """
    values = torch.tensor([one.value for one in found])
    errors = torch.tensor([one.standard_error for one in found])
    assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(len(found))
    most = 1.2 if expected > 1 else 1.6
    assert 0.8 < errors.square().mean().sqrt() / values.std() < most


def test_the_variance_is_the_trace_of_the_covariance():
    assert_true([total_variance(normals(50, [1.0, -2.0, 0.0], repeat, "rows")) for repeat in range(REPEATS)], TRACE)


@pytest.mark.parametrize("mean", [[1.0, -2.0, 0.0], [0.05, 0.0, 0.1], [0.0, 0.0, 0.0]])
def test_the_squared_length_of_a_mean_is_unbiased(mean):
    found = [squared_length_of_mean(normals(50, mean, repeat, "rows")) for repeat in range(REPEATS)]
    assert_true(found, sum(one**2 for one in mean))


@pytest.mark.parametrize("bias", [0.0, 0.2, 2.0])
def test_the_squared_bias_is_unbiased_with_the_noise_of_both(bias):
    found = [
        gradient_statistics(
            normals(50, [1.0 + bias, 0.0, 0.0], repeat, "rows"), normals(80, [1.0, 0.0, 0.0], repeat, "other"), False
        )
        for repeat in range(REPEATS)
    ]
    assert_true([one.squared_bias for one in found], bias**2)
    share = sum(one.has_bias for one in found) / REPEATS
    assert share > 0.9 if bias == 2 else share < 0.2 if bias else share < 0.01


def test_the_signal_to_noise_ratio_is_that_of_the_expectation():
    found = [
        gradient_statistics(
            normals(200, [1.0, 0.5, 0.0], repeat, "rows"), normals(400, [1.0, 0.5, 0.0], repeat, "other"), False
        ).signal_to_noise
        for repeat in range(REPEATS // 2)
    ]
    assert_true(found, math.sqrt(1.25 / TRACE))


def test_the_mean_of_a_biased_estimator_is_its_own():
    rows, reference = normals(5000, [3.0, 0.0, 0.0], 0, "rows"), normals(5000, [1.0, 0.0, 0.0], 0, "other")
    biased, unbiased = (gradient_statistics(rows, reference, is_biased).signal_to_noise for is_biased in (True, False))
    assert biased.value == pytest.approx(3 / math.sqrt(TRACE), rel=0.05)
    assert unbiased.value == pytest.approx(1 / math.sqrt(TRACE), rel=0.1)


def test_a_ratio_is_zero_where_the_signal_is_below_zero_and_unknown_without_noise():
    below = ratio_of_roots(Estimate(-0.1, 0.2), Estimate(4.0, 0.1))
    assert below.value == 0
    assert below.standard_error > 0
    assert math.isnan(ratio_of_roots(Estimate(1.0, 0.1), Estimate(0.0, 0.0)).value)


def test_the_variance_of_each_example_is_given():
    rows = normals(2000, [0.0, 0.0, 0.0], 0, "rows") * torch.tensor([1.0, 3.0])[:, None]
    first, second = gradient_statistics(rows, rows, False).variance_per_example
    assert first == pytest.approx(TRACE, rel=0.2)
    assert second == pytest.approx(9 * TRACE, rel=0.2)

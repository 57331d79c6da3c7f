"""Counts are told from rounded measurements by the likelihoods of two families."""

import numpy as np
import pytest
from scipy import stats

from lowerbound.data.count_detection import is_count, negative_binomial, poisson, rounded_normal

RNG = np.random.default_rng(0)
VALUES = RNG.negative_binomial(2, 0.1, 300).astype(float)
DIFFERENT, TIMES = np.unique(VALUES, return_counts=True)


def test_the_negative_binomial_is_the_likeliest_of_its_mean():
    mean = VALUES.mean()
    shapes = np.geomspace(1e-3, 8000, 4000)
    found = stats.nbinom.logpmf(DIFFERENT, shapes[:, None], (shapes / (shapes + mean))[:, None]) @ TIMES
    assert negative_binomial(DIFFERENT, TIMES) == pytest.approx(found.max(), abs=0.5)
    assert negative_binomial(DIFFERENT, TIMES) <= found.max() + 1e-9


def test_the_poisson_is_that_of_scipy():
    expected = stats.poisson(VALUES.mean()).logpmf(DIFFERENT) @ TIMES
    assert poisson(DIFFERENT, TIMES) == pytest.approx(expected)


def test_the_rounded_normal_has_the_mass_of_a_normal_around_each_whole_number():
    spread = np.sqrt(VALUES.var() - 1 / 12)
    normal = stats.norm(VALUES.mean(), spread)
    expected = np.log(normal.cdf(DIFFERENT + 0.5) - normal.cdf(DIFFERENT - 0.5)) @ TIMES
    assert rounded_normal(DIFFERENT, TIMES) == pytest.approx(expected, rel=1e-6)


def test_a_value_far_from_all_others_leaves_the_normal_finite():
    assert np.isfinite(rounded_normal(np.array([0.0, 1.0, 900_000.0]), np.array([500_000, 500_000, 1])))


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        (RNG.negative_binomial(2, 0.1, 300), True),
        (RNG.poisson(1.5, 300), True),
        (RNG.poisson(30, 300), True),
        (RNG.geometric(0.3, 300) - 1, True),
        (RNG.normal(125, 17, 300).round(), False),  # heights
        (RNG.integers(18, 90, 300), False),  # ages
        (RNG.integers(1990, 2024, 300), False),  # years
    ],
)
def test_skewed_whole_numbers_near_zero_are_counts_and_symmetrical_ones_far_from_it_are_not(values, counted):
    assert is_count(values.astype(float)) is counted


def test_few_rows_of_a_measurement_are_hardly_ever_taken_for_counts():
    found = [is_count(RNG.normal(125, 17, 50).round()) for _ in range(100)]
    assert sum(found) <= 5

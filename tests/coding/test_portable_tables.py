"""Exponentials and logistics from tables, beside those of the C library and of exact arithmetic."""

from decimal import Decimal, getcontext

import numpy as np
from scipy.stats import norm

from lowerbound.coding.portable_tables import RANGE, STEPS, exp_of, logistic_of, normal_of


def test_exponentials_are_those_of_exact_arithmetic_to_half_a_unit_in_the_last_place():
    getcontext().prec = 60
    for index in (-RANGE * STEPS, -1025, -1, 0, 1, 333, 5000, RANGE * STEPS):
        exact = (Decimal(index) / STEPS).exp()
        assert exp_of(np.array([index])).item() == float(exact)


def test_exponentials_beyond_the_table_are_its_ends():
    ends = exp_of(np.array([-(10**9), 10**9]))
    np.testing.assert_allclose(ends, np.exp([-40.0, 40.0]), rtol=1e-14)


def test_logistics_have_small_relative_errors_on_both_sides():
    t = np.linspace(-39, 39, 100_001)
    np.testing.assert_allclose(logistic_of(t), 1 / (1 + np.exp(-t)), rtol=2e-7)
    assert (np.diff(logistic_of(t)) >= 0).all()


def test_slopes_of_logistics_are_accurate_where_an_interval_is_narrow():
    t, width = np.linspace(-8, 8, 4001), 1e-3
    slope = (logistic_of(t + width / 2) - logistic_of(t - width / 2)) / width
    p = 1 / (1 + np.exp(-t))
    np.testing.assert_allclose(slope, p * (1 - p), rtol=1e-3)


def test_normals_have_small_relative_errors_far_into_the_tails():
    t = np.linspace(-11, 11, 100_001)
    np.testing.assert_allclose(normal_of(t), norm.cdf(t), rtol=2e-5)
    grid = np.arange(-8 * STEPS, 8 * STEPS + 1) / STEPS
    np.testing.assert_allclose(normal_of(grid), norm.cdf(grid), rtol=1e-11)

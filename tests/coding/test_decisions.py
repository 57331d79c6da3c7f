"""Whole numbers as decisions: any number of levels, any masses, and ranges by a distribution function."""

import numpy as np
import pytest

from lowerbound.coding.decisions import CdfRanges, bits_of_levels, pop_levels, push_levels
from lowerbound.coding.entropy_coder import stack
from lowerbound.coding.portable_tables import logistic_of

STREAM = np.random.default_rng(0)


def tabled(weights):
    """The masses of ranges of levels, of numbers whose levels all have these weights."""
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    return lambda chosen, low, middle, high: (sums[middle] - sums[low], sums[high] - sums[middle])


@pytest.mark.parametrize("num_levels", [1, 2, 3, 7, 100])
def test_any_number_of_levels_comes_back_in_the_bits_of_its_weights(num_levels):
    weights = STREAM.uniform(0.1, 1, num_levels)
    levels = STREAM.integers(0, num_levels, 400)
    bits = stack(np.arange(1, 9, dtype=np.uint32))
    before = bits.num_valid_bits()
    push_levels(bits, tabled(weights), levels, num_levels)
    expected = -np.log2(weights[levels] / weights.sum())
    np.testing.assert_allclose(bits_of_levels(tabled(weights), levels, num_levels), expected, rtol=1e-6, atol=1e-9)
    assert abs(bits.num_valid_bits() - before - expected.sum()) < 2
    np.testing.assert_array_equal(pop_levels(bits, tabled(weights), 400, num_levels), levels)


def test_levels_without_mass_have_even_chances():
    weights = np.array([0.0, 0.0, 0.0, 1.0])
    assert bits_of_levels(tabled(weights), np.array([3, 0, 1]), 4).tolist() == pytest.approx([0, 25, 25], abs=0.01)


@pytest.mark.parametrize("num_levels", [8, 13])
def test_ranges_of_a_mixture_have_the_masses_of_its_distribution(num_levels):
    location, precision, weights = (STREAM.uniform(*ends, (2, 50)) for ends in ((0, 12), (0.3, 3), (0.1, 1)))
    levels = STREAM.integers(0, num_levels, 50)
    edge = np.stack([levels, levels + 1]) - 0.5
    edge[0, levels == 0], edge[1, levels == num_levels - 1] = -np.inf, np.inf
    below, above = (1 / (1 + np.exp(-np.clip((edge[k] - location) * precision, -700, 700))) for k in (0, 1))
    expected = -np.log2((weights * (above - below)).sum(0) / weights.sum(0))
    found = bits_of_levels(CdfRanges(logistic_of, location, precision, weights), levels, num_levels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

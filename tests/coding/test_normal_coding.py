"""Latents on a grid: their bits are those of the normal, and draws from random bits are draws from it."""

import numpy as np
from scipy.stats import kstest, norm

from lowerbound.coding.entropy_coder import stack
from lowerbound.coding.normal_coding import pop_normal, push_normal

STREAM = np.random.default_rng(0)


def test_pushed_latents_take_the_bits_of_the_normal_and_come_back():
    mean, deviation = STREAM.normal(0, 30, 500), STREAM.uniform(0.5, 60, 500)
    z = np.clip(np.rint(mean + deviation * STREAM.standard_normal(500)), -300, 300).astype(np.int64)
    bits = stack(np.arange(1, 9, dtype=np.uint32))
    before = bits.num_valid_bits()
    push_normal(bits, z, mean, deviation, 300)
    mass = norm.cdf(z + 0.5, mean, deviation) - norm.cdf(z - 0.5, mean, deviation)
    assert abs(bits.num_valid_bits() - before + np.log2(mass).sum()) < 5
    np.testing.assert_array_equal(pop_normal(bits, mean, deviation, 300), z)
    assert bits.num_valid_bits() == before


def test_latents_popped_from_random_bits_are_draws():
    bits = stack(STREAM.integers(1, 2**32, 20_000, dtype=np.uint32))
    mean, deviation = np.full(20_000, 7.3), np.full(20_000, 250.0)
    z = pop_normal(bits, mean, deviation, 2**16)
    assert kstest((z - mean) / deviation, "norm").pvalue > 1e-3
    # A coder that gives each of 131,073 multiples a probability of 2^-24 draws some beyond eight deviations.
    assert np.abs(z).max() < 6 * 250


def test_latents_far_from_the_mean_can_be_coded_too():
    bits = stack()
    z, mean, deviation = np.array([-300, 300, 0]), np.array([250.0, -299.9, 0.2]), np.array([1e-3, 0.5, 1e-3])
    push_normal(bits, z, mean, deviation, 300)
    np.testing.assert_array_equal(pop_normal(bits, mean, deviation, 300), z)

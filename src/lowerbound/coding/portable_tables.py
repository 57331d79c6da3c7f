"""Exponentials, logistics and normals that are the same to the bit on every machine.

A decoder has to compute the same probabilities as the encoder. `exp` of the C library differs in its last digits from
one machine to another, so values are taken from tables made with whole numbers, and between them only additions,
multiplications and divisions of IEEE 754 are used, one at a time.
"""

from functools import cache

import numpy as np
from jaxtyping import Float64, Int64

STEPS = 1024
"""Steps of the tables between two whole numbers; also the grid to which the outputs of networks are rounded."""

RANGE = 40  # exp(-40) is far below the smallest probability of the entropy coder
NORMAL_RANGE = 12  # standard deviations
BITS = 256  # of the whole numbers' fraction

Ints = Int64[np.ndarray, "*shape"]
Floats = Float64[np.ndarray, "*shape"]


def exp_of(index: Ints) -> Floats:
    """exp(index / 1024), for whole numbers from -40 to 40 times 1024; those beyond count as the nearest."""
    values: Floats = _exponentials()[np.clip(index, -RANGE * STEPS, RANGE * STEPS) + RANGE * STEPS]
    return values


def logistic_of(t: Floats) -> Floats:
    """1 / (1 + exp(-t)), linear between the multiples of 1/1024, with small relative errors for any t."""
    return _interpolated(_logistics(), t, RANGE)


def normal_of(t: Floats) -> Floats:
    """The cumulative distribution of the standard normal, in the same way."""
    return _interpolated(_normals(), t, NORMAL_RANGE)


def _interpolated(table: Float64[np.ndarray, " entry"], t: Floats, most: int) -> Floats:
    """A table of the multiples of 1/1024 from -most to most, and lines between them."""
    scaled = np.clip(t, -most, most) * STEPS
    below = np.floor(scaled)
    share = scaled - below
    index = below.astype(np.int64) + most * STEPS
    low, high = table[index], table[np.minimum(index + 1, len(table) - 1)]
    return low + share * (high - low)


@cache
def _exponentials() -> Float64[np.ndarray, " entry"]:
    one = 1 << BITS
    # exp(1/1024) as a Taylor series in whole numbers; its powers lose 2^-256 in each product.
    step, term, k = one, one, 0
    while term:
        k += 1
        term //= k * STEPS
        step += term
    powers = [one]
    for _ in range(RANGE * STEPS):
        powers.append(powers[-1] * step >> BITS)
    # Division of whole numbers is rounded correctly.
    rising = [power / one for power in powers]
    falling = [one / power for power in powers[:0:-1]]
    return np.array([*falling, *rising])


@cache
def _logistics() -> Float64[np.ndarray, " entry"]:
    exponentials = _exponentials()
    falling = exponentials[: RANGE * STEPS]  # of negative t, for which exp(t) / (1 + exp(t)) has no cancellation
    rising = exponentials[RANGE * STEPS :: -1]  # exp(-t) of t from 0 on
    return np.concatenate([falling / (1 + falling), 1 / (1 + rising)])


@cache
def _normals() -> Float64[np.ndarray, " entry"]:
    one, num = 1 << BITS, 2 * NORMAL_RANGE * STEPS
    # exp(-x²/2) at multiples of h = 1/2048: the ratio of neighbours shrinks by the same factor at each step.
    density, ratio, factor = one, _exp_minus(one, 1, (2 * STEPS) ** 2), _exp_minus(one, 2, (2 * STEPS) ** 2)
    densities = [density]
    for _ in range(num):
        density = density * ratio >> BITS
        ratio = ratio * factor >> BITS
        densities.append(density)
    # Simpson's rule for each 1/1024, added up from the tail, so that small numbers have all their digits.
    areas = [densities[k] + 4 * densities[k + 1] + densities[k + 2] for k in range(0, num, 2)]
    above = [0]
    for area in reversed(areas):
        above.append(above[-1] + area)
    total = 2 * above[-1]
    lower = [tail / total for tail in above]
    return np.array([*lower, *((total - tail) / total for tail in above[-2::-1])])


def _exp_minus(one: int, numerator: int, denominator: int) -> int:
    """exp(-numerator / (2 denominator)) as a whole number of 1/`one`, by its Taylor series."""
    term, total, k = one, one, 0
    while term:
        k += 1
        term = term * numerator // (2 * denominator * k)
        total += term if k % 2 == 0 else -term
    return total

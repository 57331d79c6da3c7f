"""Exponentials and logistics that are the same to the bit on every machine.

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
BITS = 256  # of the whole numbers' fraction

Ints = Int64[np.ndarray, "*shape"]
Floats = Float64[np.ndarray, "*shape"]


def exp_of(index: Ints) -> Floats:
    """exp(index / 1024), for whole numbers from -40 to 40 times 1024; those beyond count as the nearest."""
    values: Floats = _exponentials()[np.clip(index, -RANGE * STEPS, RANGE * STEPS) + RANGE * STEPS]
    return values


def logistic_of(t: Floats) -> Floats:
    """1 / (1 + exp(-t)), linear between the multiples of 1/1024, with small relative errors for any t."""
    table = _logistics()
    scaled = np.clip(t, -RANGE, RANGE) * STEPS
    below = np.floor(scaled)
    share = scaled - below
    index = below.astype(np.int64) + RANGE * STEPS
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

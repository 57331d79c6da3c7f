"""Coding of latents by normals on a grid, whose multiples far from the mean are as improbable as they should be.

An entropy coder that gives each multiple a table's smallest probability would draw one of many thousands far away in
one of some hundred draws, which costs the image tens of bits; decisions leave one in millions.
"""

import numpy as np
from jaxtyping import Float64, Int64

from lowerbound.coding.decisions import CdfRanges, pop_levels, push_levels
from lowerbound.coding.entropy_coder import Stack
from lowerbound.coding.portable_tables import normal_of

Latents = Int64[np.ndarray, " latent"]
"""Multiples of a grid's step."""

Parameters = Float64[np.ndarray, " latent"]
"""Means or standard deviations, in steps."""


def push_normal(coder: Stack, z: Latents, mean: Parameters, deviation: Parameters, most: int) -> None:
    """Push latents from -most to most, so that `pop_normal` returns them."""
    push_levels(coder, _ranges(mean, deviation, most), z + most, 2 * most + 1)


def pop_normal(coder: Stack, mean: Parameters, deviation: Parameters, most: int) -> Latents:
    """Pop latents; of a stack of random bits they are draws from the normals."""
    return pop_levels(coder, _ranges(mean, deviation, most), len(mean), 2 * most + 1) - most


def _ranges(mean: Parameters, deviation: Parameters, most: int) -> CdfRanges:
    return CdfRanges(normal_of, mean[None] + most, 1 / deviation[None], np.ones((1, len(mean))))

"""Contours of a prior's highest-density regions in the plane of two latents, for figures."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from contourpy import LineType, contour_generator
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import DiagonalNormal, Distribution
from lowerbound.probability.normals import FullNormal
from lowerbound.probability.prior import Prior
from lowerbound.probability.spaces import REAL

CENTRAL = 0.95
NUM_DRAWS = 20_000
NUM_POINTS = 240  # grid points along each axis
MARGIN = 0.15  # beyond the outermost draws, as a fraction of their range

Polyline = Float[np.ndarray, "_ 2"]  # of any length


@torch.no_grad()
def density_contours(
    prior: Prior, dimensions: Sequence[int], probabilities: Sequence[float] = (CENTRAL,)
) -> list[list[Polyline]] | None:
    """For each probability, the boundary of the highest-density region of two latents; None if it is unknown.

    The region is {z : log p(z) >= c} for the c of `log_density_level` (Hyndman, "Computing and Graphing Highest Density
    Regions", 1996, Section 3). It is unknown if the latents are not real numbers, or the prior has no marginal
    for two of them.
    """
    pair = marginal_of(prior, dimensions) if prior.space == REAL else None
    if pair is None:
        return None
    z = pair.sample(generator(0, "prior shape", pair.mean.device), NUM_DRAWS)
    low, high = z.amin(0), z.amax(0)
    margin = MARGIN * (high - low)
    axes = [
        torch.linspace(float(first), float(last), NUM_POINTS, dtype=z.dtype, device=z.device)
        for first, last in zip(low - margin, high + margin, strict=True)
    ]
    grid = torch.cartesian_prod(axes[1], axes[0]).flip(-1)
    heights = pair.log_prob(grid).reshape(NUM_POINTS, NUM_POINTS).cpu().numpy()
    levels = [log_density_level(pair, z, probability) for probability in probabilities]
    across, up = (axis.cpu().numpy() for axis in axes)
    # Far outside the density may be zero: contours cannot be interpolated between values of -inf.
    contours = contour_generator(across, up, heights.clip(min=min(levels) - 100), line_type=LineType.Separate)
    return [[np.asarray(line, dtype=np.float32) for line in contours.lines(level)] for level in levels]


def log_density_level(pair: Distribution, draws: Float[Tensor, "draw latent"], probability: float) -> float:
    """The log-density exceeded with the given probability: exact for normals, else a quantile over draws."""
    if isinstance(pair, DiagonalNormal | FullNormal):
        return float(pair.log_prob(pair.mean)) + math.log1p(-probability)
    return float(torch.quantile(pair.log_prob(draws), 1 - probability))


def marginal_of(prior: Prior, dimensions: Sequence[int]) -> Distribution | None:
    """The marginal of the prior for some latents; None if it has none, as a prior p(z|y) without a single y."""
    prior = prior.standalone() if prior.takes_context else prior
    if prior.takes_context:
        return None
    distribution: Distribution = prior()
    if list(dimensions) == list(range(prior.latent_dim)):
        return distribution
    try:
        return distribution.marginal(dimensions)
    except ConfigError:
        return None


def contour_arrays(lines: Sequence[Polyline]) -> dict[str, np.ndarray]:
    """Polylines as arrays for results: all points, and the number of points of each line."""
    return {
        "prior_contour_points": np.concatenate(lines),
        "prior_contour_lengths": np.array([len(line) for line in lines]),
    }


def contour_lines(arrays: Mapping[str, np.ndarray]) -> Iterator[Polyline]:
    """The polylines stored by `contour_arrays`; empty without those arrays."""
    if "prior_contour_points" in arrays:
        yield from np.split(arrays["prior_contour_points"], np.cumsum(arrays["prior_contour_lengths"])[:-1])

"""Contours of a prior's highest-density regions in the plane of two latents, for figures."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from contourpy import contour_generator
from jaxtyping import Float

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.priors import Prior

CENTRAL = 0.95
NUM_DRAWS = 20_000
NUM_POINTS = 161  # grid points along each axis
MARGIN = 0.15  # beyond the outermost draws, as a fraction of their range

Polyline = Float[np.ndarray, "point 2"]


@torch.no_grad()
def density_contour(prior: Prior, dimensions: Sequence[int], probability: float = CENTRAL) -> list[Polyline] | None:
    """Boundary of the highest-density region with the given probability for two latents; None if it is unknown.

    The region is {z : log p(z) >= c}, where c is the quantile of log p over draws (Hyndman, "Computing and Graphing
    Highest Density Regions", 1996, Section 3). It is unknown if the prior has no marginal for two of its latents.
    """
    pair = marginal_of(prior, dimensions)
    if pair is None:
        return None
    z = pair.sample(generator(0, "prior shape", pair.mean.device), NUM_DRAWS)
    level = float(torch.quantile(pair.log_prob(z), 1 - probability))
    low, high = z.amin(0), z.amax(0)
    margin = MARGIN * (high - low)
    axes = [
        torch.linspace(float(first), float(last), NUM_POINTS, dtype=z.dtype, device=z.device)
        for first, last in zip(low - margin, high + margin, strict=True)
    ]
    grid = torch.cartesian_prod(axes[1], axes[0]).flip(-1)
    heights = pair.log_prob(grid).reshape(NUM_POINTS, NUM_POINTS)
    across, up = (axis.cpu().numpy() for axis in axes)
    # Far outside the density may be zero: contours cannot be interpolated between values of -inf.
    lines = contour_generator(across, up, heights.cpu().numpy().clip(min=level - 100)).lines(level)
    return [np.asarray(line, dtype=np.float32) for line in lines]


def marginal_of(prior: Prior, dimensions: Sequence[int]) -> Distribution | None:
    """The marginal of the prior for some latents; None if it has none."""
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
    """The polylines stored by `contour_arrays`; empty if there are no such arrays."""
    if "prior_contour_points" in arrays:
        yield from np.split(arrays["prior_contour_points"], np.cumsum(arrays["prior_contour_lengths"])[:-1])

"""Whether whole numbers are counts or rounded measurements: which of two families fits them better.

    counts         negative binomial, its mean that of the data, its shape r the likeliest of a grid
    measurements   normal, rounded: log p(k) = log [Φ((k + ½ - μ) / σ) - Φ((k - ½ - μ) / σ)]

Visits, children and words have a spread that grows with their mean and pile up near 0; heights, ages and years do not.
"""

import math

import numpy as np
from jaxtyping import Float

LOG_R = np.linspace(-7.0, 9.0, 65)  # of the negative binomial's shape; above it is a Poisson
SHEPPARD = 1 / 12  # what rounding to whole numbers adds to a variance
LEAST_VARIANCE = 1e-3
MOST_VALUES = 20_000  # that are looked at, evenly spread


def is_count(values: Float[np.ndarray, " row"]) -> bool:
    """Whether whole numbers from 0 upwards are likelier as counts than as rounded measurements."""
    step = -(-len(values) // MOST_VALUES)
    different, times = np.unique(values[::step], return_counts=True)
    return negative_binomial(different, times) > rounded_normal(different, times)


def negative_binomial(different: Float[np.ndarray, " value"], times: np.ndarray) -> float:
    """The log-likelihood, in nats, of the likeliest negative binomial for `different` values, each so many times."""
    mean = float(np.average(different, weights=times))
    if mean == 0:
        return 0.0
    r = np.exp(LOG_R)[:, np.newaxis]
    ways = log_gamma(different + r) - log_gamma(r) - log_gamma(different + 1.0)
    log_prob = ways + r * np.log(r / (r + mean)) + different * np.log(mean / (r + mean))
    return float((log_prob @ times).max())


def rounded_normal(different: Float[np.ndarray, " value"], times: np.ndarray) -> float:
    """The same of the normal with the data's mean and variance, rounded to whole numbers."""
    mean = np.average(different, weights=times)
    variance = max(float(np.average((different - mean) ** 2, weights=times)) - SHEPPARD, LEAST_VARIANCE)
    sigma = math.sqrt(variance)
    # By symmetry in the lower tail, where the difference of two small numbers keeps its digits.
    distance = np.abs(different - mean)
    upper, lower = ((0.5 - distance) / sigma).tolist(), ((-0.5 - distance) / sigma).tolist()
    mass = np.array([_below(high) - _below(low) for high, low in zip(upper, lower, strict=True)])
    density = -0.5 * (distance / sigma) ** 2 - math.log(sigma * math.sqrt(2 * math.pi))
    with np.errstate(divide="ignore"):
        return float(np.where(mass > 1e-300, np.log(mass), density) @ times)


def log_gamma(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """log Γ(x) of positive numbers, by Stirling's series after moving them above 10."""
    x = np.asarray(x, np.float64)
    moved = np.where(x < 10, x + 10, x)
    less = sum((np.log(x + i) for i in range(10)), np.zeros_like(x))
    series = 1 / (12 * moved) - 1 / (360 * moved**3) + 1 / (1260 * moved**5) - 1 / (1680 * moved**7)
    stirling = (moved - 0.5) * np.log(moved) - moved + 0.5 * math.log(2 * math.pi) + series
    return stirling - np.where(x < 10, less, 0.0)


def _below(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))

"""Detection of count columns: whether integers fit a count distribution better than a rounded normal.

    counts         Poisson, or negative binomial with the likeliest shape r of a grid; their mean is that of the data
    measurements   normal, rounded: log p(k) = log [Φ((k + ½ - μ) / σ) - Φ((k - ½ - μ) / σ)]

A parameter costs (log n) / 2 nats (Schwarz, "Estimating the dimension of a model", 1978): the Poisson has one, the
others two. The negative binomial must win by 2 nats, because with few rows every second sample of a normal is slightly
skewed.

The spread of visits, children or words grows with their mean, and they accumulate near 0; heights, ages and years do
not.
"""

import math

import numpy as np
from jaxtyping import Float

LOG_R = np.linspace(-7.0, 9.0, 65)  # of the negative binomial's shape; above it is a Poisson
SHEPPARD = 1 / 12  # what rounding to whole numbers adds to a variance
LEAST_VARIANCE = 1e-3
MARGIN = 2.0  # nats by which a negative binomial must be likelier
MOST_VALUES = 20_000  # that are used, evenly spaced


def is_count(values: Float[np.ndarray, " row"]) -> bool:
    """Whether non-negative integers are more likely as counts than as rounded measurements."""
    step = -(-len(values) // MOST_VALUES)
    different, times = np.unique(values[::step], return_counts=True)
    saved = math.log(times.sum()) / 2
    counted = max(negative_binomial(different, times) - MARGIN, poisson(different, times) + saved)
    return counted > rounded_normal(different, times)


def poisson(different: Float[np.ndarray, " value"], times: np.ndarray) -> float:
    """The log-likelihood, in nats, of the Poisson with the mean of `different` values, each occurring `times` times."""
    mean = float(np.average(different, weights=times))
    if mean == 0:
        return 0.0
    from scipy.special import gammaln

    return float((different * math.log(mean) - mean - gammaln(different + 1.0)) @ times)


def negative_binomial(different: Float[np.ndarray, " value"], times: np.ndarray) -> float:
    """The same for the most likely negative binomial with that mean."""
    mean = float(np.average(different, weights=times))
    if mean == 0:
        return 0.0
    from scipy.special import gammaln  # imported here: only tables should pay its 0.1 s

    r = np.exp(LOG_R)[:, np.newaxis]
    ways = gammaln(different + r) - gammaln(r) - gammaln(different + 1.0)
    log_prob = ways + r * np.log(r / (r + mean)) + different * np.log(mean / (r + mean))
    return float((log_prob @ times).max())


def rounded_normal(different: Float[np.ndarray, " value"], times: np.ndarray) -> float:
    """The same for the normal with the data's mean and variance, rounded to whole numbers."""
    mean = np.average(different, weights=times)
    variance = max(float(np.average((different - mean) ** 2, weights=times)) - SHEPPARD, LEAST_VARIANCE)
    sigma = math.sqrt(variance)
    # By symmetry in the lower tail, where the difference of two small numbers is precise.
    from scipy.special import ndtr

    distance = np.abs(different - mean)
    mass = ndtr((0.5 - distance) / sigma) - ndtr((-0.5 - distance) / sigma)
    density = -0.5 * (distance / sigma) ** 2 - math.log(sigma * math.sqrt(2 * math.pi))
    with np.errstate(divide="ignore"):
        return float(np.where(mass > 1e-300, np.log(mass), density) @ times)

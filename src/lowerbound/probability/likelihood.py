"""What a likelihood p(x|z) is: raw decoder output to a distribution over examples.

A likelihood states the shape of the raw tensor it wants from the decoder (`raw_shape`), owns the map from that
tensor to its parameters, and says which data it can score. The network knows nothing of it.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lowerbound.foundation.schema import LARGEST, LARGEST_COUNT, Support
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.parts import Part

MEAN_MARGIN = 1e-6
"""Means of 0 and 1 have no finite logit; they are moved inwards by this much."""

LEAST_RATE = 1e-6
"""Of a count, where a raw output is sought for a mean of zero."""

MAX_LOG_RATE = torch.tensor(math.log(LARGEST_COUNT), dtype=torch.float32).item()
"""Logarithms of a count's mean are kept below this, in float32: no mean is beyond the greatest count accepted."""

LOG_R_RANGE = (-7.0, 9.0)
"""Logarithms of a negative binomial's shape: beyond the upper end it is a Poisson to four digits."""


START_OF_LOG_R = (-3.0, 7.0)
"""Within which a shape starts: at the ends of its range a gradient is too small to come back."""


COUNTS = f"counts, whole numbers from 0 to {LARGEST_COUNT:,}"
NUMBERS = "finite numbers below 1e18"
"""What is accepted of a count and of any other number."""


def are_counts(x: Float[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
    """Which numbers are counts that a likelihood has a meaning for."""
    return (x >= 0) & (x <= LARGEST_COUNT) & (x == x.round())


def log_r_of(mean: Float[Tensor, "*shape"], deviation: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Logarithm of a negative binomial's shape by moments, r = mean² / (variance − mean): where training starts.

    From r = 1 a column of measurements that happen to be counts would be drawn far too wide for thousands of steps.
    """
    excess = (deviation.double() ** 2 - mean.double()).clamp(min=LEAST_RATE)
    log_r = 2 * mean.double().clamp(min=LEAST_RATE).log() - excess.log()
    return log_r.clamp(*START_OF_LOG_R).to(mean.dtype)


def binomial_logits(mean: Float[Tensor, "*shape"], num_levels: int) -> Float[Tensor, "level *shape"]:
    """Logits of levels 0..K-1 whose distribution, a binomial, has this mean share of K - 1."""
    above = torch.arange(num_levels).to(mean).reshape(-1, *(1,) * mean.ndim)
    below = num_levels - 1 - above
    inner = mean.clamp(MEAN_MARGIN, 1 - MEAN_MARGIN)
    ways = -torch.lgamma(above + 1) - torch.lgamma(below + 1)  # to a constant, which logits have free
    return ways + above * inner.log() + below * torch.log1p(-inner)


class Likelihood(Part, ABC):
    """A family p(x|z), with whatever parameters do not depend on z."""

    is_within_unit_interval = False  # whether all its values lie in [0, 1]

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = event_shape

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of the raw decoder output for one example; its own, unless it stands for several parameters."""
        return self.event_shape

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of what the encoder reads of one example."""
        return self.event_shape

    @abstractmethod
    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> Distribution:
        """The distribution over examples that a raw output stands for."""

    def features(self, x: Float[Tensor, "*batch_and_event"]) -> Float[Tensor, "*batch_and_features"]:
        """What the encoder reads in place of x; the data themselves, unless their scale is no network's."""
        return x

    def standardise(self, mean: Float[Tensor, " *event"], deviation: Float[Tensor, " *event"]) -> None:
        """Take the training data's mean and standard deviation as origin and unit, where the family has any."""

    @abstractmethod
    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        """The raw output whose distribution has this mean: the output map, inverted."""

    @abstractmethod
    def convention(self, support: Support) -> str:
        """What log p(x|z) means for data in `support`; DataError where it has no meaning."""

    def admits(self, x: Float[Tensor, "batch *event"], is_binary: bool) -> Bool[Tensor, "batch *event"]:
        """Which elements log p(x|z) has a meaning for, in a model trained on black and white where `is_binary`."""
        return x.abs() < LARGEST

    def accepted(self, is_binary: bool, low: float, high: float) -> str:
        """What `admits` admits, in words, where the stored numbers `low` and `high` are seen as 0 and 1."""
        return NUMBERS

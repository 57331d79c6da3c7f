"""Likelihood: base class of all p(x|z), which map raw decoder output to a distribution over examples.

A likelihood states the shape of the raw tensor that it needs from the decoder (`raw_shape`), maps it to its parameters,
and states which data it can score. The network is independent of it.
"""

import math
from abc import ABC, abstractmethod
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lowerbound.foundation.schema import LARGEST, LARGEST_COUNT, Support
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.parts import Part

MEAN_MARGIN = 1e-6
"""Means of 0 and 1 have no finite logit; they are moved inwards by this amount."""

LEAST_RATE = 1e-6
"""Smallest rate of a count for which a raw output is computed, for a mean of zero."""

MAX_LOG_RATE = torch.tensor(math.log(LARGEST_COUNT), dtype=torch.float32).item()
"""Upper limit of the log-mean of a count, in float32: means do not exceed the largest accepted count."""

MAX_LOG_VARIANCE = 15.0
"""Upper bound of a log-variance from the decoder, in standardised units."""

LOG_R_RANGE = (-7.0, 9.0)
"""Range of a negative binomial's log-shape: above it, it equals a Poisson to four digits."""


START_OF_LOG_R = (-3.0, 7.0)
"""Range of initial log-shapes: near the ends of LOG_R_RANGE gradients are too small to return."""


NumComponents = Annotated[int, "Logistics of each mixture."]
NumLevels = Annotated[int, "Even levels of the values, from 0 to 1; those of the data unless set."]
"""Options of likelihoods, with their meanings."""


FOR_LEVELS = "use 'discretized-logistic', or set data.range=[0, 1] to keep the whole numbers"
COUNTS = f"counts, whole numbers from 0 to {LARGEST_COUNT:,}"
NUMBERS = "finite numbers below 1e18"
"""Descriptions of accepted counts and numbers, for messages."""


def are_counts(x: Float[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
    """Which numbers are accepted counts."""
    return (x >= 0) & (x <= LARGEST_COUNT) & (x == x.round())


def log_r_of(mean: Float[Tensor, "*shape"], deviation: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Initial log-shape of a negative binomial, by moments: r = mean² / (variance − mean).

    With r = 1, columns of low variance would have far too wide distributions for thousands of steps.
    """
    excess = (deviation.double() ** 2 - mean.double()).clamp(min=LEAST_RATE)
    log_r = 2 * mean.double().clamp(min=LEAST_RATE).log() - excess.log()
    return log_r.clamp(*START_OF_LOG_R).to(mean.dtype)


def binomial_logits(mean: Float[Tensor, "*shape"], num_levels: int) -> Float[Tensor, "level *shape"]:
    """Logits of levels 0 to K - 1 of a binomial distribution whose mean is `mean` times K - 1."""
    above = torch.arange(num_levels).to(mean).reshape(-1, *(1,) * mean.ndim)
    below = num_levels - 1 - above
    inner = mean.clamp(MEAN_MARGIN, 1 - MEAN_MARGIN)
    ways = -torch.lgamma(above + 1) - torch.lgamma(below + 1)  # up to a constant, which logits do not need
    return ways + above * inner.log() + below * torch.log1p(-inner)


class Likelihood(Part, ABC):
    """A family p(x|z), including parameters that do not depend on z."""

    is_within_unit_interval = False  # whether its support is within [0, 1]
    accepts_missing = False  # whether cells may be NaN, which it leaves out of log p(x|z)

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = event_shape

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of the raw decoder output for one example; by default that of the example."""
        return self.event_shape

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the encoder's input for one example."""
        return self.event_shape

    @property
    def feature_range(self) -> tuple[float, float] | None:
        """Smallest and largest value of the encoder's input; None if it does not vary continuously."""
        return (0.0, 1.0) if self.is_within_unit_interval else (-math.inf, math.inf)

    @abstractmethod
    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> Distribution:
        """The distribution over examples given by a raw output."""

    def features(self, x: Float[Tensor, "*batch_and_event"]) -> Float[Tensor, "*batch_and_features"]:
        """The encoder's input computed from x; by default x itself."""
        return x

    def standardise(self, mean: Float[Tensor, " *event"], deviation: Float[Tensor, " *event"]) -> None:
        """Set location and scale from the training data's mean and standard deviation, if the family has them."""

    @abstractmethod
    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        """The raw output whose distribution has this mean."""

    @abstractmethod
    def convention(self, support: Support) -> str:
        """Meaning of log p(x|z) for data in `support`, such as "binary"; DataError if the data cannot be scored."""

    def admits(self, x: Float[Tensor, "batch *event"], is_binary: bool) -> Bool[Tensor, "batch *event"]:
        """Which elements can be scored; `is_binary` is whether the training data are binary."""
        return x.abs() < LARGEST

    def accepted(self, is_binary: bool, low: float, high: float) -> str:
        """The values accepted by `admits` as text; `low` and `high` are the stored values of 0 and 1."""
        return NUMBERS

"""Likelihoods p(x|z): raw decoder output to a distribution over examples.

A likelihood states the shape of the raw tensor it wants from the decoder (`raw_shape`), owns the map from that
tensor to its parameters, and says which data it can score. The network knows nothing of it.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.errors import DataError
from lowerbound.probability.distributions import Bernoulli, DiagonalNormal, Distribution

MIN_SIGMA = 1e-3
"""Least standard deviation of a Gaussian likelihood: the density of grey images grows without bound below it."""

MEAN_MARGIN = 1e-6
"""Means of 0 and 1 have no finite logit; they are moved inwards by this much."""


class Likelihood(nn.Module, ABC):
    """A family p(x|z), with whatever parameters do not depend on z."""

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = event_shape

    @property
    @abstractmethod
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of the raw decoder output for one example."""

    @abstractmethod
    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> Distribution:
        """The distribution over examples that a raw output stands for."""

    @abstractmethod
    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        """The raw output whose distribution has this mean: the output map, inverted."""

    @abstractmethod
    def convention(self, low: float, high: float, is_binary: bool) -> str:
        """What log p(x|z) means for data between `low` and `high`; DataError outside the support."""


class BernoulliLikelihood(Likelihood):
    """Independent Bernoulli pixels, from logits.

    Its support is {0, 1}. Grey values in [0, 1] are admitted, as expectations over binarisations, and the run is
    marked "grey": its numbers are never comparable with those of binarised data.
    """

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return self.event_shape

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> Bernoulli:
        return Bernoulli(raw, event_ndim=len(self.event_shape))

    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        return torch.logit(mean, eps=MEAN_MARGIN)

    def convention(self, low: float, high: float, is_binary: bool) -> str:
        if not (low >= 0 and high <= 1):  # so that NaN is refused, too
            raise DataError(
                f"data lie in [{low:g}, {high:g}], likelihood 'bernoulli' needs [0, 1]; "
                "rescale the data or use likelihood 'gaussian'."
            )
        return "binary" if is_binary else "grey"


class GaussianLikelihood(Likelihood):
    """Normal pixels with one standard deviation σ for all of them, fixed or learned; every constant kept.

    With fixed σ, log p(x|z) = -C ||x - mean||² - D/2 log(2πσ²), where C = 1/(2σ²).
    `mean_map` is the map from raw output to mean: "identity", or "sigmoid" for data in [0, 1].
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        sigma: float = 1.0,
        learn_sigma: bool = False,
        mean_map: Literal["identity", "sigmoid"] = "identity",
    ) -> None:
        super().__init__(event_shape)
        log_sigma = torch.tensor(math.log(max(sigma, MIN_SIGMA)))
        self.mean_map = mean_map
        if learn_sigma:
            self.log_sigma = nn.Parameter(log_sigma)
        else:
            self.register_buffer("log_sigma", log_sigma)

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return self.event_shape

    @property
    def sigma(self) -> float:
        """Standard deviation of a pixel, in units of the data."""
        return self._bounded_log_sigma().exp().item()

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> DiagonalNormal:
        mean = torch.sigmoid(raw) if self.mean_map == "sigmoid" else raw
        log_variance = 2 * self._bounded_log_sigma()
        return DiagonalNormal(mean, log_variance, event_ndim=len(self.event_shape))

    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        return torch.logit(mean, eps=MEAN_MARGIN) if self.mean_map == "sigmoid" else mean

    def convention(self, low: float, high: float, is_binary: bool) -> str:
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError(f"data lie in [{low:g}, {high:g}], likelihood 'gaussian' needs finite values.")
        return "density"

    def _bounded_log_sigma(self) -> Float[Tensor, ""]:
        return self.log_sigma.clamp(min=math.log(MIN_SIGMA))


LIKELIHOODS: dict[str, type[Likelihood]] = {"bernoulli": BernoulliLikelihood, "gaussian": GaussianLikelihood}

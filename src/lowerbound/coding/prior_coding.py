"""Coding of latents by the prior p(z): the standard normal, and mixtures of normals one latent after another.

A mixture is p(z_1) p(z_2 | z_1) ..., where each conditional is a mixture of the same normals in one latent: a
component's weight is multiplied by its density at the latents that are known. This is exact.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

from lowerbound.coding.decisions import CdfRanges, pop_levels, push_levels
from lowerbound.coding.entropy_coder import Stack, normal
from lowerbound.coding.portable_tables import STEPS, exp_of, normal_of
from lowerbound.foundation.errors import UsageError
from lowerbound.probability.mixture_prior import MixtureOfNormalsPrior
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND
from lowerbound.probability.prior import Prior
from lowerbound.probability.priors import StandardNormalPrior

Multiples = Int64[np.ndarray, "image latent"]
"""Latents in steps of a grid, which is 2^-fineness."""

LogWeights = Int64[np.ndarray, "component image"]
"""Logarithms of the components' weights, up to a constant of each image, in steps of 1/1024."""

LARGEST_SQUARE = 2.0**20  # of a distance in standard deviations; beyond it a component has no weight


class PriorCoder(ABC):
    """Codes latents whose multiples are at most `most`."""

    @abstractmethod
    def push(self, coder: Stack, z: Multiples, fineness: int, most: int) -> None:
        """Push latents, so that `pop` returns them."""

    @abstractmethod
    def pop(self, coder: Stack, num: int, latent_dim: int, fineness: int, most: int) -> Multiples:
        """Pop the latents of `num` images."""


class StandardNormalCoder(PriorCoder):
    """Every latent by the standard normal."""

    def push(self, coder: Stack, z: Multiples, fineness: int, most: int) -> None:
        coder.encode_reverse(z.ravel().astype(np.int32), normal(-most, most, 0.0, float(1 << fineness)))

    def pop(self, coder: Stack, num: int, latent_dim: int, fineness: int, most: int) -> Multiples:
        z = coder.decode(normal(-most, most, 0.0, float(1 << fineness)), num * latent_dim)
        return z.reshape(num, latent_dim).astype(np.int64)


@dataclass(frozen=True)
class MixtureCoder(PriorCoder):
    """Latents by a mixture of normals, whose parameters are rounded to 1/1024."""

    mean: Float64[np.ndarray, "component latent"]
    log_deviation: Int64[np.ndarray, "component latent"]  # in steps of 1/1024
    log_weight: Int64[np.ndarray, " component"]

    @classmethod
    def of(cls, prior: MixtureOfNormalsPrior) -> "MixtureCoder":
        """The coder of a prior, from the values that its file has."""
        log_variance = prior.log_variances.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)
        mean, log_deviation, log_weight = (
            (values.detach().double() * STEPS).round().long().numpy()
            for values in (prior.means, log_variance / 2, prior.logits)
        )
        return cls(mean / STEPS, log_deviation, log_weight)

    @cached_property
    def deviation(self) -> Float64[np.ndarray, "component latent"]:
        """The components' standard deviations."""
        return exp_of(self.log_deviation)

    def push(self, coder: Stack, z: Multiples, fineness: int, most: int) -> None:
        weights = [self.log_weight[:, None] + np.zeros((1, len(z)), np.int64)]
        for latent in range(z.shape[1] - 1):
            weights.append(self._given(weights[-1], latent, z[:, latent] / (1 << fineness)))
        for latent in reversed(range(z.shape[1])):
            push_levels(coder, self._ranges(weights[latent], latent, fineness, most), z[:, latent] + most, 2 * most + 1)

    def pop(self, coder: Stack, num: int, latent_dim: int, fineness: int, most: int) -> Multiples:
        z = np.zeros((num, latent_dim), np.int64)
        weights = self.log_weight[:, None] + np.zeros((1, num), np.int64)
        for latent in range(latent_dim):
            z[:, latent] = pop_levels(coder, self._ranges(weights, latent, fineness, most), num, 2 * most + 1) - most
            weights = self._given(weights, latent, z[:, latent] / (1 << fineness))
        return z

    def _given(self, weights: LogWeights, latent: int, z: Float64[np.ndarray, " image"]) -> LogWeights:
        """The weights once a latent is known: times each component's density there."""
        t = (z - self.mean[:, latent, None]) / self.deviation[:, latent, None]
        square = np.minimum(t * t, LARGEST_SQUARE)
        return weights - np.rint(square * (STEPS / 2)).astype(np.int64) - self.log_deviation[:, latent, None]

    def _ranges(self, weights: LogWeights, latent: int, fineness: int, most: int) -> CdfRanges:
        step = float(1 << fineness)
        num = weights.shape[1]
        location = np.tile(self.mean[:, latent, None] * step + most, (1, num))
        precision = np.tile(1 / (self.deviation[:, latent, None] * step), (1, num))
        return CdfRanges(normal_of, location, precision, exp_of(weights - weights.max(0)))


def prior_coder(prior: Prior) -> PriorCoder:
    """The coder of a prior; UsageError for one that has none."""
    if type(prior) is StandardNormalPrior:
        return StandardNormalCoder()
    if type(prior) is MixtureOfNormalsPrior:
        return MixtureCoder.of(prior)
    raise UsageError(
        f"the prior is {type(prior).__name__}; lossless compression codes latents one by one, by 'standard-normal' or "
        "'mixture-of-normals', which can also be fitted to a trained model."
    )

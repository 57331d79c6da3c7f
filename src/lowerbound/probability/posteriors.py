"""Posteriors q(z|x): raw encoder output to a distribution over latents.

The encoder yields `num_heads` numbers for each latent dimension, one head after the other.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.probability.distributions import DiagonalNormal, Distribution, PointMass

LOG_VARIANCE_BOUND = 15.0
"""Log-variances are kept within ± this: beyond it exp overflows in half precision and training cannot return."""


class Posterior(nn.Module, ABC):
    """A family q(z|x)."""

    num_heads: int

    @abstractmethod
    def forward(self, raw: Float[Tensor, "*batch raw"]) -> Distribution:
        """The distribution over latents that a raw encoder output stands for."""


class DiagonalNormalPosterior(Posterior):
    """N(mean, diag(variance)); the heads are the mean and the log-variance."""

    num_heads = 2

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> DiagonalNormal:
        mean, log_variance = raw.chunk(2, dim=-1)
        return DiagonalNormal(mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))


class PointMassPosterior(Posterior):
    """A deterministic code, which makes the model a plain autoencoder."""

    num_heads = 1

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> PointMass:
        return PointMass(raw)


POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal-normal": DiagonalNormalPosterior,
    "point-mass": PointMassPosterior,
}

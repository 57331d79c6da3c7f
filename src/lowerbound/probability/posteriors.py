"""Posteriors q(z|x) by name: diagonal normal, full-covariance normal, point mass; register_posterior.

A posterior maps raw encoder output to a distribution over latents. It states the shape that it needs (`raw_shape`), as
a likelihood does for the decoder. Built-in encoders have one head for each of `head_sizes`.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from lowerbound.probability.distributions import DiagonalNormal, Distribution, PointMass
from lowerbound.probability.normals import FullNormal, scale_tril_of
from lowerbound.probability.parts import Part, register

LOG_VARIANCE_BOUND = 15.0
"""Log-variances are clamped to ± this: beyond it exp overflows in half precision, and training cannot recover."""


class Posterior(Part, ABC):
    """A family q(z|x) over `latent_dim` latents."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @property
    @abstractmethod
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of the raw encoder output for one example."""

    @property
    def head_sizes(self) -> tuple[int, ...]:
        """Output sizes of the encoder's heads; initial weights are drawn separately for each head."""
        return self.raw_shape

    @abstractmethod
    def forward(self, raw: Float[Tensor, "*batch raw"]) -> Distribution:
        """The distribution over latents given by a raw encoder output."""


class DiagonalNormalPosterior(Posterior):
    """N(mean, diag(variance)); the heads are the mean and the log-variance."""

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (2 * self.latent_dim,)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        return self.latent_dim, self.latent_dim

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> DiagonalNormal:
        mean, log_variance = raw.chunk(2, dim=-1)
        return DiagonalNormal(mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))


class FullNormalPosterior(Posterior):
    """N(mean, L Lᵀ) with a full covariance.

    L = S (I + N), where S is diagonal and N strictly lower triangular. The heads are the mean, log S², and N by row;
    with N = 0 this is the diagonal normal of the first two.

    Source: Kingma and Welling, "An Introduction to Variational Autoencoders", arXiv:1906.02691, Section 2.5.1.
    """

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (sum(self.head_sizes),)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        return self.latent_dim, self.latent_dim, self.latent_dim * (self.latent_dim - 1) // 2

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> FullNormal:
        mean, log_scale, below = raw.split(self.head_sizes, dim=-1)
        return FullNormal(mean, scale_tril_of(log_scale.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND), below))


class PointMassPosterior(Posterior):
    """A deterministic code: the model is a plain autoencoder."""

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (self.latent_dim,)

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> PointMass:
        return PointMass(raw)


def register_posterior(name: str, posterior: type[Posterior]) -> None:
    """Register a posterior under a name for configurations and files; ConfigError for a name in use."""
    register("posterior", POSTERIORS, Posterior, name, posterior)


POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal-normal": DiagonalNormalPosterior,
    "full-normal": FullNormalPosterior,
    "point-mass": PointMassPosterior,
}

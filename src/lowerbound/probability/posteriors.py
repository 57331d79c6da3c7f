"""Posteriors q(z|x) by name: normals (diagonal, low-rank, full), flow (IAF), point mass; register_posterior."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.iaf_posterior import InverseAutoregressivePosterior
from lowerbound.probability.low_rank_normal import LowRankNormal
from lowerbound.probability.normals import FullNormal, scale_tril_of
from lowerbound.probability.parts import check_number, register
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND, Posterior


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


class LowRankNormalPosterior(Posterior):
    """N(mean, S (I + V Vᵀ) S) with S diagonal and V of `rank` columns: correlations of few directions.

    The heads are the mean, log S², and V by row; with V = 0 this is the diagonal normal of the first two, and with as
    many columns as latents every covariance is possible.

    Source: Rezende, Mohamed and Wierstra, "Stochastic Backpropagation", arXiv:1401.4082, Section 4.3, which restricts
    the precision to diagonal plus rank one.
    """

    accepted_options: ClassVar[dict[str, tuple[float, float]]] = {"rank": (1.0, 10_000.0)}

    def __init__(self, latent_dim: int, rank: int = 2) -> None:
        super().__init__(latent_dim)
        check_number("rank", rank, *self.accepted_options["rank"])
        self.rank = rank

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (sum(self.head_sizes),)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        return self.latent_dim, self.latent_dim, self.latent_dim * self.rank

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> LowRankNormal:
        mean, log_scale, factor = raw.split(self.head_sizes, dim=-1)
        log_scale = log_scale.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)
        return LowRankNormal(mean, log_scale, factor.unflatten(-1, (self.latent_dim, self.rank)))


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
    "low-rank-normal": LowRankNormalPosterior,
    "full-normal": FullNormalPosterior,
    "iaf": InverseAutoregressivePosterior,
    "point-mass": PointMassPosterior,
}

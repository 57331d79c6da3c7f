"""Posteriors q(z|x) by name: normals, flow (IAF), point mass, on the sphere, on the simplex, codes.

register_posterior adds one.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.ranges import Range, check_number
from lowerbound.probability.code_posteriors import (
    FiniteScalarPosterior,
    ResidualVectorQuantisedPosterior,
    VectorQuantisedPosterior,
)
from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.iaf_posterior import InverseAutoregressivePosterior
from lowerbound.probability.low_rank_normal import LowRankNormal
from lowerbound.probability.normals import FullNormal, scale_tril_of
from lowerbound.probability.one_hot import CategoricalCodes, RelaxedCodes
from lowerbound.probability.parts import register
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND, Posterior
from lowerbound.probability.simplex import LogisticNormal
from lowerbound.probability.spaces import SIMPLEX, SPHERE, OneHot, Space
from lowerbound.probability.sphere import PowerSpherical

MAX_CONCENTRATION = 1e7
"""Largest concentration on the sphere: an angle of about 3e-4, which float32 still resolves."""

MAX_LOCATION, MAX_SIMPLEX_LOG_VARIANCE = 20.0, 4.0
"""Largest coordinates of a location on the simplex, and their log-variance: draws within 6 standard deviations keep
shares above e⁻⁸⁷, the smallest normal number of float32, in all but the farthest corners."""

LEAST_LENGTH = 1e-6
"""Length of a raw direction below which it has no direction, and the first axis replaces it."""


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

    accepted_options: ClassVar[dict[str, Range]] = {"rank": Range(1.0, 10_000.0)}

    def __init__(self, latent_dim: int, rank: Annotated[int, "Columns of V."] = 2) -> None:
        super().__init__(latent_dim)
        check_number("rank", rank, self.accepted_options["rank"])
        if rank > latent_dim:
            raise ConfigError(
                f"posterior 'low-rank-normal' has model.posterior_options.rank={rank}, but its covariance has only "
                f"{latent_dim} dimensions; lower the rank, or use posterior 'full-normal'."
            )
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


class PowerSphericalPosterior(Posterior):
    """A unit vector around a mean direction; the heads are the direction, of any length, and the concentration.

    The concentration is softplus(raw) + min_concentration: with 1, the default, the posterior of an example never
    becomes uniform, where the direction would get no gradient (Davidson et al., arXiv:1804.00891, code of Section 5).

    Source: De Cao and Aziz, "The Power Spherical distribution", arXiv:2006.04437.
    """

    space = SPHERE
    accepted_options: ClassVar[dict[str, Range]] = {"min_concentration": Range(0.0, 1000.0)}

    def __init__(
        self, latent_dim: int, min_concentration: Annotated[float, "Added to the concentration of the encoder."] = 1.0
    ) -> None:
        super().__init__(latent_dim)
        check_number("min_concentration", min_concentration, self.accepted_options["min_concentration"])
        self.min_concentration = min_concentration

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (self.latent_dim + 1,)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        return self.latent_dim, 1

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> PowerSpherical:
        direction, concentration = raw.split(self.head_sizes, dim=-1)
        bounded = (F.softplus(concentration.squeeze(-1)) + self.min_concentration).clamp(max=MAX_CONCENTRATION)
        return PowerSpherical(_unit(direction), bounded)


class GumbelSoftmaxPosterior(Posterior):
    """Groups of one-hot codes; the head has the logits of all categories.

    In training mode draws are relaxed: the decoder sees points between the codes, and the objective is not a bound. In
    evaluation mode draws are codes, so that every reported number is that of the discrete model. With
    `straight_through` the decoder sees codes in training too, with the gradient of relaxed ones.

    Source: Jang, Gu and Poole, arXiv:1611.01144; Maddison, Mnih and Teh, arXiv:1611.00712.
    """

    space = OneHot(10)  # that of the default options
    accepted_options: ClassVar[dict[str, Range]] = {
        "num_categories": Range(2.0, 100_000.0),
        "temperature": Range(0.01, 100.0),
    }
    has_relaxed_draws = True

    def __init__(
        self,
        latent_dim: int,
        num_categories: Annotated[int, "Categories of each code."] = 10,
        temperature: Annotated[float, "Of the relaxed draws in training; near 0 they are almost hard."] = 1.0,
        straight_through: Annotated[bool, "Whether draws are hard, with the gradient of the relaxed ones."] = False,
    ) -> None:
        check_number("num_categories", num_categories, self.accepted_options["num_categories"])
        check_number("temperature", temperature, self.accepted_options["temperature"])
        self.space = OneHot(num_categories)
        super().__init__(latent_dim)
        self.num_categories, self.temperature = num_categories, temperature
        self.straight_through = straight_through

    @classmethod
    def space_with(cls, options: Mapping[str, Any]) -> Space:
        return OneHot(options.get("num_categories", cls.space.num_categories))

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (self.latent_dim,)

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> CategoricalCodes:
        logits = raw.unflatten(-1, (-1, self.num_categories))
        if not self.training:
            return CategoricalCodes(logits)
        return RelaxedCodes(logits, temperature=self.temperature, straight_through=self.straight_through)


class LogisticNormalPosterior(Posterior):
    """Shares of `latent_dim` components that add up to 1; the heads are means and log-variances of one number less.

    Source: Aitchison and Shen, "Logistic-normal distributions: some properties and uses", 1980; as a posterior,
    Srivastava and Sutton, "Autoencoding Variational Inference For Topic Models", arXiv:1703.01488.
    """

    space = SIMPLEX

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (2 * (self.latent_dim - 1),)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        return self.latent_dim - 1, self.latent_dim - 1

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> LogisticNormal:
        location, log_variance = raw.chunk(2, dim=-1)
        bounded = log_variance.clamp(-LOG_VARIANCE_BOUND, MAX_SIMPLEX_LOG_VARIANCE)
        return LogisticNormal(location.clamp(-MAX_LOCATION, MAX_LOCATION), bounded)


def _unit(vector: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch latent"]:
    """Vectors divided by their length; the first axis for a vector of zeros."""
    length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    first = torch.zeros_like(vector)
    first[..., 0] = 1
    return torch.where(length < LEAST_LENGTH, first, vector / length.clamp(min=LEAST_LENGTH))


def register_posterior(name: str, posterior: type[Posterior]) -> None:
    """Register a posterior under a name for configurations and files; ConfigError for a name in use."""
    register("posterior", POSTERIORS, Posterior, name, posterior)


POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal-normal": DiagonalNormalPosterior,
    "low-rank-normal": LowRankNormalPosterior,
    "full-normal": FullNormalPosterior,
    "iaf": InverseAutoregressivePosterior,
    "point-mass": PointMassPosterior,
    "power-spherical": PowerSphericalPosterior,
    "gumbel-softmax": GumbelSoftmaxPosterior,
    "logistic-normal": LogisticNormalPosterior,
    "vq": VectorQuantisedPosterior,
    "residual-vq": ResidualVectorQuantisedPosterior,
    "fsq": FiniteScalarPosterior,
}

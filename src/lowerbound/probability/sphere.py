"""PowerSpherical and UniformOnSphere: distributions of unit vectors, with densities by surface area.

With w = μᵀz the cosine of the angle to the mean direction μ, in d dimensions,

    log q(z) = κ log(1 + w) - (α + β) log 2 - β log π - log Γ(α) + log Γ(α + β),   α = (d - 1)/2 + κ,   β = (d - 1)/2

and (1 + w)/2 has the distribution Beta(α, β), which is that of a/(a + b) for a ~ Gamma(α) and b ~ Gamma(β).

Source: De Cao and Aziz, "The Power Spherical distribution", arXiv:2006.04437.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from lowerbound.foundation.seeding import standard_normal
from lowerbound.probability.distributions import Distribution, FromNoise

LEAST_COSINE = 1e-12
"""Smallest 1 + w whose logarithm is taken: rounding may put a draw exactly opposite the mean direction."""

LEAST_LENGTH = 1e-12
"""Smallest length that a vector is divided by."""


@dataclass(frozen=True, eq=False)
class PowerSpherical(FromNoise):
    """A unit vector around a mean direction; draws are reparameterised.

    A draw is w μ + sqrt(1 - w²) v with a unit vector v orthogonal to μ, both from d normal numbers n: their part
    orthogonal to μ gives v by its direction and b by its length, because half its square has the distribution
    Gamma((d - 1)/2). A further number gives a, by the inverse distribution function. There is no reflection, which
    would be undefined at a pole.
    """

    direction: Float[Tensor, "*batch latent"]  # μ, of length 1
    concentration: Float[Tensor, "*batch"]  # κ, at least 0; 0 is uniform
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch latent"]:
        """E[z] = κ / (κ + d - 1) μ, inside the sphere."""
        return self._mean_cosine.unsqueeze(-1) * self.direction

    @property
    def mode(self) -> Float[Tensor, "*batch latent"]:
        return self.direction

    @property
    def centre(self) -> Float[Tensor, "*batch latent"]:
        """The mean direction."""
        return self.direction

    @property
    def variance(self) -> Float[Tensor, "*batch latent"]:
        along, across = self._variances()
        squared = self.direction**2
        return along.unsqueeze(-1) * squared + across.unsqueeze(-1) * (1 - squared)

    @property
    def covariance(self) -> Float[Tensor, "*batch latent latent"]:
        along, across = (variance[..., None, None] for variance in self._variances())
        outer = self.direction.unsqueeze(-1) * self.direction.unsqueeze(-2)
        return along * outer + across * (torch.eye(self.direction.shape[-1]).to(outer) - outer)

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        cosine = (value.double() * self.direction.double()).sum(-1)
        return self._log_density(cosine)

    def log_prob_table(self, values: Float[Tensor, "n latent"]) -> Float[Tensor, "n batch"]:
        return self._log_density(values.double() @ self.direction.double().T)

    @property
    def noise_like(self) -> Float[Tensor, "*batch noise"]:
        return self.direction.new_empty(*self.direction.shape[:-1], self.direction.shape[-1] + 1)

    def entropy(self) -> Float64[Tensor, "*batch"]:
        """-E[log q(z)], in nats."""
        alpha, beta = self._shapes()
        mean_log = math.log(2) + torch.digamma(alpha) - torch.digamma(alpha + beta)  # E[log(1 + w)]
        return -self._log_normaliser() - self.concentration.double() * mean_log

    @property
    def _mean_cosine(self) -> Float[Tensor, "*batch"]:
        return self.concentration / (self.concentration + self.direction.shape[-1] - 1)

    def _shapes(self) -> tuple[Float64[Tensor, "*batch"], float]:
        """α and β."""
        beta = (self.direction.shape[-1] - 1) / 2
        return beta + self.concentration.double(), beta

    def _variances(self) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Of the element along μ, and of each one across it."""
        alpha, beta = self._shapes()
        total = alpha + beta
        along = 4 * alpha * beta / (total**2 * (total + 1))
        squared = along + ((alpha - beta) / total) ** 2  # E[w²]
        across = (1 - squared) / (self.direction.shape[-1] - 1)
        return along.to(self.direction), across.to(self.direction)

    def _log_normaliser(self) -> Float64[Tensor, "*batch"]:
        alpha, beta = self._shapes()
        gammas = torch.lgamma(alpha + beta) - torch.lgamma(alpha)
        return gammas - (alpha + beta) * math.log(2) - beta * math.log(math.pi)

    def _log_density(self, cosine: Float64[Tensor, "*batch"]) -> Float64[Tensor, "*batch"]:
        return self.concentration.double() * (1 + cosine).clamp(min=LEAST_COSINE).log() + self._log_normaliser()

    def moved(self, noise: Float[Tensor, "sample *batch noise"]) -> Float[Tensor, "sample *batch latent"]:
        """Draws from normal noise; the last number of each row is for a."""
        # In float64: in two dimensions the part across μ may be a millionth of the noise.
        normal, of_gamma = noise[..., :-1].double(), noise[..., -1]
        direction = self.direction.double()
        across = _orthogonal(normal, direction.detach())
        length = across.norm(dim=-1, keepdim=True).clamp(min=LEAST_LENGTH)
        v = across / length
        # v as it moves with μ, by parallel transport: its derivative is -(v · dμ) μ, with no rotation about μ, whose
        # noise would have an infinite variance in three dimensions. To first order v stays a unit vector.
        v = _orthogonal(v, direction)
        a = gamma_of_normal(self._shapes()[0], of_gamma).unsqueeze(-1)
        b = 0.5 * length**2
        # 1 - w² = 4ab/(a + b)², without cancellation where w is near 1.
        w, sine = (a - b) / (a + b), 2 * (a * b).sqrt() / (a + b)
        return (w * direction + sine * v).to(self.direction)


@dataclass(frozen=True, eq=False)
class UniformOnSphere(Distribution):
    """All unit vectors with the same density, 1 / surface area; of batch shape ()."""

    origin: Float[Tensor, " latent"]  # zeros, for the number of dimensions, the type and the device
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, " latent"]:
        return self.origin

    @property
    def mode(self) -> Float[Tensor, " latent"]:
        """The first axis: any vector is as probable."""
        return torch.eye(len(self.origin)).to(self.origin)[0]

    @property
    def centre(self) -> Float[Tensor, " latent"]:
        return self.mode

    @property
    def variance(self) -> Float[Tensor, " latent"]:
        return torch.full_like(self.origin, 1 / len(self.origin))

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float64[Tensor, "*batch"]:
        return torch.full_like(value[..., 0], -log_area(len(self.origin)), dtype=torch.float64)

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample latent"]:
        noise = standard_normal(generator, num_samples, self.origin)
        return noise / noise.norm(dim=-1, keepdim=True)


def log_area(latent_dim: int) -> float:
    """Logarithm of the surface area of the unit sphere in `latent_dim` dimensions, 2 π^(d/2) / Γ(d/2)."""
    half = latent_dim / 2
    return math.log(2) + half * math.log(math.pi) - math.lgamma(half)


def gamma_of_normal(shape: Float64[Tensor, "*batch"], normal: Float[Tensor, "*noise"]) -> Float64[Tensor, "*noise"]:
    """Gamma(shape) variates by the inverse distribution function of normal noise, differentiable in the shape.

    Rejection sampling would consume an amount of noise that depends on the shape, so that the noise of one row would
    depend on the others. The gradient is that of the inverse distribution function at fixed noise.

    Source: Figurnov, Mohamed and Mnih, "Implicit Reparameterization Gradients", arXiv:1805.08498.
    """
    shape = shape.expand_as(normal)
    value = _gamma_quantile(shape.detach(), normal)
    if not shape.requires_grad:
        return value
    return value + (shape - shape.detach()) * torch._standard_gamma_grad(shape.detach(), value)


def _gamma_quantile(shape: Float64[Tensor, "*noise"], normal: Float[Tensor, "*noise"]) -> Float64[Tensor, "*noise"]:
    from scipy import special  # imported here: only these models should pay its time

    a, n = shape.cpu().numpy(), normal.detach().double().cpu().numpy()
    is_low, tail = n < 0, special.ndtr(-abs(n))
    quantile = np.empty_like(tail)
    # By the nearer tail, because 1 - 1e-17 is 1. (The argument `where` of these functions corrupts memory.)
    quantile[is_low] = special.gammaincinv(a[is_low], tail[is_low])
    quantile[~is_low] = special.gammainccinv(a[~is_low], tail[~is_low])
    return torch.from_numpy(quantile).to(shape.device).clamp(min=torch.finfo(torch.float64).tiny)


def _orthogonal(vector: Float[Tensor, "*batch latent"], unit: Float[Tensor, "*#batch latent"]) -> Tensor:
    """The part of a vector that is orthogonal to a unit vector."""
    return vector - (vector * unit).sum(-1, keepdim=True) * unit

"""Synthetic data with exact log p(x) and posterior: linear Gaussians and mixtures of Gaussians."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """x = W z + b + sigma * noise with z ~ N(0, I): probabilistic PCA.

    Source: Tipping and Bishop, "Probabilistic Principal Component Analysis", 1999, Equations 2-8.
    """

    weight: Float[Tensor, "dimension latent"]
    bias: Float[Tensor, " dimension"]
    sigma: float

    def sample(self, num_examples: int, generator: Generator) -> Float[Tensor, "n dimension"]:
        """Draws of x."""
        dtype = self.weight.dtype
        z = torch.randn(num_examples, self.weight.shape[1], generator=generator, dtype=dtype)
        noise = torch.randn(num_examples, self.weight.shape[0], generator=generator, dtype=dtype)
        return z @ self.weight.T + self.bias + self.sigma * noise

    def log_evidence(self, x: Float[Tensor, "n dimension"]) -> Float[Tensor, " n"]:
        """log p(x) = log N(x; b, W Wᵀ + sigma² I), in nats."""
        factor = torch.linalg.cholesky(self._covariance())
        whitened = torch.linalg.solve_triangular(factor, (x - self.bias).T, upper=False)
        log_determinant = 2 * factor.diagonal().log().sum()
        return -0.5 * (len(self.bias) * math.log(2 * math.pi) + log_determinant + (whitened**2).sum(0))

    def posterior_mean(self, x: Float[Tensor, "n dimension"]) -> Float[Tensor, "n latent"]:
        """Mean of p(z|x)."""
        return (x - self.bias) @ self.weight @ torch.linalg.inv(self._precision())

    def posterior_covariance(self) -> Float[Tensor, "latent latent"]:
        """Covariance of p(z|x), the same for every x; diagonal where the columns of W are orthogonal."""
        return self.sigma**2 * torch.linalg.inv(self._precision())

    def _covariance(self) -> Float[Tensor, "dimension dimension"]:
        return self.weight @ self.weight.T + self.sigma**2 * torch.eye(len(self.bias), dtype=self.weight.dtype)

    def _precision(self) -> Float[Tensor, "latent latent"]:
        num_latents = self.weight.shape[1]
        return self.weight.T @ self.weight + self.sigma**2 * torch.eye(num_latents, dtype=self.weight.dtype)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of normals: a multimodal density in closed form."""

    weight: Float[Tensor, " component"]  # sums to one
    mean: Float[Tensor, "component dimension"]
    covariance: Float[Tensor, "component dimension dimension"]

    def sample(self, num_examples: int, generator: Generator) -> Float[Tensor, "n dimension"]:
        """Draws of x."""
        component = torch.multinomial(self.weight, num_examples, replacement=True, generator=generator)
        noise = torch.randn(num_examples, self.mean.shape[1], generator=generator, dtype=self.mean.dtype)
        factor = torch.linalg.cholesky(self.covariance)
        return self.mean[component] + (factor[component] @ noise.unsqueeze(-1)).squeeze(-1)

    def log_evidence(self, x: Float[Tensor, "n dimension"]) -> Float[Tensor, " n"]:
        """log p(x) = log Σ_c weight_c N(x; mean_c, covariance_c), in nats."""
        factor = torch.linalg.cholesky(self.covariance)
        centred = (x.unsqueeze(1) - self.mean).unsqueeze(-1)
        whitened = torch.linalg.solve_triangular(factor, centred, upper=False).squeeze(-1)
        log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_normal = -0.5 * (x.shape[1] * math.log(2 * math.pi) + log_determinant + (whitened**2).sum(-1))
        return torch.logsumexp(self.weight.log() + log_normal, dim=-1)

    def pushforward(self, model: LinearGaussian) -> "GaussianMixture":
        """The distribution of x = W z + b + sigma * noise with z drawn from this mixture."""
        noise = model.sigma**2 * torch.eye(len(model.bias), dtype=model.weight.dtype)
        covariance = model.weight @ self.covariance @ model.weight.T + noise
        return GaussianMixture(self.weight, self.mean @ model.weight.T + model.bias, covariance)


def orthogonal_linear_gaussian(dimension: int, latent_dim: int, sigma: float, generator: Generator) -> LinearGaussian:
    """A model with orthogonal columns of lengths 2, 3, ..., so that a diagonal posterior is exact."""
    directions, _ = torch.linalg.qr(torch.randn(dimension, latent_dim, generator=generator, dtype=torch.float64))
    lengths = torch.arange(2, latent_dim + 2, dtype=torch.float64)
    bias = torch.randn(dimension, generator=generator, dtype=torch.float64)
    return LinearGaussian(directions * lengths, bias, sigma)

"""LowRankNormal: normals whose covariance is diagonal plus low rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.probability.distributions import LOG_2_PI, FromNoise


@dataclass(frozen=True, eq=False)
class LowRankNormal(FromNoise):
    """Normal with covariance S (I + V Vᵀ) S; draws are reparameterised, z = mean + S (noise + V noise').

    Densities need only the determinant and the inverse of a matrix of the rank's size, M = I + Vᵀ V (the matrix
    determinant lemma and Woodbury's identity).
    """

    parameter_mean: Float[Tensor, "*batch latent"]
    log_variance: Float[Tensor, "*batch latent"]  # log S²
    factor: Float[Tensor, "*batch latent rank"]  # V
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch latent"]:
        return self.parameter_mean

    @property
    def mode(self) -> Float[Tensor, "*batch latent"]:
        return self.parameter_mean

    @property
    def variance(self) -> Float[Tensor, "*batch latent"]:
        return self.log_variance.exp() * (1 + self.factor.square().sum(-1))

    @property
    def covariance(self) -> Float[Tensor, "*batch latent latent"]:
        scaled = self._scale.unsqueeze(-1) * self.factor
        return torch.diag_embed(self.log_variance.exp()) + scaled @ scaled.mT

    @property
    def log_determinant(self) -> Float[Tensor, "*batch"]:
        """Logarithm of the determinant of the covariance: log det S² + log det M."""
        log_diagonal = self._cholesky().diagonal(dim1=-2, dim2=-1).log()
        return self.log_variance.double().sum(-1) + 2 * log_diagonal.sum(-1)

    def marginal(self, elements: Sequence[int]) -> "LowRankNormal":
        chosen = list(elements)
        return LowRankNormal(
            self.parameter_mean[..., chosen], self.log_variance[..., chosen], self.factor[..., chosen, :]
        )

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        # In float64: the two squares cancel almost entirely along the columns of a large V.
        noise = (value - self.parameter_mean).double() / self._scale.double()
        along = torch.linalg.solve_triangular(self._cholesky(), self.factor.double().mT, upper=False)  # [..., rank, D]
        explained = (along * noise.unsqueeze(-2)).sum(-1).square().sum(-1)
        squared = noise.square().sum(-1) - explained
        return -0.5 * (squared + self.log_determinant + LOG_2_PI * noise.shape[-1])

    @property
    def _scale(self) -> Float[Tensor, "*batch latent"]:
        return torch.exp(0.5 * self.log_variance)

    @property
    def noise_like(self) -> Float[Tensor, "*batch noise"]:
        """A tensor of the shape of one draw's noise: a number for each latent, then one for each column of V."""
        return torch.cat([self.parameter_mean, self.factor[..., 0, :]], dim=-1)

    def moved(self, noise: Float[Tensor, "sample *batch noise"]) -> Float[Tensor, "sample *batch latent"]:
        of_latents, of_columns = noise.split([*self.factor.shape[-2:]], dim=-1)
        correlated = (self.factor @ of_columns.unsqueeze(-1)).squeeze(-1)
        return self.parameter_mean + self._scale * (of_latents + correlated)

    def _cholesky(self) -> Float[Tensor, "*batch rank rank"]:
        factor = self.factor.double()
        identity = torch.eye(factor.shape[-1], dtype=torch.float64, device=factor.device)
        return torch.linalg.cholesky(identity + factor.mT @ factor)

"""FullNormal (full covariance) and MixtureOfNormals: distributions over latents."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.probability.distributions import LOG_2_PI, TABLE_VALUES, DiagonalNormal, Distribution, FromNoise

NUM_BISECTIONS = 60
"""Halvings of the interval that contains a quantile, sufficient for float64."""


@dataclass(frozen=True, eq=False)
class FullNormal(FromNoise):
    """Normal with covariance L Lᵀ; draws are reparameterised, z = mean + L noise."""

    parameter_mean: Float[Tensor, "*batch latent"]
    scale_tril: Float[Tensor, "*batch latent latent"]  # L, lower triangular with a positive diagonal
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch latent"]:
        return self.parameter_mean

    @property
    def mode(self) -> Float[Tensor, "*batch latent"]:
        return self.parameter_mean

    @property
    def variance(self) -> Float[Tensor, "*batch latent"]:
        return self.scale_tril.square().sum(-1)

    @property
    def covariance(self) -> Float[Tensor, "*batch latent latent"]:
        return self.scale_tril @ self.scale_tril.mT

    @property
    def log_diagonal(self) -> Float[Tensor, "*batch latent"]:
        """Logarithms of the diagonal of L; twice their sum is the log-determinant of the covariance."""
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log()

    def marginal(self, elements: Sequence[int]) -> "FullNormal":
        chosen = list(elements)
        covariance = self.covariance.double()[..., chosen, :][..., chosen]
        scale_tril = torch.linalg.cholesky(covariance).to(self.scale_tril.dtype)
        return FullNormal(self.parameter_mean[..., chosen], scale_tril)

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        # In float64: for a nearly singular covariance the solution would lose most digits of float32.
        centred = (value - self.parameter_mean).double().unsqueeze(-1)
        noise = torch.linalg.solve_triangular(self.scale_tril.double(), centred, upper=False).squeeze(-1)
        return -(0.5 * (noise.square() + LOG_2_PI) + self.log_diagonal.double()).sum(-1)

    def log_prob_table(self, values: Float[Tensor, "n latent"]) -> Float[Tensor, "n batch"]:
        # With the inverse of every L: solving a triangular system per pair would copy L for each.
        num_batch, latent_dim = self.parameter_mean.shape
        identity = torch.eye(latent_dim, dtype=torch.float64, device=values.device).expand(num_batch, -1, -1)
        inverse = torch.linalg.solve_triangular(self.scale_tril.double(), identity, upper=False)
        centre = (inverse @ self.parameter_mean.double().unsqueeze(-1)).squeeze(-1)
        log_normaliser = (0.5 * LOG_2_PI + self.log_diagonal.double()).sum(-1)
        parts = []
        for part in values.double().split(max(1, TABLE_VALUES // (num_batch * latent_dim))):
            noise = (part @ inverse.flatten(0, 1).T).unflatten(-1, (num_batch, latent_dim)) - centre
            parts.append(-0.5 * noise.square().sum(-1) - log_normaliser)
        return torch.cat(parts)

    @property
    def noise_like(self) -> Float[Tensor, "*batch latent"]:
        return self.parameter_mean

    def moved(self, noise: Float[Tensor, "sample *batch latent"]) -> Float[Tensor, "sample *batch latent"]:
        return self.parameter_mean + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)


@dataclass(frozen=True, eq=False)
class MixtureOfNormals(Distribution):
    """A mixture of diagonal normals over latents, of batch shape (). Draws are not differentiable in the logits."""

    logits: Float[Tensor, " component"]
    components: DiagonalNormal  # of batch shape [component]
    event_ndim: int = 1

    @property
    def weights(self) -> Float[Tensor, " component"]:
        """Probabilities of the components."""
        return self.logits.softmax(0)

    @property
    def mean(self) -> Float[Tensor, " latent"]:
        return self.weights @ self.components.mean

    @property
    def mode(self) -> Float[Tensor, " latent"]:
        """The component mean with the highest density: the mode itself if components are well separated."""
        means = self.components.mean
        return means[self.log_prob(means).argmax()]

    @property
    def variance(self) -> Float[Tensor, " latent"]:
        return self.weights @ (self.components.variance + (self.components.mean - self.mean).square())

    @property
    def covariance(self) -> Float[Tensor, "latent latent"]:
        centred = self.components.mean - self.mean
        between = (self.weights.unsqueeze(-1) * centred).mT @ centred
        return torch.diag(self.weights @ self.components.variance) + between

    def marginal(self, elements: Sequence[int]) -> "MixtureOfNormals":
        return MixtureOfNormals(self.logits, self.components.marginal(elements))

    def log_prob(self, value: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
        flat = value.reshape(-1, value.shape[-1])
        log_densities = self.components.log_prob_table(flat) + self.logits.double().log_softmax(0)
        return log_densities.logsumexp(-1).reshape(value.shape[:-1])

    def log_prob_table(self, values: Float[Tensor, "n latent"]) -> Float[Tensor, "n one"]:
        return self.log_prob(values).unsqueeze(-1)

    def sample(
        self, generator: Generator, num_samples: int, temperature: float = 1.0
    ) -> Float[Tensor, "sample latent"]:
        """Draws, with each component's standard deviation scaled by `temperature`."""
        chosen = torch.multinomial(self.weights.detach(), num_samples, replacement=True, generator=generator)
        mean = self.components.mean[chosen]
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + temperature * self.components.variance.sqrt()[chosen] * noise

    def inverse_cdf(self, probability: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*value_shape"]:
        """Quantiles of each element, by bisection; elements are along the last axis."""
        wanted = probability.double()
        mean, deviation = self.components.mean.double(), self.components.variance.double().sqrt()
        # A quantile of a mixture lies between the smallest and the largest of its components.
        of_components = mean + deviation * torch.special.ndtri(wanted.unsqueeze(-2))
        low, high = of_components.amin(-2), of_components.amax(-2)
        for _ in range(NUM_BISECTIONS):
            middle = (low + high) / 2
            below = torch.special.ndtr((middle.unsqueeze(-2) - mean) / deviation)
            is_below = (self.weights.double().unsqueeze(-1) * below).sum(-2) < wanted
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        return ((low + high) / 2).to(probability.dtype)


def scale_tril_of(
    log_variance: Float[Tensor, "*batch latent"], below: Float[Tensor, "*batch pair"]
) -> Float[Tensor, "*batch latent latent"]:
    """L = diag(exp(log_variance / 2)) (I + N), where N is strictly lower triangular with entries `below`, by row."""
    return torch.exp(0.5 * log_variance).unsqueeze(-1) * unit_lower(below, log_variance.shape[-1])


def unit_lower(below: Float[Tensor, "*batch pair"], latent_dim: int) -> Float[Tensor, "*batch latent latent"]:
    """Lower triangular matrices with ones on the diagonal and the entries `below` it, by row."""
    unit = torch.diag_embed(below.new_ones(*below.shape[:-1], latent_dim))
    if latent_dim == 1:  # there are no entries below the diagonal, and ONNX cannot assign an empty slice
        return unit
    rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1, device=below.device)
    unit[..., rows, columns] = below
    return unit

"""LogisticNormal: distributions on the simplex, from normal numbers by a softmax.

K components z = softmax(B n) with K - 1 normal numbers n, where the columns of the K × (K - 1) matrix B are orthonormal
and sum to 0, so that no component is special and n = Bᵀ log z. The density is with respect to the first K - 1
components:

    log p(z) = log N(Bᵀ log z) - ½ log K - Σ_k log z_k

Source: Aitchison and Shen, "Logistic-normal distributions: some properties and uses", Biometrika 67(2), 1980; the
coordinates n are those of Egozcue et al., "Isometric logratio transformations", 2003.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import RowNoise
from lowerbound.probability.distributions import DiagonalNormal, Distribution

LEAST_SHARE = torch.finfo(torch.float32).tiny
"""Smallest share whose logarithm is taken; smaller ones are rounded to 0 in float32."""


@dataclass(frozen=True, eq=False)
class LogisticNormal(Distribution):
    """A softmax of independent normal numbers; draws are reparameterised."""

    location: Float[Tensor, "*batch free"]  # of n
    log_variance: Float[Tensor, "*batch free"]
    event_ndim: int = 1

    @property
    def normal(self) -> DiagonalNormal:
        """The distribution of n."""
        return DiagonalNormal(self.location, self.log_variance)

    @property
    def _precise(self) -> DiagonalNormal:
        return DiagonalNormal(self.location.double(), self.log_variance.double())

    @property
    def centre(self) -> Float[Tensor, "*batch component"]:
        """The softmax of the location, which is the normalised geometric mean of z."""
        return on_simplex(self.location)

    @property
    def mean(self) -> Float[Tensor, "*batch component"]:
        raise ConfigError("the mean of a logistic normal has no closed form; use `centre`, its geometric mean.")

    @property
    def mode(self) -> Float[Tensor, "*batch component"]:
        raise ConfigError("the mode of a logistic normal has no closed form; use `centre`, its geometric mean.")

    @property
    def variance(self) -> Float[Tensor, "*batch component"]:
        raise ConfigError("the variance of a logistic normal has no closed form; use that of `normal`.")

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float64[Tensor, "*batch"]:
        n, log_volume = coordinates(value)
        return self._precise.log_prob(n) - log_volume

    def log_prob_table(self, values: Float[Tensor, "n component"]) -> Float64[Tensor, "n batch"]:
        n, log_volume = coordinates(values)
        return self._precise.log_prob_table(n) - log_volume.unsqueeze(-1)

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch component"]:
        return on_simplex(self.normal.sample(generator, num_samples))

    def sample_by_row(self, noise: RowNoise, num_samples: int) -> Float[Tensor, "sample *batch component"]:
        return on_simplex(self.normal.sample_by_row(noise, num_samples))


def on_simplex(n: Float[Tensor, "*batch free"]) -> Float[Tensor, "*batch component"]:
    """The point of the simplex with these coordinates."""
    return (n @ basis(n.shape[-1] + 1).to(n).T).softmax(-1)


def coordinates(
    z: Float[Tensor, "*batch component"],
) -> tuple[Float64[Tensor, "*batch free"], Float64[Tensor, "*batch"]]:
    """n = Bᵀ log z, and the logarithm of the volume of the first K - 1 components per volume of n."""
    log_z = z.double().clamp(min=LEAST_SHARE).log()
    num_components = z.shape[-1]
    return log_z @ basis(num_components).to(log_z), 0.5 * math.log(num_components) + log_z.sum(-1)


def basis(num_components: int) -> Float64[Tensor, "component free"]:
    """B: orthonormal columns that sum to 0, the contrasts of Helmert."""
    return torch.tensor(_contrasts(num_components), dtype=torch.float64)


@cache  # as numbers: a tensor that is made while a model is traced for export is of no use afterwards
def _contrasts(num_components: int) -> list[list[float]]:
    rows = []
    for row in range(num_components):
        sizes = range(1, num_components)
        rows.append([(float(row < size) - size * (row == size)) / math.sqrt(size * (size + 1)) for size in sizes])
    return rows

"""Discrete codes: a deterministic posterior on a finite set, priors over the indices of its codes, and their rates.

An encoder chooses one of finitely many codes c for an example, so q(c|x) is 1 for one code: log q(c|x) = 0, a
probability and not a density, and the rate is -log p(c). The ELBO

    log p(x|c) + log p(c)  <=  log Σ_c p(x|c) p(c) = log p(x)

is therefore a true lower bound, in nats, on the log evidence of the discrete model. A code is a sequence of indices;
z contains the code vector of every position, one after another.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Float64, Int64
from torch import Generator, Tensor

from lowerbound.foundation.seeding import RowNoise
from lowerbound.probability.distributions import Distribution

NOT_A_CODE = -1
"""The index of a vector that is not a code vector."""


class Codebook(Protocol):
    """The map between the indices of a code and its latents."""

    @property
    def num_indices(self) -> int: ...

    @property
    def num_codes(self) -> int: ...

    def vectors_of(self, indices: Int64[Tensor, "*batch index"]) -> Float[Tensor, "*batch latent"]: ...

    def indices_of(self, z: Float[Tensor, "*batch latent"]) -> Int64[Tensor, "*batch index"]: ...

    def moments(self) -> tuple[Float[Tensor, " latent"], Float[Tensor, " latent"]]: ...


@dataclass(frozen=True, eq=False)
class ChosenCodes(Distribution):
    """All probability on one code, whose probability is 1, of which the logarithm is 0.

    In training `value` has the gradient of the encoder's output (straight-through). `commitment` is what training
    charges beside the ELBO, in nats.
    """

    value: Float[Tensor, "*batch latent"]
    indices: Int64[Tensor, "*batch index"]
    commitment: Float[Tensor, "*batch"] | None = None
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch latent"]:
        return self.value

    @property
    def mode(self) -> Float[Tensor, "*batch latent"]:
        return self.value

    @property
    def variance(self) -> Float[Tensor, "*batch latent"]:
        return torch.zeros_like(self.value)

    @property
    def training_charge(self) -> Float[Tensor, "*batch"] | None:
        return self.commitment

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float64[Tensor, "*batch"]:
        is_chosen = torch.isclose(value, self.value, atol=1e-5).all(-1)
        return torch.where(is_chosen, 0.0, -math.inf).double()

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch latent"]:
        return self.value.expand(num_samples, *self.value.shape)

    def sample_by_row(self, noise: RowNoise, num_samples: int) -> Float[Tensor, "sample *batch latent"]:
        return self.value.expand(num_samples, *self.value.shape)


class CodeDistribution(Distribution):
    """A distribution over the indices of codes, of batch shape (); values are latents."""

    codebook: Codebook

    @abstractmethod
    def log_prob_of_indices(self, indices: Int64[Tensor, "*batch index"]) -> Float64[Tensor, "*batch"]:
        """log p(c) in nats."""

    @abstractmethod
    def draw_indices(self, generator: Generator, num_samples: int) -> Int64[Tensor, "sample index"]:
        """Independent codes."""

    def log_prob(self, value: Float[Tensor, "*batch latent"]) -> Float64[Tensor, "*batch"]:
        """log p(c) of the code with these latents; -inf if they are not those of a code."""
        indices = self.codebook.indices_of(value)
        is_code = (indices != NOT_A_CODE).all(-1)
        log_probability = self.log_prob_of_indices(indices.clamp(min=0))
        return log_probability.masked_fill(~is_code, -math.inf)

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample latent"]:
        return self.codebook.vectors_of(self.draw_indices(generator, num_samples))

    @property
    def mode(self) -> Float[Tensor, " latent"]:
        """The code of the first indices: finding the most probable one takes a search."""
        return self.codebook.vectors_of(torch.zeros(self.codebook.num_indices, dtype=torch.int64))


@dataclass(frozen=True, eq=False)
class UniformCodes(CodeDistribution):
    """Every code has the same probability, K⁻ⁿ for n indices of K values: its rate is n log K nats."""

    codebook: Codebook
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, " latent"]:
        return self.codebook.moments()[0]

    @property
    def variance(self) -> Float[Tensor, " latent"]:
        return self.codebook.moments()[1]

    def log_prob_of_indices(self, indices: Int64[Tensor, "*batch index"]) -> Float64[Tensor, "*batch"]:
        rate = indices.shape[-1] * math.log(self.codebook.num_codes)
        return torch.full(indices.shape[:-1], -rate, dtype=torch.float64, device=indices.device)

    def draw_indices(self, generator: Generator, num_samples: int) -> Int64[Tensor, "sample index"]:
        size = (num_samples, self.codebook.num_indices)
        return torch.randint(self.codebook.num_codes, size, generator=generator, device=generator.device)


def rate_of_codes(posterior: ChosenCodes, prior: CodeDistribution) -> Float64[Tensor, "*batch"]:
    """KL(q || p) = -log p(c) of the chosen code c, because q(c|x) = 1."""
    return -prior.log_prob_of_indices(posterior.indices)

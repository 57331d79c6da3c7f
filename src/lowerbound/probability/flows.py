"""Flows: invertible maps of normal noise, built from zuko's transforms, and the distributions that they make.

    z = T(u),   log p(z) = log p(u) - log |det dT/du|

A flow has no closed form of its moments. They are those of a fixed set of quasi-random draws, mirrored and scaled so
that the moments of a flow that is the identity are exact.
"""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from lowerbound.foundation.seeding import Chance, RowNoise, standard_normal
from lowerbound.probability.distributions import Distribution, Draws

DRAWS_AT_ONCE = 8
"""Fixed draws of a whole batch that are computed at once, which bounds the memory of moments."""

Mapped = tuple[Float[Tensor, "*batch latent"], Float[Tensor, "*batch"]]
"""A result of a map, and the logarithm of its Jacobian determinant."""


@dataclass(frozen=True, eq=False)
class FlowDistribution(Distribution):
    """A distribution of invertible maps of standard normal noise, which gives log-densities along with draws."""

    @abstractmethod
    def of_noise(self, noise: Float[Tensor, "sample *batch latent"]) -> Draws:
        """The draws that this noise becomes, with their log-densities."""

    @property
    @abstractmethod
    def fixed_noise(self) -> Float[Tensor, "draw latent"]:
        """The noise of the fixed draws, from `mirrored_noise`."""

    @property
    def draws_at_once(self) -> int:
        """Fixed draws that are computed at once."""
        # All at once in a graph, which would contain every part of a loop.
        return len(self.fixed_noise) if torch.compiler.is_compiling() else DRAWS_AT_ONCE

    @property
    @abstractmethod
    def like(self) -> Float[Tensor, "*batch latent"]:
        """A tensor of the shape and type of one draw."""

    @cached_property
    def moments(self) -> tuple[Float[Tensor, "*batch latent"], Float[Tensor, "*batch latent"]]:
        """Mean and variance of the fixed draws."""
        total = squares = torch.zeros_like(self.like, dtype=torch.float64)
        for noise in self.fixed_noise.split(self.draws_at_once):
            z = self._fixed_draws(noise).double()
            total, squares = total + z.sum(0), squares + z.square().sum(0)
        mean, square = total / len(self.fixed_noise), squares / len(self.fixed_noise)
        return mean.to(self.like), (square - mean.square()).clamp(min=0).to(self.like)

    @property
    def mean(self) -> Float[Tensor, "*batch latent"]:
        return self.moments[0]

    @property
    def variance(self) -> Float[Tensor, "*batch latent"]:
        return self.moments[1]

    @property
    def covariance(self) -> Float[Tensor, "*batch latent latent"]:
        centred = (self._fixed_draws(self.fixed_noise) - self.mean).movedim(0, -2)
        return centred.mT @ centred / len(self.fixed_noise)

    @property
    def mode(self) -> Float[Tensor, "*batch latent"]:
        """The fixed draw with the highest density."""
        draws = self.of_noise(self._expanded(self.fixed_noise))
        assert draws.log_density is not None
        best = draws.log_density.argmax(0)[None, ..., None].expand(1, *self.like.shape)
        return draws.value.gather(0, best)[0]

    def _fixed_draws(self, noise: Float[Tensor, "draw latent"]) -> Float[Tensor, "draw *batch latent"]:
        return self.of_noise(self._expanded(noise)).value

    def _expanded(self, noise: Float[Tensor, "draw latent"]) -> Float[Tensor, "draw *batch latent"]:
        batch = self.like.shape[:-1]
        return noise.reshape(len(noise), *[1] * len(batch), -1).expand(-1, *batch, -1)

    def draw(self, chance: Chance, num_samples: int) -> Draws:
        return self.of_noise(standard_normal(chance, num_samples, self.like))

    def detach(self) -> "FlowDistribution":
        """The same distribution with detached parameters, including those of its flow, which is copied."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: part.detach() for name, part in parts.items() if isinstance(part, Tensor)}
        modules = {
            name: deepcopy(part).requires_grad_(False) for name, part in parts.items() if isinstance(part, nn.Module)
        }
        return replace(self, **tensors, **modules)

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch latent"]:
        return self.draw(generator, num_samples).value

    def sample_by_row(self, noise: RowNoise, num_samples: int) -> Float[Tensor, "sample *batch latent"]:
        return self.draw(noise, num_samples).value


class TransformStack(nn.Module):
    """zuko's transforms in order, and the noise of the fixed draws; it starts as the identity."""

    noise: Tensor

    def __init__(self, latent_dim: int, num_draws: int, construct: Callable[[], list[nn.Module]]) -> None:
        super().__init__()
        # torch draws initial weights from its global generator, which is restored; `initialise` draws them again.
        with torch.random.fork_rng(devices=[]):
            self.transforms = nn.ModuleList(construct())
        self.register_buffer("noise", mirrored_noise(num_draws, latent_dim), persistent=False)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Glorot-uniform weights, zero biases, and a last layer of zeros, so that every transform is the identity."""
        for transform in self.transforms:
            # zuko has linear layers of its own; what is not in a layer parameterises a transform of a single latent.
            weights = [parameter for name, parameter in transform.named_parameters() if name.endswith("weight")]
            for parameter in transform.parameters():
                nn.init.zeros_(parameter)
            for weight in weights[:-1]:
                nn.init.xavier_uniform_(weight, generator=generator)

    def forward(self, value: Float[Tensor, "*batch latent"], context: Tensor | None = None) -> Mapped:
        """The value after all transforms, and the log-determinant, in float64."""
        log_determinant = value.new_zeros(value.shape[:-1], dtype=torch.float64)
        with _full_precision(value):
            for transform in self.transforms:
                value, of_one = transform(context).call_and_ladj(value)
                log_determinant = log_determinant + of_one.double()
        return value, log_determinant

    def inverse(self, value: Float[Tensor, "*batch latent"], context: Tensor | None = None) -> Mapped:
        """The value from which `forward` leads to this one, and the log-determinant of the inverse."""
        log_determinant = value.new_zeros(value.shape[:-1], dtype=torch.float64)
        with _full_precision(value):
            for transform in reversed(list(self.transforms)):
                value, of_one = transform(context).inv.call_and_ladj(value)
                log_determinant = log_determinant + of_one.double()
        return value, log_determinant


def _full_precision(value: Tensor) -> AbstractContextManager[Any]:
    # A density is that of the map only if the map and its inverse are computed alike.
    kind = value.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def mirrored_noise(num_draws: int, latent_dim: int) -> Float[Tensor, "draw latent"]:
    """Standard normal quasi-random points and their mirror images, of mean 0 and variance 1 in each dimension.

    The points are a scrambled Sobol sequence (Owen, "Scrambling Sobol' and Niederreiter-Xing Points", 1998).
    """
    engine = torch.quasirandom.SobolEngine(latent_dim, scramble=True, seed=0)
    half = torch.special.ndtri(engine.draw(num_draws // 2, dtype=torch.float64).clamp(1e-9, 1 - 1e-9))
    half = half / half.square().mean(0).sqrt()
    return torch.cat([half, -half]).to(torch.get_default_dtype())

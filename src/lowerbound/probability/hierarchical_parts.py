"""Priors and posteriors of latents in levels: the chain of normals, and inference bottom-up, by a ladder or residual.

A network between levels is a module with two parts: its `body` maps the levels that are given to features, its `heads`
map those to means, then log-variances.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.func import functional_call

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import standard_normal
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.hierarchy import (
    Conditionals,
    HierarchicalNormal,
    Known,
    normal_of_raw,
    precision_weighted,
    residual_to,
)
from lowerbound.probability.posterior import Posterior
from lowerbound.probability.prior import Prior, Temperature


class HierarchicalPrior(Prior):
    """p(z) = p(z_L) Π p(z_l | levels above), with p(z_L) = N(0, I); `networks` are those of all levels but the top.

    With `sees_all_above` a level is given all levels above it, otherwise the next one. The temperature scales the
    standard deviation of every level; `sample` also takes one for each level, from the one nearest x.
    """

    zeros: Tensor

    def __init__(self, sizes: Sequence[int], networks: Sequence[nn.Module], sees_all_above: bool) -> None:
        super().__init__(sum(sizes))
        self.sizes, self.sees_all_above = tuple(sizes), sees_all_above
        self.networks = nn.ModuleList(networks)
        self.register_buffer("zeros", torch.zeros(self.latent_dim), persistent=False)

    @property
    def order(self) -> tuple[int, ...]:
        """Levels in the order of drawing: from the top."""
        return tuple(reversed(range(len(self.sizes))))

    def forward(self) -> HierarchicalNormal:
        return HierarchicalNormal(self.sizes, self.order, self.zeros, lambda zeros: PriorConditionals(self))

    def sample(self, generator: Generator, num: int, temperature: Temperature = 1.0) -> Float[Tensor, "num latent"]:
        # Draw by draw: the first ones are the same however many follow.
        noise = torch.cat([standard_normal(generator, 1, self.zeros) for _ in range(num)])
        return self().moved(noise * self._scale(temperature))

    def _scale(self, temperature: Temperature) -> Float[Tensor, " latent"] | float:
        if not isinstance(temperature, Sequence):
            return temperature
        if len(temperature) != len(self.sizes):
            raise ConfigError(
                f"got {len(temperature)} temperatures for {len(self.sizes)} levels; give one for each level, from the "
                "one nearest x, or one number for all."
            )
        return torch.cat([self.zeros.new_full((n,), t) for n, t in zip(self.sizes, temperature, strict=True)])


def sample_prior(prior: Prior, generator: Generator, num: int, temperature: Temperature) -> Float[Tensor, "num latent"]:
    """Draws from any prior; ConfigError for a temperature for each level where there are none."""
    if not isinstance(temperature, Sequence):
        return prior.sample(generator, num, temperature)
    if not isinstance(prior, HierarchicalPrior):
        raise ConfigError(f"got {len(temperature)} temperatures, and the latents have no levels; give one number.")
    return prior.sample(generator, num, temperature)


@dataclass(frozen=True, eq=False)
class PriorConditionals(Conditionals):
    """The normals of a prior's levels."""

    prior: HierarchicalPrior
    is_detached: bool = False

    def features(self, level: int, known: Known) -> Float[Tensor, "*batch feature"]:
        """What the network of a level computes of the levels above, before its heads."""
        network = self._network(level)
        return call(network.body, self._above(level, known), self.is_detached)

    def normal_of_features(self, level: int, features: Float[Tensor, "*batch feature"]) -> DiagonalNormal:
        """The normal of a level below the top."""
        raw = call(self._network(level).heads, features, self.is_detached)
        return normal_of_raw(raw.to(self.prior.zeros.dtype))

    def normal(self, level: int, known: Known) -> DiagonalNormal:
        """p(z_l | levels above)."""
        if level == len(self.prior.sizes) - 1:
            zeros = self.prior.zeros[: self.prior.sizes[level]]
            return DiagonalNormal(zeros, zeros)
        return self.normal_of_features(level, self.features(level, known))

    def detach(self) -> "PriorConditionals":
        return replace(self, is_detached=True)

    def _network(self, level: int) -> Any:
        return self.prior.networks[level]

    def _above(self, level: int, known: Known) -> Float[Tensor, "*batch above"]:
        if not self.prior.sees_all_above:
            return known[level + 1]
        return torch.cat([known[above] for above in range(level + 1, len(self.prior.sizes))], dim=-1)


class HierarchicalPosterior(Posterior):
    """Base of posteriors over levels; the raw encoder output has the normals of all levels, or of the first.

    It uses the networks of `prior`, which are parts of that, without containing them.
    """

    reads_all_levels: ClassVar[bool] = True
    """Whether the encoder gives a normal for each level; otherwise for the level nearest x."""

    def __init__(self, prior: HierarchicalPrior) -> None:
        super().__init__(prior.latent_dim)
        self.sizes = prior.sizes
        # Not as a submodule: its parameters are the prior's.
        self.__dict__["_prior"] = prior

    @property
    def prior(self) -> HierarchicalPrior:
        """The prior of the same model."""
        prior: HierarchicalPrior = self.__dict__["_prior"]
        return prior

    @property
    def order(self) -> tuple[int, ...]:
        """Levels in the order of drawing."""
        return self.prior.order

    @property
    def read_sizes(self) -> tuple[int, ...]:
        """Sizes of the levels whose normals the encoder gives."""
        return self.sizes if self.reads_all_levels else self.sizes[:1]

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (sum(self.head_sizes),)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        return tuple(size for level in self.read_sizes for size in (level, level))

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> HierarchicalNormal:
        return HierarchicalNormal(self.sizes, self.order, raw, self._conditionals_of_raw)

    def _conditionals_of_raw(self, raw: Float[Tensor, "*batch raw"]) -> Conditionals:
        parts = raw.split([2 * size for size in self.read_sizes], dim=-1)
        return self.conditionals(tuple(normal_of_raw(part) for part in parts))

    @abstractmethod
    def conditionals(self, of_encoder: tuple[DiagonalNormal, ...]) -> Conditionals:
        """The normals of the levels, given those that the encoder reads off x."""


class BottomUpPosterior(HierarchicalPosterior):
    """q(z|x) = q(z_1|x) Π q(z_l | z_{l-1}); `networks` are those of all levels but the first.

    Source: Burda, Grosse and Salakhutdinov, arXiv:1509.00519, Section 2, with several stochastic layers.
    """

    reads_all_levels = False

    def __init__(self, prior: HierarchicalPrior, networks: Sequence[nn.Module]) -> None:
        super().__init__(prior)
        self.networks = nn.ModuleList(networks)

    @property
    def order(self) -> tuple[int, ...]:
        return tuple(range(len(self.sizes)))

    def conditionals(self, of_encoder: tuple[DiagonalNormal, ...]) -> Conditionals:
        return BottomUpConditionals(of_encoder[0], self.networks)


@dataclass(frozen=True, eq=False)
class BottomUpConditionals(Conditionals):
    """q(z_1|x), and the normals of the levels above it."""

    first: DiagonalNormal
    networks: nn.ModuleList
    is_detached: bool = False

    def normal(self, level: int, known: Known) -> DiagonalNormal:
        """q(z_l | z_{l-1})."""
        if level == 0:
            return self.first
        network: Any = self.networks[level - 1]
        features = call(network.body, known[level - 1], self.is_detached)
        return normal_of_raw(call(network.heads, features, self.is_detached).to(self.first.mean.dtype))

    def detach(self) -> "BottomUpConditionals":
        return replace(self, first=_detached(self.first), is_detached=True)


class LadderPosterior(HierarchicalPosterior):
    """Top-down: q(z_l | x, levels above) is the precision-weighted product of the encoder's normal and the prior's.

    Source: Sønderby et al., "Ladder Variational Autoencoders", arXiv:1602.02282, Section 2; without its batch
    normalisation.
    """

    def conditionals(self, of_encoder: tuple[DiagonalNormal, ...]) -> Conditionals:
        return LadderConditionals(of_encoder, PriorConditionals(self.prior))


@dataclass(frozen=True, eq=False)
class LadderConditionals(Conditionals):
    """Products of the encoder's and the prior's normals; at the top the encoder's own."""

    of_encoder: tuple[DiagonalNormal, ...]
    of_prior: PriorConditionals

    def normal(self, level: int, known: Known) -> DiagonalNormal:
        """q(z_l | x, levels above)."""
        if level == len(self.of_encoder) - 1:
            return self.of_encoder[level]
        return precision_weighted(self.of_encoder[level], self.of_prior.normal(level, known))

    def detach(self) -> "LadderConditionals":
        return LadderConditionals(tuple(map(_detached, self.of_encoder)), self.of_prior.detach())


class ResidualPosterior(HierarchicalPosterior):
    """Top-down: the prior's normal of a level, moved and scaled by the encoder and by linear maps of what is above.

    `maps` take the features of the prior's network, one for each level but the top.

    Source: Vahdat and Kautz, "NVAE", arXiv:2007.03898, Section 3.2.
    """

    def __init__(self, prior: HierarchicalPrior, maps: Sequence[nn.Module]) -> None:
        super().__init__(prior)
        self.maps = nn.ModuleList(maps)

    def conditionals(self, of_encoder: tuple[DiagonalNormal, ...]) -> Conditionals:
        return ResidualConditionals(of_encoder, self.maps, PriorConditionals(self.prior))


@dataclass(frozen=True, eq=False)
class ResidualConditionals(Conditionals):
    """The prior's normals, each moved and scaled."""

    of_encoder: tuple[DiagonalNormal, ...]
    maps: nn.ModuleList
    of_prior: PriorConditionals

    def normal(self, level: int, known: Known) -> DiagonalNormal:
        """q(z_l | x, levels above)."""
        difference = self.of_encoder[level]
        if level == len(self.of_encoder) - 1:
            return difference
        features = self.of_prior.features(level, known)
        raw = call(self.maps[level], features, self.of_prior.is_detached).to(difference.mean.dtype)
        mean, log_variance = raw.chunk(2, dim=-1)
        together = torch.cat([difference.mean + mean, difference.log_variance + log_variance], dim=-1)
        return residual_to(self.of_prior.normal_of_features(level, features), normal_of_raw(together))

    def detach(self) -> "ResidualConditionals":
        return ResidualConditionals(tuple(map(_detached, self.of_encoder)), self.maps, self.of_prior.detach())


def call(network: nn.Module, value: Tensor, is_detached: bool) -> Any:
    """The output of a network, with gradients only through its input if it is to be detached."""
    # Matrices of adjacent rows: products of more axes, or of a level's part of z as it lies, take far longer.
    rows = value.reshape(-1, value.shape[-1]).contiguous()
    if is_detached:
        weights = {name: weight.detach() for name, weight in network.named_parameters()}
        out = functional_call(network, weights, (rows,))
    else:
        out = network(rows)
    return out.unflatten(0, value.shape[:-1])


def _detached(normal: DiagonalNormal) -> DiagonalNormal:
    return DiagonalNormal(normal.mean.detach(), normal.log_variance.detach())

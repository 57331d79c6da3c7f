"""HierarchicalNormal: latents in levels, each a diagonal normal given other levels; posteriors and priors of levels.

The latents of all levels are one vector z = (z_1, ..., z_L), from the level nearest x to the top.

    p(z) = p(z_L) Π p(z_l | levels above),   q(z|x) = Π q(z_l | x, levels drawn before)

A density is the sum of those of the levels, and draws are taken level by level.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.probability.distributions import DiagonalNormal, Distribution, FromNoise
from lowerbound.probability.flows import mirrored_noise
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND

NUM_FIXED_DRAWS = 32
"""Draws that give mean and variance, which have no closed form; they are exact where the networks are linear."""

Known = Mapping[int, Float[Tensor, "*batch level"]]
"""Values of the levels that were drawn before, by position: 0 is the level nearest x."""


class Conditionals(ABC):
    """The normals of all levels, each given the levels before it."""

    @abstractmethod
    def normal(self, level: int, known: Known) -> DiagonalNormal:
        """The distribution of one level given those that were drawn before."""

    @abstractmethod
    def detach(self) -> "Conditionals":
        """The same normals with detached parameters; gradients still pass through the levels that are given."""


@dataclass(frozen=True, eq=False)
class HierarchicalNormal(FromNoise):
    """Levels of latents, each a diagonal normal given those before it in `order`; draws are reparameterised.

    `centre` has every level at its mean given the centres of those before it. Mean and variance are those of a fixed
    set of draws. `parameters` are what the normals depend on, one row for each distribution of a batch.
    """

    sizes: tuple[int, ...]
    order: tuple[int, ...]  # of drawing: from the top, or from the level nearest x
    parameters: Float[Tensor, "*batch parameter"]
    conditionals_of: Callable[[Float[Tensor, "*batch parameter"]], Conditionals]
    is_detached: bool = False
    event_ndim: int = 1

    @cached_property
    def conditionals(self) -> Conditionals:
        """The normals of the levels, at these parameters."""
        conditionals = self.conditionals_of(self.parameters)
        return conditionals.detach() if self.is_detached else conditionals

    @property
    def like(self) -> Float[Tensor, "*batch latent"]:
        """A tensor of the shape, type and device of one draw."""
        return self.parameters.detach()[..., :1].expand(*self.parameters.shape[:-1], sum(self.sizes))

    @property
    def noise_like(self) -> Float[Tensor, "*batch latent"]:
        return self.like

    @property
    def is_top_down(self) -> bool:
        """Whether levels are drawn from the top, as in the prior: the KL then is a mean of those of the levels."""
        return self.order == tuple(reversed(range(len(self.sizes))))

    def moved(self, noise: Float[Tensor, "sample *batch latent"]) -> Float[Tensor, "sample *batch latent"]:
        parts = noise.split(self.sizes, dim=-1)
        known: dict[int, Tensor] = {}
        for level in self.order:
            known[level] = self.conditionals.normal(level, known).moved(parts[level])
        return torch.cat([known[level] for level in range(len(self.sizes))], dim=-1)

    def completed(self, z: Float[Tensor, "*value_shape"], level: int) -> Float[Tensor, "*value_shape"]:
        """z with the levels nearer x than `level`, a position from 0, at their means given the levels above them.

        It shows what the upper levels stand for: with the lower ones held, a decoder that sees only these would not
        notice. For levels that are drawn from the top.
        """
        parts, known = z.split(self.sizes, dim=-1), dict[int, Tensor]()
        for position in self.order:
            known[position] = parts[position] if position >= level else self.conditionals.normal(position, known).mean
        return torch.cat([known[position] for position in range(len(self.sizes))], dim=-1)

    def levels_at(self, z: Float[Tensor, "*value_shape"]) -> list[DiagonalNormal]:
        """The normal of each level, from the one nearest x, given the values of the levels before it."""
        parts = z.split(self.sizes, dim=-1)
        normals: dict[int, DiagonalNormal] = {}
        known: dict[int, Tensor] = {}
        for level in self.order:
            normals[level] = self.conditionals.normal(level, known)
            known[level] = parts[level]
        return [normals[level] for level in range(len(self.sizes))]

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        parts = value.split(self.sizes, dim=-1)
        return sum_of([normal.log_prob(part) for normal, part in zip(self.levels_at(value), parts, strict=True)])

    @cached_property
    def _moments(self) -> tuple[Float[Tensor, "*batch latent"], Float[Tensor, "*batch latent"]]:
        noise = _fixed_noise(sum(self.sizes)).to(self.like)
        shape = len(noise), *[1] * (self.like.ndim - 1), -1
        draws = self.moved(noise.reshape(shape).expand(-1, *self.like.shape)).double()
        return draws.mean(0).to(self.like), draws.var(0, correction=0).to(self.like)

    @property
    def mean(self) -> Float[Tensor, "*batch latent"]:
        return self._moments[0]

    @property
    def variance(self) -> Float[Tensor, "*batch latent"]:
        return self._moments[1]

    @property
    def centre(self) -> Float[Tensor, "*batch latent"]:
        return self.moved(torch.zeros_like(self.like).unsqueeze(0))[0]

    @property
    def mode(self) -> Float[Tensor, "*batch latent"]:
        """The centre: the value of highest density in every level, given those before it."""
        return self.centre

    def detach(self) -> "HierarchicalNormal":
        return replace(self, parameters=self.parameters.detach(), is_detached=True)


@cache
def _fixed_noise(latent_dim: int) -> Float[Tensor, "draw latent"]:
    return mirrored_noise(NUM_FIXED_DRAWS, latent_dim)


def sum_of(parts: Sequence[Float[Tensor, "*#batch"]]) -> Float[Tensor, "*batch"]:
    """The sum of tensors whose shapes are broadcast."""
    return torch.stack(torch.broadcast_tensors(*parts)).sum(0)


def has_kl_by_level(posterior: Distribution, prior: Distribution) -> bool:
    """Whether KL(q(z|x) || p(z)) is the mean over draws of closed forms, one for each level given those above it.

    If q is drawn from the level nearest x instead, a level's prior depends on levels that are drawn after it.
    """
    if not (isinstance(posterior, HierarchicalNormal) and isinstance(prior, HierarchicalNormal)):
        return False
    return posterior.sizes == prior.sizes and posterior.is_top_down and prior.is_top_down


def normal_of_raw(raw: Float[Tensor, "*batch raw"]) -> DiagonalNormal:
    """The normal with these means, then log-variances."""
    mean, log_variance = raw.chunk(2, dim=-1)
    return DiagonalNormal(mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))


def precision_weighted(first: DiagonalNormal, second: DiagonalNormal) -> DiagonalNormal:
    """The normalised product of two normals: precisions add up, and weight the means.

    Source: Sønderby et al., "Ladder Variational Autoencoders", arXiv:1602.02282, Section 2.
    """
    log_precision = torch.logaddexp(-first.log_variance, -second.log_variance)
    share = torch.sigmoid(second.log_variance - first.log_variance)  # of the first normal in the precision
    return DiagonalNormal(torch.lerp(second.mean, first.mean, share), -log_precision)


def residual_to(prior: DiagonalNormal, difference: DiagonalNormal) -> DiagonalNormal:
    """The normal with mean μ + Δμ and variance σ² Δσ², where μ and σ² are the prior's.

    KL(q || p) = ½ Σ (Δμ²/σ² + Δσ² − log Δσ² − 1).

    Source: Vahdat and Kautz, "NVAE", arXiv:2007.03898, Section 3.2 and Equation 2.
    """
    return DiagonalNormal(prior.mean + difference.mean, prior.log_variance + difference.log_variance)

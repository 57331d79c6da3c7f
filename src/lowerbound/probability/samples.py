"""PosteriorSamples: draws z ~ q(z|x) with log p(x|z), log q(z|x), log p(z) and KL, for bounds and rates.

A model has one group of latents or, if it is hierarchical, one for each level: z = (z_1, ..., z_L). Log-densities are
functions of the whole z, and their sums over levels; the rate is the sum of the levels'.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from lowerbound.probability.distributions import Distribution, Draws
from lowerbound.probability.hierarchy import HierarchicalNormal, has_kl_by_level, sum_of
from lowerbound.probability.kl import has_closed_form_kl, kl_divergence


@dataclass(frozen=True, eq=False)
class LatentGroup:
    """Draws of one group of latents, with its posterior and prior; log-densities in nats.

    Densities are evaluated when first accessed: the analytic KL needs neither, and a point mass has none. The
    posterior's is that of the draws if they have one.
    """

    draws: Draws
    posterior: Distribution  # of batch shape [batch], or [sample, batch] if it depends on earlier draws
    prior: Distribution  # of batch shape [], or like the posterior
    is_of_prior: bool = True  # whether the prior depends only on what was drawn before: the mean of log q/p is a KL

    @property
    def z(self) -> Float[Tensor, "sample batch latent"]:
        """The drawn latents."""
        return self.draws.value

    @cached_property
    def log_prior(self) -> Float[Tensor, "sample batch"]:
        """log p(z)."""
        if len(self.levels) > 1:  # which the rate uses as well
            return sum_of([level.log_prior for level in self.levels])
        return self.prior.log_prob(self.z)

    @cached_property
    def log_posterior(self) -> Float[Tensor, "sample batch"]:
        """log q(z|x)."""
        if len(self.levels) > 1:
            return sum_of([level.log_posterior for level in self.levels])
        known = self.draws.log_density
        return self.posterior.log_prob(self.z) if known is None else known

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether the rate has a closed form, of every level given the draws of those above it if there are several."""
        posterior, prior = self.posterior, self.prior
        return has_kl_by_level(posterior, prior) or (self.is_of_prior and has_closed_form_kl(posterior, prior))

    @cached_property
    def kl(self) -> Float[Tensor, "*sample batch"]:
        """KL(q(z|x) || p(z)) in closed form, of levels given the draws above; ConfigError if there is none."""
        if has_kl_by_level(self.posterior, self.prior):
            return sum_of([level.kl for level in self.levels])
        return kl_divergence(self.posterior, self.prior)

    @property
    def rate(self) -> Float[Tensor, "*sample batch"]:
        """KL(q || p) in closed form if there is one, else log q - log p at each draw; of levels, the sum of theirs."""
        if self.has_closed_form_kl:
            return self.kl
        if len(self.levels) > 1:
            return sum_of([level.rate for level in self.levels])
        return self.log_posterior - self.log_prior

    @cached_property
    def levels(self) -> "tuple[LatentGroup, ...]":
        """The groups of a hierarchical model, from the level nearest x; the group itself for any other."""
        posterior, prior = self.posterior, self.prior
        if not (isinstance(posterior, HierarchicalNormal) and isinstance(prior, HierarchicalNormal)):
            return (self,)
        parts = self.z.split(posterior.sizes, dim=-1)
        normals = zip(parts, posterior.levels_at(self.z), prior.levels_at(self.z), strict=True)
        top, is_closed = len(parts) - 1, has_kl_by_level(posterior, prior)
        return tuple(LatentGroup(Draws(z), q, p, is_closed or level == top) for level, (z, q, p) in enumerate(normals))


@dataclass(frozen=True, eq=False)
class PosteriorSamples:
    """Draws z ~ q(z|x), with their log-densities in nats."""

    log_likelihood: Float[Tensor, "sample batch"]  # log p(x|z)
    joint: LatentGroup  # all latents

    @classmethod
    def of_one_group(
        cls,
        draws: Draws | Float[Tensor, "sample batch latent"],
        log_likelihood: Float[Tensor, "sample batch"],
        posterior: Distribution,
        prior: Distribution,
    ) -> "PosteriorSamples":
        """Draws of all latents, from one posterior: of a single group, or of all levels together."""
        return cls(log_likelihood, LatentGroup(_as_draws(draws), posterior, prior))

    @property
    def groups(self) -> tuple[LatentGroup, ...]:
        """The groups of latents, one for each level from the one nearest x, given the draws of the others."""
        return self.joint.levels

    @property
    def has_levels(self) -> bool:
        """Whether there are several levels of latents."""
        return isinstance(self.joint.posterior, HierarchicalNormal)

    @property
    def z(self) -> Float[Tensor, "sample batch latent"]:
        """The draws, all levels in one vector."""
        return self.joint.z

    @property
    def log_prior(self) -> Float[Tensor, "sample batch"]:
        """log p(z)."""
        return self.joint.log_prior

    @property
    def log_posterior(self) -> Float[Tensor, "sample batch"]:
        """log q(z|x)."""
        return self.joint.log_posterior

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether the rate has a closed form, given the draws if there are several levels."""
        return self.joint.has_closed_form_kl

    @property
    def kl(self) -> Float[Tensor, "*sample batch"]:
        """KL(q(z|x) || p(z)) in closed form, summed over levels given the draws; ConfigError if there is none."""
        return self.joint.kl

    @property
    def rate(self) -> Float[Tensor, "sample batch"]:
        """The rate in closed form if there is one, else log q - log p at each draw."""
        return self.joint.rate.expand_as(self.log_likelihood)

    @property
    def rates(self) -> tuple[Float[Tensor, "sample batch"], ...]:
        """log q - log p of each group at each draw, or its closed form; their sum over groups is that of z."""
        return tuple(group.rate.expand_as(self.log_likelihood) for group in self.groups)

    @property
    def log_weight(self) -> Float[Tensor, "sample batch"]:
        """log p(x, z) - log q(z|x)."""
        return self.log_likelihood + self.log_prior - self.log_posterior

    def with_fixed_posterior(self) -> "PosteriorSamples":
        """The same draws, with log q(z|x) depending only on z: the posterior's parameters are detached."""
        joint = LatentGroup(Draws(self.z), self.joint.posterior.detach(), self.joint.prior)
        return replace(self, joint=joint)


def _as_draws(draws: Draws | Float[Tensor, "sample batch latent"]) -> Draws:
    return draws if isinstance(draws, Draws) else Draws(draws)

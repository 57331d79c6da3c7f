"""PosteriorSamples: draws z ~ q(z|x) with log p(x|z), log q(z|x), log p(z) and KL, for bounds and rates.

A model has one group of latents or, if it is hierarchical, several: z = (z_1, ..., z_L), drawn in this order.
Log-densities and rates are sums over groups; a later group's posterior and prior may depend on the draws before it.
"""

from dataclasses import dataclass, replace
from functools import cached_property, reduce

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.probability.distributions import Distribution, Draws
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

    @property
    def z(self) -> Float[Tensor, "sample batch latent"]:
        """The drawn latents."""
        return self.draws.value

    @cached_property
    def log_prior(self) -> Float[Tensor, "sample batch"]:
        """log p(z)."""
        return self.prior.log_prob(self.z)

    @cached_property
    def log_posterior(self) -> Float[Tensor, "sample batch"]:
        """log q(z|x)."""
        known = self.draws.log_density
        return self.posterior.log_prob(self.z) if known is None else known

    @cached_property
    def kl(self) -> Float[Tensor, "*sample batch"]:
        """KL(q(z|x) || p(z)) in closed form; ConfigError if there is none."""
        return kl_divergence(self.posterior, self.prior)


@dataclass(frozen=True, eq=False)
class PosteriorSamples:
    """Draws z ~ q(z|x) of all groups of latents, with their log-densities in nats."""

    log_likelihood: Float[Tensor, "sample batch"]  # log p(x|z)
    groups: tuple[LatentGroup, ...]

    @classmethod
    def of_one_group(
        cls,
        draws: Draws | Float[Tensor, "sample batch latent"],
        log_likelihood: Float[Tensor, "sample batch"],
        posterior: Distribution,
        prior: Distribution,
    ) -> "PosteriorSamples":
        """Draws of a model with a single group of latents."""
        return cls(log_likelihood, (LatentGroup(_as_draws(draws), posterior, prior),))

    @property
    def z(self) -> Float[Tensor, "sample batch latent"]:
        """The draws of the only group of latents."""
        (group,) = self.groups
        return group.z

    @cached_property
    def log_prior(self) -> Float[Tensor, "sample batch"]:
        """log p(z), summed over groups."""
        return reduce(torch.add, (group.log_prior for group in self.groups))

    @cached_property
    def log_posterior(self) -> Float[Tensor, "sample batch"]:
        """log q(z|x), summed over groups."""
        return reduce(torch.add, (group.log_posterior for group in self.groups))

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether the KL of every group has a closed form."""
        return all(has_closed_form_kl(group.posterior, group.prior) for group in self.groups)

    @cached_property
    def kl(self) -> Float[Tensor, "*sample batch"]:
        """KL(q(z|x) || p(z)) in closed form, summed over groups; ConfigError if any has none."""
        return reduce(torch.add, (group.kl for group in self.groups))

    @property
    def log_weight(self) -> Float[Tensor, "sample batch"]:
        """log p(x, z) - log q(z|x)."""
        return self.log_likelihood + self.log_prior - self.log_posterior

    def with_fixed_posterior(self) -> "PosteriorSamples":
        """The same draws, with log q(z|x) depending only on z: the posterior's parameters are detached."""
        groups = (LatentGroup(Draws(group.z), group.posterior.detach(), group.prior) for group in self.groups)
        return replace(self, groups=tuple(groups))


def _as_draws(draws: Draws | Float[Tensor, "sample batch latent"]) -> Draws:
    return draws if isinstance(draws, Draws) else Draws(draws)

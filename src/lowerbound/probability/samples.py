"""Draws from the posterior with what bounds and rates need to know of them."""

from dataclasses import dataclass, replace
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.seeding import Chance, ContentNoise
from lowerbound.probability.distributions import Distribution, kl_divergence


def draw(posterior: Distribution, chance: Chance, num_samples: int) -> Float[Tensor, "sample batch latent"]:
    """Draws z ~ q(z|x), from one stream for the whole batch or from one for each example."""
    if isinstance(chance, ContentNoise):
        return posterior.sample_by_content(chance, num_samples)
    return posterior.sample(chance, num_samples)


@dataclass(frozen=True, eq=False)
class PosteriorSamples:
    """Draws z ~ q(z|x) and their log densities, in nats.

    The prior's and the posterior's densities are evaluated when they are asked for: the analytic KL needs neither,
    and a point mass has none.
    """

    z: Float[Tensor, "sample batch latent"]
    log_likelihood: Float[Tensor, "sample batch"]  # log p(x|z)
    posterior: Distribution
    prior: Distribution

    @cached_property
    def log_prior(self) -> Float[Tensor, "sample batch"]:
        """log p(z)."""
        return self.prior.log_prob(self.z)

    @cached_property
    def log_posterior(self) -> Float[Tensor, "sample batch"]:
        """log q(z|x)."""
        return self.posterior.log_prob(self.z)

    @cached_property
    def kl(self) -> Float[Tensor, " batch"]:
        """KL(q(z|x) || p(z)) in closed form; ConfigError where there is none."""
        return kl_divergence(self.posterior, self.prior)

    @property
    def log_weight(self) -> Float[Tensor, "sample batch"]:
        """log p(x, z) - log q(z|x)."""
        return self.log_likelihood + self.log_prior - self.log_posterior

    def with_fixed_posterior(self) -> "PosteriorSamples":
        """The same draws, where log q(z|x) depends on z alone and not on the posterior's parameters."""
        return replace(self, posterior=self.posterior.detach())

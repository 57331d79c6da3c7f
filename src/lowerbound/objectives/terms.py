"""estimate_terms: ELBO, rate and distortion of each example, by draws from the posterior.

    ELBO = -(distortion + rate),   distortion = -E_q[log p(x|z)],   rate = KL(q(z|x) || p(z))

Evaluation, anomaly scores, explorer, service and estimator all use this one estimate.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.seeding import Chance
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution, Draws
from lowerbound.probability.samples import PosteriorSamples

Decode = Callable[[Float[Tensor, "batch latent"]], Distribution]


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of each example at each draw from its posterior, in nats."""

    log_likelihood: Float[Tensor, "draw batch"]  # log p(x|z)
    rate_of_draw: Float[Tensor, "draw batch"]  # the same for all draws if it has a closed form; 0 for a point mass
    rate_of_levels: Float[Tensor, "level draw batch"]  # of each level, whose sum is the rate; no level if there is one

    @property
    def distortion(self) -> Float[Tensor, " batch"]:
        """-E_q[log p(x|z)], the mean over draws."""
        return -self.log_likelihood.mean(0)

    @property
    def rate(self) -> Float[Tensor, " batch"]:
        """KL(q(z|x) || p(z)): in closed form if there is one, else the mean over draws."""
        return self.rate_of_draw.mean(0)

    @property
    def rates_by_level(self) -> Float[Tensor, "batch level"]:
        """The rate of each level: KL(q(z_l) || p(z_l)) given the levels above if inference is top-down."""
        return self.rate_of_levels.mean(1).T

    @property
    def elbo(self) -> Float[Tensor, " batch"]:
        """Evidence lower bound; minus the reconstruction error for a deterministic autoencoder."""
        return -(self.distortion + self.rate)

    @property
    def elbo_standard_error(self) -> Float[Tensor, " batch"]:
        """Standard error of the mean over draws; NaN for a single draw."""
        return (self.log_likelihood - self.rate_of_draw).std(0, correction=1) / len(self.log_likelihood) ** 0.5


def estimate_terms(
    model: VAE, x: Float[Tensor, "batch *event"], chance: Chance, num_draws: int, posterior: Distribution | None = None
) -> Terms:
    """Terms from `num_draws` draws z ~ q(z|x); pass `posterior` if q(z|x) is already computed."""
    posterior = model.encode(x) if posterior is None else posterior
    return terms_of_draws(model, x, posterior.draw(chance, num_draws), posterior, model.decode)


@torch.no_grad()
def terms_of_draws(
    model: VAE,
    x: Float[Tensor, "batch *event"],
    draws: Iterable[Draws],
    posterior: Distribution,
    decode: Decode,
) -> Terms:
    """Terms at given draws, which are decoded one at a time, so that memory does not grow with their number."""
    log_likelihoods, rates, of_levels = [], [], []
    prior: Distribution = model.prior()
    for one in draws:
        log_likelihood = decode(one.value).log_prob(x)
        log_likelihoods.append(log_likelihood)
        samples = PosteriorSamples.of_one_group(one[None], log_likelihood[None], posterior, prior)
        rates.append(torch.zeros_like(log_likelihood) if model.is_deterministic else samples.rate[0])
        levels = [rate[0] for rate in samples.rates] if samples.has_levels else []
        of_levels.append(torch.stack(levels) if levels else log_likelihood.new_zeros(0, *log_likelihood.shape))
    return Terms(torch.stack(log_likelihoods), torch.stack(rates), torch.stack(of_levels, dim=1))

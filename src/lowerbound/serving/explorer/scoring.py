"""estimate_bound: the ELBO of one example with its rate, per latent where possible, and its distortion."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.numerics import mean_and_standard_error
from lowerbound.foundation.seeding import Chance, ContentNoise, content_noise
from lowerbound.models.vae import VAE
from lowerbound.objectives.rates import monte_carlo
from lowerbound.probability.kl import elementwise_kl, has_elementwise_kl
from lowerbound.probability.samples import PosteriorSamples

NUM_DRAWS = 64
DRAWS_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Estimates for one example, in nats; None for what is undefined for the model or the data."""

    elbo: float | None = None
    elbo_standard_error: float | None = None  # over draws
    rate: float | None = None
    rate_per_dimension: list[float] | None = None
    distortion: float | None = None
    reconstruction_error: float | None = None  # of a deterministic autoencoder, which has no other number
    num_draws: int = 0
    unit: str = "nats"

    def as_json(self) -> dict[str, Any]:
        """The numbers by name; None for NaN and infinity, which JSON lacks."""
        return {name: finite(value) for name, value in vars(self).items()}


def noise_for(x: Float[Tensor, "n *event"]) -> ContentNoise:
    """The noise of `lowerbound evaluate`, keyed by content: an image has the same bound as a point and as an upload."""
    return content_noise(x, 0, "evaluation")


@torch.inference_mode()
def estimate_bound(model: VAE, x: Float[Tensor, "1 *event"], chance: Chance) -> Bound:
    """The ELBO of one example: the mean over draws, with the rate in closed form if there is one."""
    if model.is_deterministic:
        error = -model.decode(model.encode(x).mean).log_prob(x)
        return Bound(reconstruction_error=float(error))
    draws = [model.sample_posterior(x, chance, DRAWS_AT_ONCE) for _ in range(NUM_DRAWS // DRAWS_AT_ONCE)]
    log_likelihood = torch.cat([samples.log_likelihood[:, 0] for samples in draws]).double()
    rates, by_latent = _rates(draws)
    elbo = mean_and_standard_error(log_likelihood - rates)
    return Bound(
        elbo=elbo.value,
        elbo_standard_error=elbo.standard_error,
        rate=float(rates.mean()),
        rate_per_dimension=by_latent,
        distortion=-float(log_likelihood.mean()),
        num_draws=NUM_DRAWS,
    )


def _rates(draws: list[PosteriorSamples]) -> tuple[Float[Tensor, " draw"], list[float] | None]:
    """The rate at each draw, and per latent; in closed form it is the same at all draws."""
    (group, *_) = draws[0].groups
    posterior, prior = group.posterior, group.prior
    if not has_elementwise_kl(posterior, prior):
        return torch.cat([monte_carlo(samples)[:, 0] for samples in draws]).double(), None
    by_latent = elementwise_kl(posterior, prior)[0].double()
    return by_latent.sum().expand(NUM_DRAWS), by_latent.tolist()


def finite(value: Any) -> Any:
    """A number or a list of numbers, with None for NaN and infinity."""
    if isinstance(value, list):
        return [finite(number) for number in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

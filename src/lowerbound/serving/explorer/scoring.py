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
from lowerbound.objectives.terms import terms_of_draws
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.kl import elementwise_kl, has_elementwise_kl

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
    """The noise of `lowerbound evaluate`, seeded from the values: a point and its uploaded image have one bound."""
    return content_noise(x, 0, "evaluation")


@torch.inference_mode()
def estimate_bound(model: VAE, x: Float[Tensor, "1 *event"], chance: Chance) -> Bound:
    """The ELBO of one example: the mean over draws, with the rate in closed form if there is one."""
    posterior = model.encode(x)
    if model.is_deterministic:
        return Bound(reconstruction_error=-float(model.decode(posterior.mean).log_prob(x)))
    # Draws as a batch, because decoding them one by one takes up to ten times as long.
    of_one = posterior.draw(chance, NUM_DRAWS)[:, 0]
    draws = [of_one[start : start + DRAWS_AT_ONCE] for start in range(0, NUM_DRAWS, DRAWS_AT_ONCE)]
    terms = terms_of_draws(model, x.expand(DRAWS_AT_ONCE, *x.shape[1:]), draws, posterior, model.decode)
    log_likelihood, rate = terms.log_likelihood.flatten().double(), terms.rate_of_draw.flatten().double()
    elbo = mean_and_standard_error(log_likelihood - rate)
    return Bound(
        elbo=elbo.value,
        elbo_standard_error=elbo.standard_error,
        rate=float(rate.mean()),
        rate_per_dimension=_rate_per_dimension(posterior, model.prior()),
        distortion=-float(log_likelihood.mean()),
        num_draws=NUM_DRAWS,
    )


def _rate_per_dimension(posterior: Distribution, prior: Distribution) -> list[float] | None:
    """The rate of each latent; None if the KL is not a sum over latents."""
    if not has_elementwise_kl(posterior, prior):
        return None
    by_latent: list[float] = elementwise_kl(posterior, prior)[0].double().tolist()
    return by_latent


def finite(value: Any) -> Any:
    """A number or a list of numbers, with None for NaN and infinity."""
    if isinstance(value, list):
        return [finite(number) for number in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

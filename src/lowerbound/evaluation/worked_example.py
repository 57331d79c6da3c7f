"""work_example(): one example on its way through a model, with every tensor and density that an introduction shows.

x -> encoder -> mu, sigma -> z = mu + sigma * epsilon -> decoder -> p(x|z)
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.batches import scaled
from lowerbound.data.examples import Examples
from lowerbound.evaluation.bound_terms import BoundTerms, bound_terms, kl_by_draws
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.local_posteriors import LOCAL_FAMILIES
from lowerbound.evaluation.true_posteriors import true_posteriors
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import content_noise
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import DiagonalNormal, Distribution, Draws
from lowerbound.probability.kl import elementwise_kl, has_elementwise_kl
from lowerbound.probability.samples import PosteriorSamples

NUM_SHOWN = 6  # draws
CHECKING_DRAWS = 2000


@dataclass(frozen=True, eq=False)
class DrawnCodes:
    """Draws z ~ q(z|x) of one example, decoded, with their log-densities in nats."""

    z: Float[np.ndarray, "draw latent"]
    epsilon: Float[np.ndarray, "draw latent"] | None  # the noise of a diagonal normal; None for other posteriors
    decoded: Float[np.ndarray, "draw *event"]  # means of p(x|z), or the most probable codes of categories
    log_likelihood: Float[np.ndarray, " draw"]  # log p(x|z)
    log_prior: Float[np.ndarray, " draw"]  # log p(z)
    log_posterior: Float[np.ndarray, " draw"]  # log q(z|x)


@dataclass(frozen=True)
class GaussianFit:
    """log p(x|z) = -C ||x - x'||^2 - normaliser, of a Gaussian with one sigma, at the posterior's centre."""

    c: float  # 1 / (2 sigma^2)
    squared_error: float
    normaliser: float  # D/2 log(2 pi sigma^2), nats


@dataclass(frozen=True, eq=False)
class WorkedExample:
    """One example, its posterior and what follows from it; without draws and terms for a plain autoencoder."""

    x: Float[np.ndarray, " *event"]  # on the model's scale
    centre: Float[np.ndarray, " latent"]
    decoded: Float[np.ndarray, " *event"]  # at the centre
    standard_deviation: Float[np.ndarray, " latent"] | None  # of a diagonal normal
    rate_per_latent: Float[np.ndarray, " latent"] | None  # if the KL is a sum over latents
    draws: DrawnCodes | None
    at_centre: DrawnCodes | None  # the densities at the posterior's centre
    terms: BoundTerms | None
    kl_by_draws: tuple[float, float] | None  # KL(q(z|x) || p(z|x)) and its standard error
    true_posterior: dict[str, np.ndarray]  # arrays of that figure; empty unless there are two real latents
    gaussian: GaussianFit | None  # of a Gaussian likelihood with one sigma for all elements


@torch.no_grad()
def work_example(model: VAE, example: Examples, num_draws: int = 1000, seed: int = 0) -> WorkedExample:
    """Everything about a single example; ConfigError for several, and for a conditional model."""
    if len(example) != 1:
        raise ConfigError(f"one example is worked at a time, got {len(example)}.")
    if model.takes_context:
        raise ConfigError("the model is conditional; a worked example needs a model without a context.")
    model.eval()
    weight = next(model.parameters())
    x = scaled(example).to(weight.device, weight.dtype)
    posterior = model.encode(x)
    centre = posterior.centre
    terms = None if model.is_deterministic else bound_terms(model, example, num_draws, seed, x.device)
    prior: Distribution = model.prior()
    has_sum = terms is not None and has_elementwise_kl(posterior, prior)
    return WorkedExample(
        x=_array(x[0]),
        centre=_array(centre[0]),
        decoded=_array(best_guess(model, model.decode(centre))[0]),
        standard_deviation=_deviation(posterior),
        rate_per_latent=_array(elementwise_kl(posterior, prior)[0]) if has_sum else None,
        draws=None if terms is None else _drawn(model, x, posterior, seed),
        at_centre=None if terms is None else _at(model, x, posterior, centre.unsqueeze(0)),
        terms=terms,
        kl_by_draws=None if terms is None else kl_by_draws(model, x, terms.log_evidence[0], CHECKING_DRAWS, seed),
        true_posterior=_true_posterior(model, x, terms),
        gaussian=_gaussian_fit(model, x, centre),
    )


def _deviation(posterior: Distribution) -> Float[np.ndarray, " latent"] | None:
    if not isinstance(posterior, DiagonalNormal):
        return None
    return _array(posterior.standard_deviation.expand_as(posterior.mean)[0])


def _drawn(model: VAE, x: Float[Tensor, "1 *event"], posterior: Distribution, seed: int) -> DrawnCodes:
    draws = posterior.draw(content_noise(x, seed, "worked example"), NUM_SHOWN)
    return _at(model, x, posterior, draws)


def _at(model: VAE, x: Float[Tensor, "1 *event"], posterior: Distribution, draws: Draws | Tensor) -> DrawnCodes:
    z = draws.value if isinstance(draws, Draws) else draws
    likelihood = model.decode(z)
    samples = PosteriorSamples.of_one_group(draws, likelihood.log_prob(x), posterior, model.prior())
    noise = (z - posterior.mean) / posterior.standard_deviation if isinstance(posterior, DiagonalNormal) else None
    return DrawnCodes(
        z=_array(z[:, 0]),
        epsilon=None if noise is None else _array(noise[:, 0]),
        decoded=_array(best_guess(model, likelihood)[:, 0]),
        log_likelihood=_array(samples.log_likelihood[:, 0]),
        log_prior=_array(samples.log_prior[:, 0]),
        log_posterior=_array(samples.log_posterior[:, 0]),
    )


def _true_posterior(model: VAE, x: Float[Tensor, "1 *event"], terms: BoundTerms | None) -> dict[str, np.ndarray]:
    if terms is None or model.latent_dim != 2 or type(model.posterior_of_zeros()) not in LOCAL_FAMILIES:
        return {}
    return true_posteriors(model, x, gap=torch.from_numpy(terms.kl_to_posterior))


def _gaussian_fit(model: VAE, x: Float[Tensor, "1 *event"], z: Float[Tensor, "1 latent"]) -> GaussianFit | None:
    likelihood = model.decode(z)
    if not isinstance(likelihood, DiagonalNormal) or likelihood.log_variance.ndim:
        return None
    log_variance = float(likelihood.log_variance)
    squared = float((likelihood.mean - x).double().square().sum())
    return GaussianFit(0.5 * math.exp(-log_variance), squared, 0.5 * x.numel() * (math.log(2 * math.pi) + log_variance))


def _array(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.detach().double().cpu().numpy()
    return found

"""Importance-weighted bounds on log p(x), effective sample size and Pareto-k of the weights.

With z_k ~ q(z|x) the weight w_k = p(x, z_k) / q(z_k|x) is unbiased, E[w] = p(x). The log of a mean of K weights is too
low on average, and the gap shrinks as K grows:

    ELBO = E[L_1] <= E[L_2] <= ... <= log p(x),   L_K = log (1/K) Σ_k w_k

Source: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", arXiv:1509.00519, Theorem 1.

A bound from finitely many draws misses regions where q has little mass. The shape k of a generalised Pareto tail fitted
to the weights indicates them: above 0.5 the variance of the weights is infinite, above 0.7 more draws hardly help.

Source: Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto Smoothed Importance Sampling", arXiv:1507.02646.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.batches import Batches
from lowerbound.data.sources import Examples
from lowerbound.evaluation.over_ranks import over_ranks
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.numerics import log_mean_exp
from lowerbound.foundation.seeding import Chance, content_noise
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Draws
from lowerbound.probability.samples import PosteriorSamples

BATCH_SIZE = 50
CHUNK = 20
"""Draws for each image of a batch decoded at once: with BATCH_SIZE a thousand decoded images in memory."""

EQUAL_WEIGHTS = 1e-10
"""Nats within which the tail's log-weights count as equal: smaller differences are rounding errors."""

MIN_TAIL = 5
"""Minimum number of weights for fitting a Pareto tail."""


@dataclass(frozen=True, eq=False)
class ImportanceSweep:
    """Importance-weighted bounds for growing K from one set of draws per image, with reliability of the weights."""

    ks: tuple[int, ...]  # draws per bound
    bounds: Float[Tensor, "k batch"]  # nats: unbiased for E[L_K]
    log_evidence: Float[Tensor, " batch"]  # nats: L_K with all draws, a lower bound in expectation
    effective_sample_size: Float[Tensor, " batch"]  # with all draws
    pareto_k: Float[Tensor, " batch"]  # above 0.7 the bound is unreliable; NaN below 21 draws


def importance_sweep(
    model: VAE,
    examples: Examples,
    ks: Sequence[int],
    seed: int,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportanceSweep:
    """The bounds L_K of every example, for each K, from as many draws as the largest K.

    `progress` receives the number of completed and of all examples. ConfigError as from `log_weights` and
    `bound_sweep`.
    """
    bounds, *others = over_ranks(examples, lambda some: _sweep(model, some, ks, seed, device, progress))
    return ImportanceSweep(tuple(ks), bounds.T.contiguous(), *others)


def _sweep(
    model: VAE,
    examples: Examples,
    ks: Sequence[int],
    seed: int,
    device: torch.device | str,
    progress: Callable[[int, int], None],
) -> tuple[Tensor, ...]:
    num_samples = max(ks, default=0)
    parts = []
    for batch in Batches(examples, BATCH_SIZE, device):
        x, conditioned = batch.x, model.given(batch.context)
        log_weight = log_weights(conditioned, x, num_samples, content_noise(x, seed, "importance"), CHUNK)
        diagnosis = log_mean_exp(log_weight, dim=0), effective_sample_size(log_weight), pareto_k(log_weight)
        parts.append((bound_sweep(log_weight, ks).T, *diagnosis))
        progress(min(len(parts) * BATCH_SIZE, len(examples)), len(examples))
    return tuple(torch.cat(pieces).cpu() for pieces in zip(*parts, strict=True))


@torch.no_grad()
def log_weights(
    model: VAE, x: Float[Tensor, "batch *event"], num_samples: int, chance: Chance, chunk: int
) -> Float[Tensor, "sample batch"]:
    """log w = log p(x, z) - log q(z|x) of draws z ~ q(z|x), in nats and float64; `chunk` draws are decoded at once.

    The draws do not depend on `chunk`. ConfigError for a deterministic autoencoder, and for less than one draw.
    """
    if model.is_deterministic:
        raise ConfigError(
            "a point-mass posterior has no log q(z|x), so there are no importance weights and no evidence."
        )
    if num_samples < 1 or chunk < 1:
        raise ConfigError(f"importance weights need at least 1 draw and a chunk of 1, got {num_samples} and {chunk}.")
    posterior, prior = model.encode(x), model.prior()
    parts = []
    for start in range(0, num_samples, chunk):
        # One draw per call: in one call for several draws, the noise of each would depend on their number.
        number = min(start + chunk, num_samples) - start
        draws = Draws.joined([posterior.draw(chance, 1) for _ in range(number)])
        samples = PosteriorSamples.of_one_group(draws, model.decode(draws.value).log_prob(x), posterior, prior)
        parts.append(samples.log_weight.double())
    return torch.cat(parts)


def bound_sweep(log_weights: Float[Tensor, "sample batch"], ks: Sequence[int]) -> Float[Tensor, "k batch"]:
    """For each K an unbiased estimate of E[L_K], in nats: the mean of L_K over disjoint groups of K draws.

    Draws that do not fill a group are not used. K = 1 gives the Monte Carlo ELBO, all draws the tightest bound.
    """
    num_samples = len(log_weights)
    if not ks or any(not 1 <= k <= num_samples for k in ks):
        raise ConfigError(f"bounds need a K from 1 to the number of draws, {num_samples}, got {list(ks)}.")
    bounds = []
    for k in ks:
        groups = log_weights[: num_samples // k * k].unflatten(0, (-1, k))
        bounds.append(log_mean_exp(groups, dim=1).mean(0))
    return torch.stack(bounds)


def effective_sample_size(log_weights: Float[Tensor, "sample batch"]) -> Float[Tensor, " batch"]:
    """(Σ w)² / Σ w², from 1 to the number of draws, which it equals for equal weights.

    Source: Kong, "A note on importance sampling using standardized weights", 1992.
    """
    return torch.exp(2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0))


def pareto_k(log_weights: Float[Tensor, "sample batch"]) -> Float[Tensor, " batch"]:
    """Shape k of a generalised Pareto distribution fitted to the largest weights.

    The tail is the largest min(S/5, 3 √S) of S weights. k is 0 if they are equal up to rounding, and NaN if there are
    fewer than five, which is the case below 21 draws.

    Source: arXiv:1507.02646; the constants are those of the R package loo and of ArviZ.
    """
    num_samples, batch = log_weights.shape
    tail_size = math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))
    if tail_size < MIN_TAIL:
        return log_weights.new_full((batch,), math.nan)
    largest = log_weights.double().topk(tail_size + 1, dim=0).values.flip(0)  # ascending; the first is the threshold
    weight = (largest - largest[-1]).exp()
    is_flat = largest[-1] - largest[0] < EQUAL_WEIGHTS
    excess = torch.where(is_flat, torch.ones_like(weight), weight - weight[0])[1:]
    shape = _generalised_pareto_shape(excess)
    return torch.where(is_flat, 0.0, shape).to(log_weights.dtype)


def _generalised_pareto_shape(excess: Float[Tensor, "tail batch"]) -> Float[Tensor, " batch"]:
    """Shape k of a generalised Pareto distribution, from ascending excesses over a threshold.

    An average of profile-likelihood fits over a grid of b = -k / scale, weighted by their likelihoods, then shrunk
    towards 0.5 with the weight of ten observations.

    Source: Zhang and Stephens, "A New and Efficient Estimation Method for the Generalized Pareto Distribution",
    Technometrics 51(3), 2009, with the opposite sign of k; the weak prior on k is that of arXiv:1507.02646.
    """
    num_excesses = len(excess)
    num_candidates = 30 + math.isqrt(num_excesses)
    quartile = excess[int(num_excesses / 4 + 0.5) - 1]
    index = torch.arange(1, num_candidates + 1, dtype=excess.dtype, device=excess.device).unsqueeze(-1)
    b = 1 / excess[-1] + (1 - (num_candidates / (index - 0.5)).sqrt()) / (3 * quartile)
    k = torch.log1p(-b.unsqueeze(1) * excess).mean(1)
    log_profile = num_excesses * ((-b / k).log() - k - 1)
    b = (torch.softmax(log_profile, dim=0) * b).sum(0)
    k = torch.log1p(-b * excess).mean(0)
    return (num_excesses * k + 10 * 0.5) / (num_excesses + 10)

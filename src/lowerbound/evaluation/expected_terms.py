"""expected_terms: distortion, rate and squared error of each example, averaged over draws; how many draws suffice."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lowerbound.data.batches import Batch, Batches
from lowerbound.data.sources import Examples
from lowerbound.evaluation.over_ranks import over_ranks
from lowerbound.foundation.seeding import content_noise
from lowerbound.models.vae import VAE
from lowerbound.objectives.terms import estimate_terms

BATCH_SIZE = 500
PILOT_EXAMPLES = 500
PILOT_DRAWS = 4
FREE_DRAWS = 10_000
MOST_ADDED = 0.1
"""Share by which draws may raise the standard error of a mean over examples where few are taken."""


@dataclass(frozen=True, eq=False)
class ExampleTerms:
    """Distortion and rate per example, as means over draws in nats, and the squared error of the reconstruction."""

    distortion: Float[Tensor, " n"]
    rate: Float[Tensor, " n"]
    squared_error: Float[Tensor, " n"]  # of the decoded posterior centre, mean over elements
    num_values: Int64[Tensor, " n"]  # not missing
    rates_by_level: Float[Tensor, "n level"]  # no level without levels

    @property
    def elbo(self) -> Float[Tensor, " n"]:
        return -(self.distortion + self.rate)


@torch.no_grad()
def expected_terms(
    model: VAE, examples: Examples, num_draws: int, seed: int, device: torch.device | str = "cpu"
) -> ExampleTerms:
    """Rate and distortion of each example, averaged over `num_draws` draws; the rate in closed form if it has one.

    One draw is taken of discrete codes, because all are equal.

    Noise is seeded from the example's values, so its terms do not depend on the other examples.
    """
    distortion, rate, error, *of_levels = over_ranks(
        examples, lambda some: _expected_terms(model, some, num_draws, seed, device)
    )
    rates_by_level = torch.stack(of_levels, 1) if of_levels else rate.new_zeros(len(rate), 0)
    return ExampleTerms(distortion, rate, error, torch.from_numpy(examples.num_known), rates_by_level)


def _expected_terms(
    model: VAE, examples: Examples, num_draws: int, seed: int, device: torch.device | str
) -> tuple[Tensor, ...]:
    distortions, rates, errors, of_levels = [], [], [], []
    num_draws = 1 if model.posterior.is_deterministic else num_draws
    for batch in Batches(examples, BATCH_SIZE, device):
        x, conditioned = batch.x, model.given(batch.context)
        terms = estimate_terms(conditioned, x, content_noise(x, seed, "evaluation"), num_draws)
        distortions.append(terms.distortion.to(x.dtype))
        rates.append(terms.rate.to(x.dtype))
        of_levels.append(terms.rates_by_level.to(x.dtype))
        errors.append((conditioned.reconstruct(x) - x).square().flatten(1).mean(1))
    by_example = torch.cat(distortions), torch.cat(rates), torch.cat(errors), *torch.cat(of_levels).unbind(1)
    return tuple(values.cpu() for values in by_example)


@torch.no_grad()
def sufficient_draws(model: VAE, examples: Examples, most: int, seed: int, device: torch.device | str = "cpu") -> int:
    """The least number of draws for each example, at most `most`, with which the standard error of the mean ELBO is at
    most a tenth above that without noise of draws. Few examples get as many as make up FREE_DRAWS in all.

    Of N examples and K draws of each, the squared error of the mean is (B + W / K) / N: B is the variance of the ELBO
    between examples, W that of its one-draw estimate within an example. Both are estimated from a few draws of evenly
    spaced examples.
    """
    if model.is_deterministic or model.posterior.is_deterministic:
        return 1
    if most * len(examples) <= FREE_DRAWS:
        return most
    pilot = examples.subsample(PILOT_EXAMPLES)
    values = torch.cat([_elbo_of_draws(model, batch, seed) for batch in Batches(pilot, BATCH_SIZE, device)], 1)
    within = float(values.var(0).mean())
    between = float(values.mean(0).var()) - within / PILOT_DRAWS
    accepted = ((1 + MOST_ADDED) ** 2 - 1) * between
    needed = math.ceil(within / accepted) if accepted > 0 else most
    return max(1, min(most, max(needed, FREE_DRAWS // len(examples))))


def _elbo_of_draws(model: VAE, batch: Batch, seed: int) -> Float[Tensor, "draw batch"]:
    terms = estimate_terms(model.given(batch.context), batch.x, content_noise(batch.x, seed, "pilot"), PILOT_DRAWS)
    return (terms.log_likelihood - terms.rate_of_draw).cpu()

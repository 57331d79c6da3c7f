"""Penalties on a batch, in addition to the rate of each example: MMD; register_penalty.

A penalty is a number whose expectation does not depend on the batch size. `objective.penalties` sets weights by name,
and every penalty with a weight is logged under its name, unweighted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.foundation.errors import ConfigError
from lowerbound.models.vae import VAE
from lowerbound.probability.parts import add_row
from lowerbound.probability.samples import PosteriorSamples

MMD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Widths of the summed kernels, in units of twice the number of latents."""


@dataclass(frozen=True, eq=False)
class PenaltyContext:
    """What a penalty may use in addition to the draws: model, generator and size of the training split."""

    model: VAE
    generator: Generator  # the training's noise
    num_examples: int  # of the training split


Penalty = Callable[[PosteriorSamples, PenaltyContext], Float[Tensor, ""]]


def mmd(samples: PosteriorSamples, context: PenaltyContext) -> Float[Tensor, ""]:
    """Unbiased estimate of the squared maximum mean discrepancy between aggregate posterior and prior.

    The kernel is a sum of inverse multiquadratics C / (C + |z - z'|²); one draw of each example is compared with as
    many draws from the prior. It can be negative by chance, and is 0 for fewer than two examples.

    Source: Tolstikhin et al., "Wasserstein Auto-Encoders", arXiv:1711.01558, Algorithm 2 and Section 4; as a penalty
    added to the KL, Zhao, Song and Ermon, "InfoVAE", arXiv:1706.02262, Equation 6.
    """
    z = samples.z[0]
    if len(z) < 2:
        return z.new_zeros(())
    return mmd_between(z, context.model.prior.sample(context.generator, len(z)).detach())


def mmd_between(first: Float[Tensor, "n latent"], second: Float[Tensor, "n latent"]) -> Float[Tensor, ""]:
    """Unbiased estimate of the squared MMD between two samples of equal size."""
    within = _mean_of_pairs(_kernel(first, first)) + _mean_of_pairs(_kernel(second, second))
    return within - 2 * _kernel(first, second).mean()


def _kernel(first: Float[Tensor, "n latent"], second: Float[Tensor, "m latent"]) -> Float[Tensor, "n m"]:
    squared = (first.unsqueeze(1) - second).square().sum(-1)
    widths = [2 * first.shape[1] * scale for scale in MMD_SCALES]
    return torch.stack([width / (width + squared) for width in widths]).sum(0)


def _mean_of_pairs(kernel: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """Mean over pairs of distinct examples."""
    number = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (number * (number - 1))


def register_penalty(name: str, penalty: Penalty) -> None:
    """Register a penalty under a name for `objective.penalties`; ConfigError for a name in use."""
    if not callable(penalty):
        raise ConfigError(f"the penalty {name!r} must be a function of draws and context, got {penalty!r}.")
    add_row("penalty", PENALTIES, name, penalty)


PENALTIES: dict[str, Penalty] = {"mmd": mmd}

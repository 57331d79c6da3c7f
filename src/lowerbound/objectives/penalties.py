"""Penalties on a batch, in addition to the rate of each example: MMD, total correlation, DIP, L2; register_penalty.

`objective.penalties` sets weights by name, and every penalty with a weight is logged under its name, unweighted. A
penalty is a function of draws and context, whose keyword-only arguments are its options (`objective.penalty_options`),
or a class of `StatePart`, called in the same way, of which each training has an instance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F
from torch.optim import Adam

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.ranges import Range
from lowerbound.models.vae import VAE
from lowerbound.objectives.discriminator import Discriminator, shuffled_latents
from lowerbound.objectives.state import ObjectiveState, StatePart
from lowerbound.objectives.total_correlation import total_correlation_of
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
    state: ObjectiveState | None = None  # of the rates and penalties that have one


Penalty = Callable[..., Float[Tensor, ""]]


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


def total_correlation(samples: PosteriorSamples, context: PenaltyContext) -> Float[Tensor, ""]:
    """KL(q(z) || prod_d q(z_d)) of the aggregate posterior, in nats, estimated from the batch.

    Needs a posterior of independent latents, whose log-density is a sum over latents (ConfigError).
    """
    group = samples.joint
    return total_correlation_of(samples.z[0], group.posterior, context.num_examples)


def dip_i(
    samples: PosteriorSamples,
    context: PenaltyContext,
    *,
    diagonal: Annotated[float, Range(0, 1e6), "Weight of the diagonal, relative to the rest."] = 10.0,
) -> Float[Tensor, ""]:
    """Squared differences of the covariance of posterior means from the identity: off the diagonal, and on it.

    The sum off the diagonal is added to `diagonal` times the sum on it; the penalty's weight is λ_od.

    Source: Kumar, Sattigeri and Balakrishnan, "Variational Inference of Disentangled Latent Concepts",
    arXiv:1711.00848, DIP-VAE-I.
    """
    return _distance_from_identity(_covariance_of_means(samples), diagonal)


def dip_ii(
    samples: PosteriorSamples,
    context: PenaltyContext,
    *,
    diagonal: Annotated[float, Range(0, 1e6), "Weight of the diagonal, relative to the rest."] = 1.0,
) -> Float[Tensor, ""]:
    """As `dip_i`, with the covariance of the aggregate posterior: that of the means, plus the mean covariance.

    Source: as for `dip_i`, DIP-VAE-II.
    """
    group = samples.joint
    return _distance_from_identity(_covariance_of_means(samples) + group.posterior.covariance.mean(0), diagonal)


def _covariance_of_means(samples: PosteriorSamples) -> Float[Tensor, "latent latent"]:
    """The covariance over the batch, divided by the number of examples as in the authors' definition."""
    group = samples.joint
    mean = group.posterior.mean
    centred = mean - mean.mean(0)
    return centred.mT @ centred / len(mean)


def _distance_from_identity(covariance: Float[Tensor, "latent latent"], diagonal: float) -> Float[Tensor, ""]:
    on = covariance.diagonal()
    off = covariance.square().sum() - on.square().sum()
    return off + diagonal * (on - 1).square().sum()


def decoder_l2(samples: PosteriorSamples, context: PenaltyContext) -> Float[Tensor, ""]:
    """Half the sum of squares of the decoder's weights, biases included.

    Source: Ghosh et al., "From Variational to Deterministic Autoencoders", arXiv:1903.12436, Section 3.1: the RAE-L2.
    """
    squares = [parameter.square().sum() for parameter in context.model.decoder.parameters()]
    return 0.5 * torch.stack(squares).sum()


def latent_l2(samples: PosteriorSamples, context: PenaltyContext) -> Float[Tensor, ""]:
    """Half the squared norm of z, the mean over examples: keeps the codes of an autoencoder bounded.

    Source: Ghosh et al., arXiv:1903.12436, Equation 11.
    """
    return 0.5 * samples.z.square().sum(-1).mean()


def register_penalty(name: str, penalty: Penalty) -> None:
    """Register a penalty under a name for `objective.penalties`; ConfigError for a name in use."""
    if not callable(penalty):
        raise ConfigError(f"the penalty {name!r} must be a function of draws and context, got {penalty!r}.")
    add_row("penalty", PENALTIES, name, penalty)


class Factor(StatePart):
    """FactorVAE's total correlation: the mean log-odds of a discriminator between q(z) and prod_d q(z_d), in nats.

    The discriminator, a network of leaky ReLUs with an Adam of its own, learns to tell one draw of each example from
    codes whose latents come from different examples. The authors shuffle a second batch; here, as in most public
    versions, it is the same one.

    Source: Kim and Mnih, "Disentangling by Factorising", arXiv:1802.05983, Algorithm 2 and Appendix A.
    """

    def __init__(
        self,
        latent_dim: int,
        generator: Generator,
        *,
        hidden: Annotated[int, Range(1, 100_000), "Units of each hidden layer of the discriminator."] = 1000,
        num_layers: Annotated[int, Range(1, 100), "Hidden layers of the discriminator."] = 5,
        learning_rate: Annotated[float, Range(1e-9, 1), "Learning rate of the discriminator."] = 1e-4,
    ) -> None:
        super().__init__()
        self.discriminator = Discriminator(latent_dim, hidden, num_layers, generator)
        self.optimiser: Adam = Adam(self.discriminator.parameters(), lr=learning_rate, betas=(0.5, 0.9))
        self.seen: tuple[Tensor, Tensor] | None = None

    def forward(self, samples: PosteriorSamples, context: PenaltyContext) -> Float[Tensor, ""]:
        """The estimate for one draw of each example."""
        z = samples.z[0].to(next(self.discriminator.parameters()).dtype)
        if torch.is_grad_enabled():
            self.seen = z.detach(), shuffled_latents(z.detach(), context.generator)
        # The discriminator's weights are constants for the model; only its own step changes them.
        weights = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        return torch.func.functional_call(self.discriminator, weights, (z,)).mean()

    def update(self) -> None:
        """One step of the discriminator on the codes of the last batch."""
        if self.seen is None:
            return
        joint, product = self.seen
        loss = 0.5 * (F.softplus(-self.discriminator(joint)) + F.softplus(self.discriminator(product))).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.seen = None


PENALTIES: dict[str, Penalty | type[StatePart]] = {
    "mmd": mmd,
    "total-correlation": total_correlation,
    "factor": Factor,
    "dip-i": dip_i,
    "dip-ii": dip_ii,
    "decoder-l2": decoder_l2,
    "latent-l2": latent_l2,
}

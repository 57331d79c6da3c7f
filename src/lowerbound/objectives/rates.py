"""Rates: what an objective charges for the latents, in nats: KL(q(z|x) || p(z)) exactly or by draws, or a form of it.

A rate is called with the draws and the warm-up's factor in [0, 1], and returns the charge of each draw. The plain ones
('auto', 'analytic', 'monte-carlo') have the true KL as their mean at factor 1, 'none' is 0, and the others change it on
purpose. Whatever is charged, the true rate is reported beside it.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.ranges import Range
from lowerbound.objectives.state import StatePart
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.hierarchy import has_kl_by_level
from lowerbound.probability.kl import elementwise_kl, has_elementwise_kl
from lowerbound.probability.samples import PosteriorSamples

Scale = float | Float[Tensor, ""]
Rate = Callable[..., Float[Tensor, "sample batch"]]

CAPACITY = "The rate C that is aimed at, in nats."


def auto(samples: PosteriorSamples, scale: Scale = 1.0) -> Float[Tensor, "sample batch"]:
    """The closed form if posterior and prior have one, else the Monte Carlo estimate."""
    return scale * samples.rate


def analytic(samples: PosteriorSamples, scale: Scale = 1.0) -> Float[Tensor, "sample batch"]:
    """KL(q || p) in closed form, the same for every draw; ConfigError if there is none.

    Source: Kingma and Welling, arXiv:1312.6114, Equation 7 and Appendix B.
    """
    return scale * samples.kl.expand_as(samples.log_likelihood)


def monte_carlo(samples: PosteriorSamples, scale: Scale = 1.0) -> Float[Tensor, "sample batch"]:
    """log q(z|x) - log p(z) at each draw: unbiased for the KL, with Monte Carlo noise.

    Source: Kingma and Welling, arXiv:1312.6114, Equation 6.
    """
    return scale * (samples.log_posterior - samples.log_prior)


def none(samples: PosteriorSamples, scale: Scale = 1.0) -> Float[Tensor, "sample batch"]:
    """Zero, for a plain autoencoder."""
    return torch.zeros_like(samples.log_likelihood)


def free_bits(
    samples: PosteriorSamples,
    scale: Scale = 1.0,
    *,
    nats: Annotated[float, Range(0), "Nats of each latent that are free."] = 0.25,
) -> Float[Tensor, "sample batch"]:
    """sum_d max(nats, KL_d), with KL_d the mean over the batch of latent d's: below `nats` it has no gradient.

    With several levels KL_d is given the draws of the levels above, and also a mean over draws.

    Needs a KL that is a sum over latents (ConfigError otherwise: use 'free-bits-total').

    Source: Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", arXiv:1606.04934,
    with every latent as a group.
    """
    check_is_sum_over_latents(samples.joint.posterior, samples.joint.prior)
    by_latent = [elementwise_kl(group.posterior, group.prior) for group in samples.groups]
    of_latents = [divergence.flatten(0, -2).mean(0) for divergence in by_latent]
    return scale * _same_for_all(samples, torch.cat(of_latents).clamp(min=nats).sum())


def check_is_sum_over_latents(posterior: Distribution, prior: Distribution, in_words: str = "") -> None:
    """ConfigError if KL(q || p), of families called `in_words`, is not a sum over latents, as 'free-bits' needs."""
    if not (has_elementwise_kl(posterior, prior) or has_kl_by_level(posterior, prior)):
        pair = in_words or f"{type(posterior).__name__} and {type(prior).__name__}"
        raise ConfigError(
            f"objective.rate 'free-bits' needs a KL that is a sum over latents, which {pair} do not have; use rate "
            "'free-bits-total'."
        )


def free_bits_total(
    samples: PosteriorSamples,
    scale: Scale = 1.0,
    *,
    nats: Annotated[float, Range(0), "Nats of the rate that are free."] = 2.0,
) -> Float[Tensor, "sample batch"]:
    """max(nats, KL), with KL the mean over the batch: as 'free-bits', with all latents as one group."""
    return scale * _same_for_all(samples, auto(samples).mean().clamp(min=nats))


def free_bits_level(
    samples: PosteriorSamples,
    scale: Scale = 1.0,
    *,
    nats: Annotated[float, Range(0), "Nats of each level's rate that are free."] = 2.0,
) -> Float[Tensor, "sample batch"]:
    """Σ_l max(nats, KL_l), with KL_l the mean over the batch of level l's: as 'free-bits', with a group for each level.

    For a model without levels it is 'free-bits-total'.
    """
    of_levels = torch.stack([rate.mean() for rate in samples.rates])
    return scale * _same_for_all(samples, of_levels.clamp(min=nats).sum())


def capacity(
    samples: PosteriorSamples, scale: Scale = 1.0, *, nats: Annotated[float, Range(0), CAPACITY] = 25.0
) -> Float[Tensor, "sample batch"]:
    """|KL - C|, with KL the mean over the batch and C = `nats` times the warm-up's factor; its weight is γ.

    Source: Burgess et al., "Understanding disentangling in beta-VAE", arXiv:1804.03599, Section 5.
    """
    return _same_for_all(samples, (auto(samples).mean() - scale * nats).abs())


def capacity_per_example(
    samples: PosteriorSamples, scale: Scale = 1.0, *, nats: Annotated[float, Range(0), CAPACITY] = 25.0
) -> Float[Tensor, "sample batch"]:
    """|KL - C| of each example, which pushes every one of them to C nats, where 'capacity' pushes their mean."""
    divergence = auto(samples).mean(0)
    return (divergence - scale * nats).abs().expand_as(samples.log_likelihood)


class Geco(StatePart):
    """KL / λ: the least rate for a distortion of at most `distortion` nats, with a multiplier λ that learns.

    After each step λ grows by the factor exp(speed * C), or shrinks, where C is a moving average of the batch's
    distortion minus the allowed one. The published objective, KL + λ (distortion - allowed), is this one times λ.

    Source: Rezende and Viola, "Taming VAEs", arXiv:1810.00597, Algorithm 1.
    """

    log_multiplier: Tensor
    average: Tensor
    num_steps: Tensor

    def __init__(
        self,
        latent_dim: int,
        generator: Generator,
        *,
        distortion: Annotated[float, Range(), "Largest accepted distortion, in nats."],
        speed: Annotated[float, Range(1e-9, 1), "Speed of the multiplier, per nat and step."] = 1e-3,
        decay: Annotated[float, Range(0, 0.9999), "Decay of the moving average of the violation."] = 0.99,
    ) -> None:
        super().__init__()
        self.distortion, self.speed, self.decay = distortion, speed, decay
        for name in ("log_multiplier", "average", "num_steps"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))
        self.violation: Tensor | None = None

    @property
    def logged(self) -> Float[Tensor, ""]:
        """The multiplier."""
        return self.log_multiplier.exp()

    def forward(self, samples: PosteriorSamples, scale: Scale = 1.0) -> Float[Tensor, "sample batch"]:
        """The charge of each draw."""
        if torch.is_grad_enabled():
            self.violation = -samples.log_likelihood.detach().double().mean() - self.distortion
        return scale * auto(samples) * (-self.log_multiplier).exp().to(samples.log_likelihood)

    @torch.no_grad()
    def update(self) -> None:
        """Move the multiplier by the distortion of the last batch; a step changes it by at most a tenth."""
        if self.violation is None:
            return
        keep = self.decay if self.num_steps > 0 else 0.0
        self.average.copy_(keep * self.average + (1 - keep) * self.violation)
        self.log_multiplier += (self.speed * self.average).clamp(-0.1, 0.1)
        self.log_multiplier.clamp_(-LARGEST_LOG_MULTIPLIER, LARGEST_LOG_MULTIPLIER)
        self.num_steps += 1
        self.violation = None


def described(name: str) -> str:
    """A rate in words; its name if it is a row of your own."""
    return IN_WORDS.get(name, name)


def true_rate(samples: PosteriorSamples) -> Float[Tensor, " batch"]:
    """KL(q || p) per example for reports: in closed form if there is one, else the mean over draws."""
    return samples.rate.mean(dim=0).detach()


def rates_by_level(samples: PosteriorSamples) -> tuple[Float[Tensor, " batch"], ...]:
    """The rate of each level of a hierarchical model per example, as in `true_rate`; empty for any other."""
    if not samples.has_levels:
        return ()
    return tuple(rate.mean(dim=0).detach() for rate in samples.rates)


def _same_for_all(samples: PosteriorSamples, value: Float[Tensor, ""]) -> Float[Tensor, "sample batch"]:
    return value.expand_as(samples.log_likelihood)


LARGEST_LOG_MULTIPLIER = 14.0

PLAIN: dict[str, Rate] = {"auto": auto, "analytic": analytic, "monte-carlo": monte_carlo, "none": none}
"""Rates that are the KL itself, or nothing: any bound and gradient estimator can have them."""

RATES: dict[str, Rate | type[StatePart]] = {
    **PLAIN,
    "free-bits": free_bits,
    "free-bits-total": free_bits_total,
    "free-bits-level": free_bits_level,
    "capacity": capacity,
    "capacity-per-example": capacity_per_example,
    "geco": Geco,
}

IN_WORDS = {
    "analytic": "KL divergence in closed form",
    "monte-carlo": "log q(z|x) − log p(z) at each draw (Monte Carlo)",
    "none": "none, a plain autoencoder",
    "free-bits": "KL divergence of each latent, free below objective.rate_options.nats (mean over the batch)",
    "free-bits-total": "KL divergence, free below objective.rate_options.nats (mean over the batch)",
    "free-bits-level": "KL divergence of each level, free below objective.rate_options.nats (mean over the batch)",
    "capacity": "distance of the KL divergence from objective.rate_options.nats (mean over the batch)",
    "capacity-per-example": "distance of every example's KL divergence from objective.rate_options.nats",
    "geco": "KL divergence, divided by a multiplier that learns to reach objective.rate_options.distortion",
}
"""The rates as printed when a training starts; 'auto' is one of the others by then."""

OF_BATCH = ("free-bits", "free-bits-total", "free-bits-level", "capacity", "geco")
"""Rates that depend on a mean over the batch."""

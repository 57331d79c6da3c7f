"""Rates: estimates of KL(q(z|x) || p(z)) per draw, in nats: auto, analytic, Monte Carlo, none.

The mean of a rate over draws is the true KL(q(z|x) || p(z)), except for 'none', which is 0.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.probability.samples import PosteriorSamples

Rate = Callable[[PosteriorSamples], Float[Tensor, "sample batch"]]


def auto(samples: PosteriorSamples) -> Float[Tensor, "sample batch"]:
    """The closed form if posterior and prior have one, else the Monte Carlo estimate."""
    return analytic(samples) if samples.has_closed_form_kl else monte_carlo(samples)


def analytic(samples: PosteriorSamples) -> Float[Tensor, "sample batch"]:
    """KL(q || p) in closed form, the same for every draw; ConfigError if there is none.

    Source: Kingma and Welling, arXiv:1312.6114, Equation 7 and Appendix B.
    """
    return samples.kl.expand_as(samples.log_likelihood)


def monte_carlo(samples: PosteriorSamples) -> Float[Tensor, "sample batch"]:
    """log q(z|x) - log p(z) at each draw: unbiased for the KL, with Monte Carlo noise.

    Source: Kingma and Welling, arXiv:1312.6114, Equation 6.
    """
    return samples.log_posterior - samples.log_prior


def none(samples: PosteriorSamples) -> Float[Tensor, "sample batch"]:
    """Zero, for a plain autoencoder."""
    return torch.zeros_like(samples.log_likelihood)


def true_rate(samples: PosteriorSamples) -> Float[Tensor, " batch"]:
    """KL(q || p) per example for reports: in closed form if there is one, else the mean over draws."""
    return auto(samples).mean(dim=0).detach()


RATES: dict[str, Rate] = {
    "auto": auto,
    "analytic": analytic,
    "monte-carlo": monte_carlo,
    "none": none,
}

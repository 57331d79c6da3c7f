"""Gradient estimators of a bound's expectation over z ~ q(z|x): reparameterized, STL, DReG, score function.

Each takes draws, the bound, and a function that computes the log-weights log p(x|z) - weight * rate of draws. It
returns a surrogate for each example, whose gradient is the estimate; its value has no meaning and is not reported.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.objectives.bounds import Bound
from lowerbound.probability.samples import PosteriorSamples

LogWeight = Callable[[PosteriorSamples], Float[Tensor, "sample batch"]]
Estimator = Callable[[PosteriorSamples, Bound, LogWeight], Float[Tensor, " batch"]]


@dataclass(frozen=True)
class Gradient:
    """An estimator, and whether it differentiates through the draws."""

    surrogate: Estimator
    through_draws: bool = True


def reparameterized(samples: PosteriorSamples, bound: Bound, log_weight: LogWeight) -> Float[Tensor, " batch"]:
    """Differentiates through the draws, z = mean + sd * noise, and through every density.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114, Section 2.4.
    """
    return bound(log_weight(samples))


def sticking_the_landing(samples: PosteriorSamples, bound: Bound, log_weight: LogWeight) -> Float[Tensor, " batch"]:
    """As `reparameterized`, without the score of q: its mean is zero, and the rest vanishes if q is exact.

    Source: Roeder, Wu and Duvenaud, "Sticking the Landing", arXiv:1703.09194, Equation 8.
    """
    return bound(log_weight(samples.with_fixed_posterior()))


def doubly_reparameterized(samples: PosteriorSamples, bound: Bound, log_weight: LogWeight) -> Float[Tensor, " batch"]:
    """The importance-weighted bound's gradient: normalised weights for the decoder, their squares for the encoder.

    Source: Tucker et al., "Doubly Reparameterized Gradient Estimators", arXiv:1810.04152, Equation 8.
    """
    log_weights = log_weight(samples.with_fixed_posterior())
    normalised = torch.softmax(log_weights.detach(), dim=0)
    if samples.z.requires_grad:
        # The encoder's gradient passes through z, where it gets the second factor.
        samples.z.register_hook(lambda gradient: gradient * normalised.unsqueeze(-1).to(gradient.dtype))
    return (normalised * log_weights).sum(dim=0)


def score_function(samples: PosteriorSamples, bound: Bound, log_weight: LogWeight) -> Float[Tensor, " batch"]:
    """For non-differentiable draws: log-weights, minus the mean of the other draws, times the score of q.

    Source: Mnih and Gregor, "Neural Variational Inference and Learning", arXiv:1402.0030, Equation 8; the leave-one-out
    baseline is that of Mnih and Rezende, arXiv:1602.06725, Section 2.4.
    """
    log_weights = log_weight(samples)
    learning_signal = log_weights.detach()
    num_samples = len(learning_signal)
    if num_samples > 1:
        others = (learning_signal.sum(dim=0) - learning_signal) / (num_samples - 1)
        learning_signal = learning_signal - others
    return bound(log_weights) + (learning_signal * samples.log_posterior).mean(dim=0)


GRADIENTS: dict[str, Gradient] = {
    "reparameterized": Gradient(reparameterized),
    "stl": Gradient(sticking_the_landing),
    "dreg": Gradient(doubly_reparameterized),
    "score-function": Gradient(score_function, through_draws=False),
}

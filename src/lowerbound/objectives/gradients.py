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
Signal = Callable[[Bound, Float[Tensor, "sample batch"]], Float[Tensor, "sample batch"]]


@dataclass(frozen=True)
class Gradient:
    """An estimator, and whether it differentiates through the draws."""

    surrogate: Estimator
    through_draws: bool = True

    @property
    def meaning(self) -> str | None:
        """What the estimator is: its docstring."""
        return self.surrogate.__doc__


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
    """For non-differentiable draws: what each draw adds to the bound, times the score of q; see `leave_one_out`.

    Source: Mnih and Gregor, "Neural Variational Inference and Learning", arXiv:1402.0030, Equation 8; for the
    importance-weighted bound it is VIMCO: Mnih and Rezende, "Variational Inference for Monte Carlo Objectives",
    arXiv:1602.06725, Section 2.4.
    """
    return score_surrogate(samples, bound, log_weight, leave_one_out)


def score_surrogate(
    samples: PosteriorSamples, bound: Bound, log_weight: LogWeight, signal_of: Signal
) -> Float[Tensor, " batch"]:
    """The score-function estimator with the learning signals of `signal_of`, one for each draw.

    A signal is the bound minus a baseline that does not depend on its draw: any such baseline is unbiased.
    """
    log_weights = log_weight(samples)
    signal = signal_of(bound, log_weights.detach())
    return bound(log_weights) + (signal * samples.log_posterior).sum(dim=0)


def leave_one_out(bound: Bound, log_weights: Float[Tensor, "sample batch"]) -> Float[Tensor, "sample batch"]:
    """The bound minus that with the draw's log-weight replaced by the mean of the others; one draw has no baseline.

    The mean of log-weights is the geometric mean of weights, as in Mnih and Rezende, arXiv:1602.06725, Section 2.4.
    """
    num_samples = len(log_weights)
    if num_samples == 1:
        return bound(log_weights).unsqueeze(0)
    others = (log_weights.sum(dim=0) - log_weights) / (num_samples - 1)
    return bound(log_weights) - bounds_with_replaced(bound, log_weights, others)


def bounds_with_replaced(
    bound: Bound, log_weights: Float[Tensor, "sample batch"], others: Float[Tensor, "sample batch"]
) -> Float[Tensor, "sample batch"]:
    """For each draw the bound with its log-weight replaced by another, and those of all other draws as they are."""
    num_samples = len(log_weights)
    replaced = log_weights.unsqueeze(1).repeat(1, num_samples, 1)
    replaced.diagonal().copy_(others.T)
    return bound(replaced.flatten(1)).unflatten(0, (num_samples, -1))


GRADIENTS: dict[str, Gradient] = {
    "reparameterized": Gradient(reparameterized),
    "stl": Gradient(sticking_the_landing),
    "dreg": Gradient(doubly_reparameterized),
    "score-function": Gradient(score_function, through_draws=False),
}

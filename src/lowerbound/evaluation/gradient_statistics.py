"""Statistics of gradient estimates, with standard errors: trace of the covariance, squared bias, signal-to-noise ratio.

For estimates g of a gradient, averaged over examples:

    variance = trace Cov[g],   squared bias = |E[g] - E[reference]|²,   signal-to-noise ratio = |E[g]| / sqrt(variance)

Squared lengths of means are estimated without bias: the length of a mean of R estimates exceeds that of the expectation
by trace Cov / R on average, which is subtracted. So a squared bias can be negative by chance.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.numerics import Estimate, mean_and_standard_error

Estimates = Float[Tensor, "estimate example parameter"]

MANY_ERRORS = 4.0
"""Standard errors beyond which a bias is not noise."""


@dataclass(frozen=True)
class GradientStatistics:
    """Statistics of one estimate, means over examples; variance and squared bias in the gradient's unit squared."""

    variance: Estimate
    squared_bias: Estimate
    signal_to_noise: Estimate
    variance_per_example: tuple[float, ...]

    @property
    def has_bias(self) -> bool:
        """Whether the bias is more than noise."""
        return self.squared_bias.value > MANY_ERRORS * self.squared_bias.standard_error


def gradient_statistics(
    estimates: Estimates, reference: Float[Tensor, "reference example parameter"], is_biased: bool
) -> GradientStatistics:
    """Statistics of independent estimates, compared with those of an unbiased estimator.

    The mean gradient of an unbiased estimator is that of the reference, which has more estimates or less noise.
    """
    bias = estimates.mean(0) - reference.mean(0)
    variance = total_variance(estimates)
    signal = squared_length_of_mean(estimates if is_biased else reference)
    return GradientStatistics(
        variance=variance,
        squared_bias=_squared_length(bias, _covariance_of_mean(estimates) + _covariance_of_mean(reference)),
        signal_to_noise=ratio_of_roots(signal, variance),
        variance_per_example=tuple(estimates.var(0).sum(-1).tolist()),
    )


def total_variance(estimates: Estimates) -> Estimate:
    """Trace of the covariance, mean over examples; its standard error contains the fourth moments."""
    num = len(estimates)
    squared = (estimates - estimates.mean(0)).square().sum(-1).mean(-1)
    return mean_and_standard_error(squared * num / (num - 1))


def squared_length_of_mean(estimates: Estimates) -> Estimate:
    """Unbiased estimate of |E[g]|², mean over examples."""
    return _squared_length(estimates.mean(0), _covariance_of_mean(estimates))


def ratio_of_roots(signal: Estimate, variance: Estimate) -> Estimate:
    """sqrt(signal / variance), with the standard error by the delta method; 0 where the signal is below 0 by chance."""
    if variance.value <= 0:
        return Estimate(math.nan, math.nan)
    value = math.sqrt(max(signal.value, 0.0) / variance.value)
    # Near zero the root is not linear, and the error is the value that one standard error of the signal would have.
    around = max(signal.value, signal.standard_error)
    of_signal = 0.5 * signal.standard_error / math.sqrt(around * variance.value) if around > 0 else 0.0
    return Estimate(value, math.hypot(of_signal, 0.5 * value * variance.standard_error / variance.value))


def _covariance_of_mean(estimates: Estimates) -> Float[Tensor, "example parameter parameter"]:
    num = len(estimates)
    centred = estimates - estimates.mean(0)
    return torch.einsum("ren,rem->enm", centred, centred) / ((num - 1) * num)


def _squared_length(
    mean: Float[Tensor, "example parameter"], covariance: Float[Tensor, "example parameter parameter"]
) -> Estimate:
    """Unbiased estimate of a squared length from an estimated vector and the covariance of that estimate.

    For a normal estimate m of a vector with covariance S, |m|² - tr S is unbiased and has the variance
    4 E[m]' S E[m] + 2 tr S², whose first term m' S m exceeds by tr S². Near zero, where the difference may be negative,
    it counts as zero, which overstates the error by half at most.
    """
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    of_square = 2 * covariance.square().sum()
    of_mean = 4 * torch.einsum("en,enm,em->", mean, covariance, mean) - 2 * of_square
    error = (of_mean.clamp(min=0) + of_square).sqrt() / len(mean)
    return Estimate(float((mean.square().sum(-1) - trace).mean()), float(error))

"""ContinuousBernoulli: a density on [0, 1] with a linear logarithm; its normaliser, mean and inverse mean.

    p(x) = exp(t x − A(t)) on [0, 1],   A(t) = log((e^t − 1) / t),

where t is the logit of the corresponding Bernoulli. The mean is A'(t), the variance A''(t). Everything is computed from
t: in the usual form, with probabilities, the normaliser is 0/0 at 1/2 and saturates at both ends.

Source: Loaiza-Ganem and Cunningham, "The continuous Bernoulli", arXiv:1907.06845.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from lowerbound.probability.distributions import Distribution, double_products

SMALL = 0.05
"""Below this |t| power series are used; their first omitted terms are below 1e-13."""

LEAST_SLOPE = 1e-6
"""Smallest |t| used for draws: below it they are uniform within a millionth."""

STEPS = 80  # bisection steps, more than float64 has bits
WIDEST = 16.0  # bounds arsinh(t) of the inverse mean: |t| up to 4e6, where the mean is 2e-7 from an end


@dataclass(frozen=True, eq=False)
class ContinuousBernoulli(Distribution):
    """Independent elements in [0, 1], from logits. Draws are differentiable in the logits."""

    logits: Float[Tensor, "*batch_and_event"]
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        return mean_of(self.logits)

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        return (self.logits > 0).to(self.logits.dtype)

    @property
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        t, is_small = _large(self.logits)
        # 1 / t² − 1 / (2 sinh(t / 2))², written so that the second term vanishes where sinh would overflow.
        tail = torch.exp(-t.abs())
        large = 1 / t**2 - tail / (1 - tail) ** 2
        squared = self.logits**2
        return torch.where(is_small, 1 / 12 - squared / 240 + squared**2 / 6048, large)

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        logits, value = torch.broadcast_tensors(self.logits, value)
        # (x − 1) t for a positive t is t x minus the dominant part of A(t); their difference would cancel.
        tilt = (value - (logits > 0).to(value.dtype)) * logits
        return self.sum_event(tilt - _even_part(logits))

    def log_prob_table(self, values: Float[Tensor, "n *event"]) -> Float[Tensor, "n batch"]:
        # In float64: the terms of large logits cancel.
        logits = self.flat_event(self.logits).double()
        constant = (logits.clamp(min=0) + _even_part(logits)).sum(-1)
        return double_products(self.flat_event(values), logits) - constant

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        shape = (num_samples, *self.logits.shape)
        uniform = torch.rand(shape, generator=generator, dtype=self.logits.dtype, device=self.logits.device)
        # The inverse distribution function, computed from the end where the mass is concentrated.
        magnitude = self.logits.abs().clamp(min=LEAST_SLOPE)
        from_top = 1 + torch.log1p((1 - uniform) * torch.expm1(-magnitude)) / magnitude
        return torch.where(self.logits > 0, from_top, 1 - from_top).clamp(0, 1)


def log_normaliser(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A(t) = log((e^t − 1) / t), in nats."""
    return torch.where(logits > 0, logits, 0.0) + _even_part(logits)


def _even_part(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A(−|t|) = log((1 − e^−|t|) / |t|); for positive t, A(t) = t + A(−|t|)."""
    magnitude = torch.where(logits > 0, logits, -logits)  # abs has gradient 0 at zero
    t, is_small = _large(magnitude)
    large = torch.log1p(-torch.exp(-t)) - torch.log(t)
    squared = magnitude**2
    return torch.where(is_small, -magnitude / 2 + squared / 24 - squared**2 / 2880, large)


def mean_of(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A'(t) = 1 / (1 − e^−t) − 1 / t."""
    t, is_small = _large(logits)
    large = -1 / torch.expm1(-t) - 1 / t
    return torch.where(is_small, 0.5 + logits / 12 - logits**3 / 720, large)


def logits_of_mean(mean: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The t whose distribution has this mean, by bisection, because A' has no closed-form inverse."""
    low, high = torch.full_like(mean, -WIDEST), torch.full_like(mean, WIDEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        is_below = mean_of(torch.sinh(middle)) < mean
        low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
    return torch.sinh((low + high) / 2)


def _large(logits: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Bool[Tensor, "*shape"]]:
    """The logits with small ones replaced by SMALL, and the mask of those: `where` would propagate NaN gradients."""
    is_small = logits.abs() < SMALL
    return torch.where(is_small, torch.full_like(logits, SMALL), logits), is_small

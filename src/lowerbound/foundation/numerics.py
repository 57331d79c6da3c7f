"""Numerics: log-mean-exp, means with standard errors, bits per dimension."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

LOG_2 = math.log(2.0)


def log_mean_exp(log_values: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """log of the mean of exp(log_values) along `dim`, without overflow."""
    return torch.logsumexp(log_values, dim=dim) - math.log(log_values.shape[dim])


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, in the unit of the values."""

    value: float
    standard_error: float


def mean_and_standard_error(values: Float[Tensor, " n"]) -> Estimate:
    """Mean over examples and the standard error of that mean, s / sqrt(n); the error of one value is NaN."""
    values = values.double()
    error = values.std(correction=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error))


def binomial_error(share: float, number: int) -> float:
    """The standard error of a share of `number` independent examples, sqrt(p (1 - p) / n)."""
    return math.sqrt(share * (1 - share) / number)


def bits_per_dimension(nats: Float[Tensor, " n"], num_values: Int64[Tensor, " n"]) -> Estimate:
    """Bits per dimension of examples with `nats` and D_i values each: Σ nats_i / (log 2 Σ D_i).

    All values have the same weight. The standard error is that of a ratio estimate, or of a mean if all examples have
    the same number of values.

    Source: Cochran, Sampling Techniques, third edition, 1977, Theorem 2.5.
    """
    bits, counts = nats.double() / LOG_2, num_values.double()
    ratio = bits.sum() / counts.sum()
    residual = mean_and_standard_error((bits - ratio * counts) / counts.mean())
    return Estimate(float(ratio), residual.standard_error)

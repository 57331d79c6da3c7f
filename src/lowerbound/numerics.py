"""Numbers with care: means in log space, estimates with their errors, and units."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LOG_2 = math.log(2.0)


def log_mean_exp(log_values: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """log of the mean of exp(log_values) along `dim`, without overflow."""
    return torch.logsumexp(log_values, dim=dim) - math.log(log_values.shape[dim])


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, in the unit of what was averaged."""

    value: float
    standard_error: float


def mean_and_standard_error(values: Float[Tensor, " n"]) -> Estimate:
    """Mean over examples and the standard error of that mean, s / sqrt(n); the error of one value is NaN."""
    values = values.double()
    error = values.std(correction=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error))


def bits_per_dimension(nats: float, num_dimensions: int) -> float:
    """Nats per example as bits per dimension, nats / (D log 2)."""
    return nats / (num_dimensions * LOG_2)

"""summary_of: named tensors that describe the posterior of each example, for files and responses.

A posterior over real latents has a mean and a log-variance of each latent. In other spaces a mean is not a code,
so the parameters of the family take their place; the first tensor is a code in the space.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from lowerbound.probability.codes import ChosenCodes
from lowerbound.probability.distributions import Distribution, PointMass
from lowerbound.probability.one_hot import CategoricalCodes
from lowerbound.probability.simplex import LogisticNormal
from lowerbound.probability.sphere import PowerSpherical

Summary = Callable[[Any], dict[str, Tensor]]


def summary_of(posterior: Distribution) -> dict[str, Tensor]:
    """Tensors by name, each with the batch as its first axis."""
    return SUMMARIES.get(type(posterior), _moments)(posterior)


def _moments(posterior: Distribution) -> dict[str, Tensor]:
    return {"mean": posterior.centre, "log_variance": posterior.variance.log()}


SUMMARIES: dict[type[Distribution], Summary] = {
    PointMass: lambda posterior: {"mean": posterior.value},
    PowerSpherical: lambda posterior: {
        "mean_direction": posterior.direction,
        "concentration": posterior.concentration,
    },
    ChosenCodes: lambda posterior: {"code": posterior.value, "indices": posterior.indices.to(posterior.value)},
    CategoricalCodes: lambda posterior: {"code": posterior.mode, "probabilities": posterior.mean},
    LogisticNormal: lambda posterior: {
        "centre": posterior.centre,
        "location": posterior.location,
        "log_variance": posterior.log_variance,
    },
}
"""Families with another summary than mean and log-variance."""

"""Local posteriors: steps in families of normals (diagonal, low-rank, full) that optimise the posterior of one example.

Steps are in units of the current normal, standard deviations for the mean and ratios for the covariance, because a
posterior may be a thousand times narrower than the prior, and its width changes during the search.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lowerbound.foundation.errors import ConfigError
from lowerbound.probability.distributions import DiagonalNormal, Distribution
from lowerbound.probability.low_rank_normal import LowRankNormal
from lowerbound.probability.normals import FullNormal, unit_lower
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND


@dataclass(frozen=True)
class LocalFamily:
    """A family: the number of parameters of a step, and the function that applies a step."""

    step_size: Callable[[Any], int]  # of a normal of the family
    stepped: Callable[[Any, Float[Tensor, "batch step"]], Distribution]


def step_diagonal(normal: DiagonalNormal, step: Float[Tensor, "batch step"]) -> DiagonalNormal:
    """Shift the mean in units of standard deviations, and add to the log-variance."""
    of_mean, of_log_variance = step.chunk(2, dim=-1)
    log_variance = (normal.log_variance + of_log_variance).clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)
    return DiagonalNormal(normal.mean + normal.standard_deviation * of_mean, log_variance)


def step_full(normal: FullNormal, step: Float[Tensor, "batch step"]) -> FullNormal:
    """Shift the mean by L step, and multiply L by a lower triangular matrix near the identity."""
    latent_dim = normal.mean.shape[-1]
    of_mean, of_diagonal, below = step.split((latent_dim, latent_dim, step.shape[-1] - 2 * latent_dim), dim=-1)
    ratio = unit_lower(below, latent_dim) * torch.exp(0.5 * of_diagonal).unsqueeze(-2)
    mean = normal.mean + (normal.scale_tril @ of_mean.unsqueeze(-1)).squeeze(-1)
    return FullNormal(mean, _clamp_diagonal(normal.scale_tril @ ratio))


def step_low_rank(normal: LowRankNormal, step: Float[Tensor, "batch step"]) -> LowRankNormal:
    """Shift the mean by R step, where R Rᵀ is the covariance; add to V at a constant volume, and to log S²."""
    latent_dim, rank = normal.factor.shape[-2:]
    of_mean, of_log_variance, of_factor = step.split((latent_dim, latent_dim, latent_dim * rank), dim=-1)
    turned = replace(normal, factor=normal.factor + of_factor.unflatten(-1, (latent_dim, rank)))
    growth = (turned.log_determinant - normal.log_determinant).to(step.dtype).unsqueeze(-1) / latent_dim
    log_variance = normal.log_variance + of_log_variance - growth
    return replace(
        turned,
        parameter_mean=normal.mean + _times_root(normal, of_mean),
        log_variance=log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND),
    )


def _times_root(normal: LowRankNormal, vector: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
    """S (I + V Vᵀ)^½ times a vector: the root is I + V Q (I + (I + Λ)^½)⁻¹ Qᵀ Vᵀ, with Vᵀ V = Q Λ Qᵀ."""
    eigenvalues, directions = torch.linalg.eigh(normal.factor.mT @ normal.factor)
    along = normal.factor @ directions
    shares = (along.mT @ vector.unsqueeze(-1)) / (1 + (1 + eigenvalues.clamp(min=0)).sqrt()).unsqueeze(-1)
    return torch.exp(0.5 * normal.log_variance) * (vector + (along @ shares).squeeze(-1))


def _clamp_diagonal(scale_tril: Float[Tensor, "batch latent latent"]) -> Float[Tensor, "batch latent latent"]:
    """Scale columns so that the diagonal stays within the bounds of a posterior."""
    log_diagonal = scale_tril.diagonal(dim1=-2, dim2=-1).log()
    bounded = log_diagonal.clamp(-LOG_VARIANCE_BOUND / 2, LOG_VARIANCE_BOUND / 2)
    return scale_tril * (bounded - log_diagonal).exp().unsqueeze(-2)


def with_mean(normal: Any, mean: Float[Tensor, "batch latent"]) -> Any:
    """The same normals with other means."""
    return replace(normal, parameter_mean=mean)


def select_normals(is_second: Bool[Tensor, " batch"], second: Any, first: Any) -> Any:
    """For each example the normal of the second batch if `is_second`, else that of the first."""
    parts = {}
    for name, of_first in vars(first).items():
        if isinstance(of_first, Tensor):
            mask = is_second.reshape(-1, *[1] * (of_first.ndim - 1))
            parts[name] = torch.where(mask, getattr(second, name), of_first)
    return replace(first, **parts)


def check_has_local_family(posterior: Distribution, name: str, purpose: str) -> None:
    """ConfigError unless the best posterior of this family can be searched for each example."""
    if type(posterior) not in LOCAL_FAMILIES:
        raise ConfigError(
            f"{purpose} need an encoder with a normal posterior, got model.posterior {name!r}; accepted: "
            "'diagonal-normal', 'low-rank-normal' and 'full-normal'."
        )


LOCAL_FAMILIES: dict[type[Distribution], LocalFamily] = {
    DiagonalNormal: LocalFamily(lambda normal: 2 * normal.mean.shape[-1], step_diagonal),
    LowRankNormal: LocalFamily(lambda normal: normal.mean.shape[-1] * (2 + normal.factor.shape[-1]), step_low_rank),
    FullNormal: LocalFamily(lambda normal: normal.mean.shape[-1] * (normal.mean.shape[-1] + 3) // 2, step_full),
}

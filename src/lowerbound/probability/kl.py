"""KL divergences from posteriors to priors in closed form: a table by pair of distributions, and register_kl.

For a pair that is not in the table, rate 'auto' uses the Monte Carlo estimate.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.errors import ConfigError
from lowerbound.probability.autoregressive_prior import AutoregressiveCodes
from lowerbound.probability.codes import ChosenCodes, UniformCodes, rate_of_codes
from lowerbound.probability.distributions import DiagonalNormal, Distribution
from lowerbound.probability.low_rank_normal import LowRankNormal
from lowerbound.probability.normals import FullNormal
from lowerbound.probability.one_hot import CategoricalCodes, RelaxedCodes
from lowerbound.probability.simplex import LogisticNormal
from lowerbound.probability.sphere import PowerSpherical, UniformOnSphere, log_area

Divergence = Callable[[Any, Any], Float[Tensor, "*batch"]]


def has_closed_form_kl(posterior: Distribution, prior: Distribution) -> bool:
    """Whether the table has a closed form for this pair."""
    return (type(posterior), type(prior)) in KL


def has_elementwise_kl(posterior: Distribution, prior: Distribution) -> bool:
    """Whether the KL is a sum over latents: both distributions are independent across latents."""
    return isinstance(posterior, DiagonalNormal) and isinstance(prior, DiagonalNormal)


def kl_divergence(posterior: Distribution, prior: Distribution) -> Float[Tensor, "*batch"]:
    """KL(q || p) in nats, in closed form; ConfigError if there is none."""
    if not has_closed_form_kl(posterior, prior):
        raise _no_closed_form(posterior, prior)
    divergence: Float[Tensor, "*batch"] = KL[type(posterior), type(prior)](posterior, prior)
    return divergence


def elementwise_kl(posterior: Distribution, prior: Distribution) -> Float[Tensor, "*batch latent"]:
    """KL(q || p) of each latent, in nats; ConfigError unless both are diagonal normals.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114, Appendix B, for two normals.
    """
    if not (isinstance(posterior, DiagonalNormal) and isinstance(prior, DiagonalNormal)):
        raise _no_closed_form(posterior, prior)
    log_ratio = posterior.log_variance - prior.log_variance
    squared = (posterior.mean - prior.mean) ** 2 * torch.exp(-prior.log_variance)
    return 0.5 * (log_ratio.exp() + squared - 1 - log_ratio)


def diagonal_to_diagonal(posterior: DiagonalNormal, prior: DiagonalNormal) -> Float[Tensor, "*batch"]:
    """The sum over latents of `elementwise_kl`."""
    return posterior.sum_event(elementwise_kl(posterior, prior))


def full_to_diagonal(posterior: FullNormal, prior: DiagonalNormal) -> Float[Tensor, "*batch"]:
    """KL(q || p) for q with covariance L Lᵀ; its trace and determinant come from the rows and the diagonal of L.

    Source: Rezende, Mohamed and Wierstra, "Stochastic Backpropagation", arXiv:1401.4082, Appendix B.3.
    """
    log_ratio = posterior.log_diagonal * 2 - prior.log_variance
    squared = (posterior.mean - prior.mean) ** 2 + posterior.variance
    return posterior.sum_event(0.5 * (squared * torch.exp(-prior.log_variance) - 1 - log_ratio))


def low_rank_to_diagonal(posterior: LowRankNormal, prior: DiagonalNormal) -> Float[Tensor, "*batch"]:
    """KL(q || p) for q with covariance S (I + V Vᵀ) S, by the matrix determinant lemma."""
    squared = (posterior.mean - prior.mean) ** 2 + posterior.variance
    traces = posterior.sum_event(squared * torch.exp(-prior.log_variance) - 1 + prior.log_variance)
    return 0.5 * (traces - posterior.log_determinant)


def between_codes(posterior: CategoricalCodes, prior: CategoricalCodes) -> Float[Tensor, "*batch"]:
    """The sum over groups of Σ_k q_k log(q_k / p_k)."""
    log_ratio = posterior.log_probabilities - prior.log_probabilities
    return (posterior.log_probabilities.exp() * log_ratio).flatten(-2).sum(-1)


def between_logistic_normals(posterior: LogisticNormal, prior: LogisticNormal) -> Float[Tensor, "*batch"]:
    """That of the two normals: a KL divergence does not depend on the coordinates."""
    return diagonal_to_diagonal(posterior.normal, prior.normal)


def power_spherical_to_uniform(posterior: PowerSpherical, prior: UniformOnSphere) -> Float[Tensor, "*batch"]:
    """KL(q || p), the logarithm of the sphere's surface area minus the entropy of q.

    Source: De Cao and Aziz, "The Power Spherical distribution", arXiv:2006.04437, Equation 19.
    """
    return log_area(len(prior.origin)) - posterior.entropy()


def register_kl(posterior: type[Distribution], prior: type[Distribution], divergence: Divergence) -> None:
    """Add the closed form of KL(q || p) in nats for two distributions, such as those of your own parts.

    Rate 'auto' then uses it. ConfigError if the pair already has one.
    """
    for given in (posterior, prior):
        if not (isinstance(given, type) and issubclass(given, Distribution)):
            raise ConfigError(
                f"register_kl needs two classes of distributions, what a posterior and a prior return; got {given!r}."
            )
    if (posterior, prior) in KL:
        raise ConfigError(f"KL({posterior.__name__} || {prior.__name__}) already has a closed form.")
    KL[posterior, prior] = divergence


def _no_closed_form(posterior: Distribution, prior: Distribution) -> ConfigError:
    pair = f"KL({type(posterior).__name__} || {type(prior).__name__})"
    return ConfigError(f"{pair} has no closed form; use objective.rate 'monte-carlo' or 'auto'.")


KL: dict[tuple[type[Distribution], type[Distribution]], Divergence] = {
    (DiagonalNormal, DiagonalNormal): diagonal_to_diagonal,
    (FullNormal, DiagonalNormal): full_to_diagonal,
    (LowRankNormal, DiagonalNormal): low_rank_to_diagonal,
    (PowerSpherical, UniformOnSphere): power_spherical_to_uniform,
    (CategoricalCodes, CategoricalCodes): between_codes,
    (RelaxedCodes, CategoricalCodes): between_codes,
    (LogisticNormal, LogisticNormal): between_logistic_normals,
    (ChosenCodes, UniformCodes): rate_of_codes,
    (ChosenCodes, AutoregressiveCodes): rate_of_codes,
}

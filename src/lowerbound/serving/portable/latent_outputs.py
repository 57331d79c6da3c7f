"""Latents in exported parts: outputs of the posterior, its draws as functions of noise, and densities of the prior."""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.errors import UsageError
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import DiagonalNormal, Distribution, PointMass
from lowerbound.probability.hierarchy import HierarchicalNormal
from lowerbound.probability.iaf_posterior import InverseAutoregressiveNormal
from lowerbound.probability.normals import FullNormal, MixtureOfNormals
from lowerbound.probability.one_hot import CategoricalCodes, one_hot_of
from lowerbound.probability.simplex import LogisticNormal, on_simplex
from lowerbound.probability.summaries import summary_of

LOG_2_PI = math.log(2 * math.pi)

LEAST_UNIFORM = 1e-7
"""Distance that the uniform numbers of a Gumbel draw keep from 0 and 1."""

Draw = tuple[Float[Tensor, "batch latent"], Float[Tensor, " batch"]]


def posterior_outputs(posterior: Distribution) -> dict[str, Tensor]:
    """What describes q(z|x): the tensors of `summary_of`, and `scale_tril` for a full covariance; `code` for a point
    mass."""
    if isinstance(posterior, PointMass):
        return {"code": posterior.mean}
    if isinstance(posterior, DiagonalNormal):
        return {"mean": posterior.mean, "log_variance": posterior.log_variance}
    full = {"scale_tril": posterior.scale_tril} if isinstance(posterior, FullNormal) else {}
    return {**summary_of(posterior), **full}


def reparameterise(posterior: Distribution, noise: Float[Tensor, "batch number"]) -> Draw:
    """The draw z of standard normal noise, and log q(z|x) in nats."""
    return REPARAMETERISED[type(posterior)](posterior, noise)


def prior_log_density(prior: Distribution, z: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
    """log p(z) in nats."""
    if isinstance(prior, MixtureOfNormals):
        # Without the blocks of its own log_prob, which would limit the size of an exported batch.
        log_densities = prior.components.log_prob(z.unsqueeze(-2)) + prior.logits.log_softmax(0)
        return log_densities.logsumexp(-1)
    return prior.log_prob(z)


def check_posterior(model: VAE) -> None:
    """UsageError for a posterior that is not in REPARAMETERISED."""
    if type(model.posterior_of_zeros()) not in REPARAMETERISED:
        name = model.config.posterior or type(model.posterior).__name__
        raise UsageError(
            f"draws of posterior {name!r} cannot be exported: {REASONS.get(name, UNKNOWN)}; draw them from the "
            "encoder's outputs in your own program, or train a model whose draws can be exported: model.posterior "
            f"{', '.join(WITH_DRAWS)}."
        )


def _diagonal(posterior: DiagonalNormal, noise: Tensor) -> Draw:
    z = posterior.mean + posterior.standard_deviation * noise
    return z, _log_density(noise) - 0.5 * posterior.log_variance.sum(-1)


def _codes(posterior: CategoricalCodes, noise: Tensor) -> Draw:
    uniform = (0.5 * (1 + torch.erf(noise / math.sqrt(2)))).clamp(LEAST_UNIFORM, 1 - LEAST_UNIFORM)
    gumbel = -(-uniform.log()).log()
    z = one_hot_of(posterior.logits + gumbel.reshape_as(posterior.logits)).flatten(-2)
    return z, (z * posterior.logits.log_softmax(-1).flatten(-2)).sum(-1)


def _on_simplex(posterior: LogisticNormal, noise: Tensor) -> Draw:
    normal = posterior.normal
    z = on_simplex(normal.mean + normal.standard_deviation * noise)
    return z, posterior.log_prob(z)


def noise_size(model: VAE) -> int:
    """How many normal numbers a draw from q(z|x) is made of."""
    posterior = model.posterior_of_zeros()
    return model.latent_dim - 1 if isinstance(posterior, LogisticNormal) else model.latent_dim


def _full(posterior: FullNormal, noise: Tensor) -> Draw:
    z = posterior.mean + (posterior.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
    # By the noise: ONNX has no operator that solves a triangular system.
    return z, _log_density(noise) - posterior.log_diagonal.sum(-1)


def _flow(posterior: InverseAutoregressiveNormal, noise: Tensor) -> Draw:
    draws = posterior.of_noise(noise.unsqueeze(0))
    assert draws.log_density is not None
    return draws.value[0], draws.log_density[0]


def _log_density(noise: Tensor) -> Float[Tensor, " batch"]:
    return -0.5 * (noise.square() + LOG_2_PI).sum(-1)


def _by_level(posterior: HierarchicalNormal, noise: Tensor) -> Draw:
    z = posterior.moved(noise.unsqueeze(0))[0]
    return z, posterior.log_prob(z).to(z.dtype)


REPARAMETERISED: dict[type[Distribution], Callable[[Any, Tensor], Draw]] = {
    DiagonalNormal: _diagonal,
    FullNormal: _full,
    CategoricalCodes: _codes,
    LogisticNormal: _on_simplex,
    InverseAutoregressiveNormal: _flow,
    HierarchicalNormal: _by_level,
}
"""Families whose draws are functions of standard normal noise."""

WITH_DRAWS = ("diagonal-normal", "full-normal", "iaf", "logistic-normal", "gumbel-softmax")
"""Their posteriors."""

REASONS = {
    "low-rank-normal": "they take more numbers of noise than there are latents",
    **dict.fromkeys(("vq", "residual-vq", "fsq"), "they take no noise, and are the code that the encoder gives"),
    "power-spherical": "they need the inverse of a distribution function that ONNX lacks",
}
UNKNOWN = "they are not a known function of one number of normal noise for each latent"

"""bound_terms(): log p(x), ELBO and the KL divergence between them, for each example.

    log p(x) = ELBO + KL(q(z|x) || p(z|x)),   ELBO = -(distortion + rate)

log p(x) is integrated where that is possible, which takes at most three real latents; elsewhere it is replaced by the
importance-weighted bound of many draws, which lies below it.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lowerbound.data.batches import scaled
from lowerbound.data.examples import Examples
from lowerbound.evaluation.importance import CHUNK, log_weights
from lowerbound.evaluation.lattice import CELLS_PER_AXIS
from lowerbound.evaluation.quadrature import integrate
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.numerics import log_mean_exp
from lowerbound.foundation.seeding import content_noise
from lowerbound.models.vae import VAE
from lowerbound.objectives.terms import estimate_terms

BATCH_SIZE = 50

EXACT, IMPORTANCE_WEIGHTED = "exact", "importance-weighted"
"""How log p(x) was found."""


@dataclass(frozen=True, eq=False)
class BoundTerms:
    """The terms of the bound of each example, in nats."""

    elbo: Float[np.ndarray, " n"]
    elbo_standard_error: Float[np.ndarray, " n"]  # of the mean over draws
    distortion: Float[np.ndarray, " n"]
    rate: Float[np.ndarray, " n"]
    log_evidence: Float[np.ndarray, " n"]
    is_exact: Bool[np.ndarray, " n"]  # within 0.01 nats; elsewhere a lower bound or, if `method` is exact, a rough sum
    method: str  # EXACT or IMPORTANCE_WEIGHTED
    num_draws: int  # from the posterior, for each example

    @property
    def kl_to_posterior(self) -> Float[np.ndarray, " n"]:
        """KL(q(z|x) || p(z|x)) = log p(x) - ELBO; too small by the unknown rest where log p(x) is a lower bound."""
        found: np.ndarray = self.log_evidence - self.elbo
        return found


def bound_terms(
    model: VAE, examples: Examples, num_draws: int = 256, seed: int = 0, device: torch.device | str = "cpu"
) -> BoundTerms:
    """Terms of the bound of each example from `num_draws` draws of its posterior, and its log p(x).

    The noise is seeded from an example's values, so its terms do not depend on the other examples. ConfigError for a
    deterministic autoencoder or a conditional model, and for fewer than two draws.
    """
    _refuse(model, num_draws)
    # All at once: pixels that are redrawn on every pass must be the same for both sides of the identity.
    parts = scaled(examples).to(device, next(model.parameters()).dtype).split(BATCH_SIZE)
    terms = [estimate_terms(model, x, content_noise(x, seed, "bound terms"), num_draws) for x in parts]
    evidence = [log_evidence_of(model, x, num_draws, seed) for x in parts]
    return BoundTerms(
        elbo=_joined([one.elbo for one in terms]),
        elbo_standard_error=_joined([one.elbo_standard_error for one in terms]),
        distortion=_joined([one.distortion for one in terms]),
        rate=_joined([one.rate for one in terms]),
        log_evidence=_joined([value for value, _ in evidence]),
        is_exact=np.concatenate([is_exact.cpu().numpy() for _, is_exact in evidence]),
        method=EXACT if not why_no_integral(model) else IMPORTANCE_WEIGHTED,
        num_draws=num_draws,
    )


def why_no_integral(model: VAE) -> str:
    """Why log p(x) cannot be integrated; empty if it can."""
    if model.why_not_real:
        return model.why_not_real
    most = max(CELLS_PER_AXIS)
    if model.latent_dim > most:
        return f"integration takes at most {most} latents, and the model has {model.latent_dim}"
    return ""


def log_evidence_of(
    model: VAE, x: Float[Tensor, "batch *event"], num_draws: int, seed: int
) -> tuple[Float[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """log p(x) by integration, or its importance-weighted bound; and whether it is exact."""
    if why_no_integral(model):
        weights = log_weights(model, x, num_draws, content_noise(x, seed, "importance"), CHUNK)
        bound = log_mean_exp(weights, dim=0)
        return bound, torch.zeros(len(x), dtype=torch.bool)
    found = integrate(model, x)
    return found.log_evidence, found.has_converged


def kl_by_draws(
    model: VAE, x: Float[Tensor, "1 *event"], log_evidence: float, num_draws: int, seed: int
) -> tuple[float, float]:
    """KL(q(z|x) || p(z|x)) of one example as the mean of log q(z|x) - log p(z|x) over draws, and its standard error.

    Unlike the difference of log p(x) and ELBO, it checks their identity: its draws are new, and it uses no closed form.
    """
    weights = log_weights(model, x, num_draws, content_noise(x, seed, "kl by draws"), CHUNK)[:, 0]
    error = float(weights.std(correction=1)) / math.sqrt(num_draws)
    return log_evidence - float(weights.mean()), error


def _joined(parts: list[Tensor]) -> Float[np.ndarray, " n"]:
    found: np.ndarray = torch.cat([part.double().cpu() for part in parts]).numpy()
    return found


def _refuse(model: VAE, num_draws: int) -> None:
    if model.is_deterministic:
        raise ConfigError("a point-mass posterior has no ELBO and no log p(x); train with another model.posterior.")
    if model.takes_context:
        raise ConfigError("the model is conditional; terms of the bound are implemented for models without a context.")
    if num_draws < 2:
        raise ConfigError(f"terms of the bound need at least 2 draws, got {num_draws}.")

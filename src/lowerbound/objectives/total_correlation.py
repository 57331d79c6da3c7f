"""total_correlation_of: KL(q(z) || prod_d q(z_d)) of the aggregate posterior over N examples, from a batch of B.

Each draw's aggregate densities are estimated from the batch: its own posterior with weight 1/N, and each of the other
B - 1 posteriors with weight (N - 1) / (N (B - 1)), so that both densities are unbiased. What remains is the bias of a
logarithm of a mean, which falls with B.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.errors import ConfigError
from lowerbound.probability.distributions import LOG_2_PI, DiagonalNormal, Distribution


def total_correlation_of(
    z: Float[Tensor, "batch latent"], posterior: Distribution, num_examples: int
) -> Float[Tensor, ""]:
    """The estimate for one draw from each posterior of a batch out of `num_examples` examples, in nats.

    ConfigError unless the posterior is a diagonal normal; 0 for fewer than two examples.

    Source: Chen et al., "Isolating Sources of Disentanglement in VAEs", arXiv:1802.04942, Equation 2 and Appendix C.2.
    The weights of its published code are not used: the one of a draw's own posterior lands on another pair.
    """
    posterior = check_has_independent_latents(posterior, type(posterior).__name__)
    if len(z) < 2:
        return z.new_zeros(())
    elementwise = _log_density_table(z, posterior)
    weights = _log_weights(z, max(num_examples, len(z)))
    log_joint = (elementwise.sum(-1) + weights).logsumexp(1)
    log_product = (elementwise + weights.unsqueeze(-1)).logsumexp(1).sum(-1)
    return (log_joint - log_product).mean()


def check_has_independent_latents(posterior: Distribution, came: str) -> DiagonalNormal:
    """The posterior, which must be a diagonal normal; ConfigError that says what `came` instead."""
    if isinstance(posterior, DiagonalNormal):
        return posterior
    raise ConfigError(
        f"penalty 'total-correlation' needs a posterior whose latents are independent, got {came}; use model.posterior "
        "'diagonal-normal', or penalty 'factor'."
    )


def _log_weights(z: Float[Tensor, "batch latent"], num_examples: int) -> Float[Tensor, "batch batch"]:
    """Logarithms of the weights of every posterior (column) in the aggregate density at every draw (row)."""
    size = len(z)
    weights = torch.full((size, size), (num_examples - 1) / (num_examples * (size - 1)), dtype=z.dtype, device=z.device)
    return weights.fill_diagonal_(1 / num_examples).log()


def _log_density_table(
    z: Float[Tensor, "batch latent"], posterior: DiagonalNormal
) -> Float[Tensor, "batch batch latent"]:
    """log q(z_id | x_j) of every draw's latents under every posterior."""
    log_variance = posterior.log_variance.expand_as(posterior.mean)
    squared = (z.unsqueeze(1) - posterior.mean).square() * torch.exp(-log_variance)
    return -0.5 * (LOG_2_PI + log_variance + squared)

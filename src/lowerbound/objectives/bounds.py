"""Bounds on log p(x) from several draws: ELBO, IWAE, MIWAE, CIWAE, PIWAE, Rényi and thermodynamic.

A bound maps log-weights, log w_k = log p(x|z_k) - rate_k with z_k ~ q(z|x), to one number per example, in nats. Higher
is tighter. Options are keyword-only arguments. Every row is a lower bound in expectation: no draw enters as if it were
an expectation under another distribution.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.numerics import log_mean_exp
from lowerbound.foundation.ranges import Range

Bound = Callable[..., Float[Tensor, " batch"]]


def elbo(log_weight: Float[Tensor, "sample batch"]) -> Float[Tensor, " batch"]:
    """Evidence lower bound (1/K) sum_k log w_k, in nats; more samples reduce its variance, not its gap.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114, Equation 2.
    """
    return log_weight.mean(dim=0)


def iwae(log_weight: Float[Tensor, "sample batch"]) -> Float[Tensor, " batch"]:
    """Importance-weighted bound log (1/K) sum_k w_k, in nats; tighter as K grows, equal to the ELBO at K = 1.

    Source: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", arXiv:1509.00519, Theorem 1.
    """
    return log_mean_exp(log_weight, dim=0)


def miwae(
    log_weight: Float[Tensor, "sample batch"],
    *,
    num_groups: Annotated[int, Range(1, 10_000), "Groups of draws, M."] = 8,
) -> Float[Tensor, " batch"]:
    """MIWAE(M, K): the mean over M groups of draws of the importance-weighted bound with K draws each.

    Source: Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better", arXiv:1802.04537, Section 5.
    """
    return log_mean_exp(log_weight.unflatten(0, (num_groups, -1)), dim=1).mean(dim=0)


def ciwae(
    log_weight: Float[Tensor, "sample batch"],
    *,
    elbo_weight: Annotated[float, Range(0, 1), "Weight of the ELBO, β."] = 0.05,
) -> Float[Tensor, " batch"]:
    """CIWAE(β): β of the ELBO and 1 - β of the importance-weighted bound, of the same draws.

    Source: Rainforth et al., arXiv:1802.04537, Section 5.
    """
    return elbo_weight * elbo(log_weight) + (1 - elbo_weight) * iwae(log_weight)


def piwae(
    log_weight: Float[Tensor, "sample batch"],
    *,
    num_groups: Annotated[int, Range(1, 10_000), "Groups of draws, M."] = 8,
) -> Float[Tensor, " batch"]:
    """PIWAE(M, K): the decoder maximises the bound of all M K draws, which this is, the encoder MIWAE(M, K).

    Source: Rainforth et al., arXiv:1802.04537, Section 5.
    """
    return iwae(log_weight)


def renyi(
    log_weight: Float[Tensor, "sample batch"], *, alpha: Annotated[float, Range(0, 100), "Order of the bound, α."] = 0.5
) -> Float[Tensor, " batch"]:
    """Variational Rényi bound 1/(1 - α) log (1/K) sum_k w_k^(1-α): the IWAE at α = 0, the ELBO at α = 1.

    A negative α is not accepted, because the bound is then an upper one, and its estimate is neither.

    Source: Li and Turner, "Rényi Divergence Variational Inference", arXiv:1602.02311, Section 4.
    """
    if alpha == 1:
        return elbo(log_weight)
    return log_mean_exp((1 - alpha) * log_weight, dim=0) / (1 - alpha)


def thermodynamic(
    log_weight: Float[Tensor, "sample batch"],
    *,
    num_partitions: Annotated[int, Range(1, 1000), "Terms of the sum."] = 5,
    first: Annotated[float, Range(1e-6, 0.999), "The first β above 0; the others are spaced evenly in log β."] = 0.025,
) -> Float[Tensor, " batch"]:
    """Thermodynamic variational objective: a left Riemann sum of E[log w] along q^(1-β) p^β, for β from 0 to 1.

    Expectations are self-normalised sums over the draws, with weights w^β. Their left sum is at most the
    importance-weighted bound of the same draws, so the estimate is a lower bound for every number of draws. The
    partition is 0, then `num_partitions` - 1 points spaced evenly in log β from `first`.

    Source: Masrani, Le and Wood, "The Thermodynamic Variational Objective", arXiv:1907.00031, Section 3.
    """
    left = partition(num_partitions, first).to(log_weight)
    widths = torch.diff(left, append=left.new_ones(1))
    weights = torch.softmax(left.view(-1, 1, 1) * log_weight, dim=1)
    return widths @ (weights * log_weight).sum(dim=1)


def partition(num_partitions: int, first: float) -> Float[Tensor, " point"]:
    """Left ends of the intervals of [0, 1]: 0, then evenly spaced in the logarithm from `first`, in float64."""
    zero = torch.zeros(1, dtype=torch.float64)
    if num_partitions == 1:
        return zero
    exponents = torch.arange(num_partitions - 1, dtype=torch.float64) / (num_partitions - 1)
    return torch.cat([zero, first ** (1 - exponents)])


BOUNDS: dict[str, Bound] = {
    "elbo": elbo,
    "iwae": iwae,
    "miwae": miwae,
    "ciwae": ciwae,
    "piwae": piwae,
    "renyi": renyi,
    "thermodynamic": thermodynamic,
}

ENCODER_BOUNDS: dict[str, Bound] = {"piwae": miwae}
"""The bound that the posterior's parameters maximise, where it is another one than the decoder's; same options."""

GROUPED = ("miwae", "piwae")
"""Bounds that divide the draws into `num_groups` groups of equal size."""

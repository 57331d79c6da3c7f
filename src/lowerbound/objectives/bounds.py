"""Bounds: the ELBO and the importance-weighted (IWAE) lower bound on log p(x).

A bound maps log-weights, log w_k = log p(x|z_k) - rate_k with z_k ~ q(z|x), to one number per example, in nats. Higher
is tighter.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.numerics import log_mean_exp

Bound = Callable[[Float[Tensor, "sample batch"]], Float[Tensor, " batch"]]


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


BOUNDS: dict[str, Bound] = {"elbo": elbo, "iwae": iwae}

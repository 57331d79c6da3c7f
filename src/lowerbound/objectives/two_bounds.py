"""two_bounds: a surrogate with the gradient of one bound for decoder and prior, and of another for the posterior."""

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.objectives.bounds import Bound
from lowerbound.probability.samples import PosteriorSamples

SMALLEST = 1e-20
"""Weights of the decoder's bound are at least this, so that the ratio of the two bounds' weights is finite."""


def two_bounds(
    samples: PosteriorSamples, generative: Bound, inference: Bound, rate_weight: float | Float[Tensor, ""] = 1.0
) -> Float[Tensor, " batch"]:
    """A surrogate for each example; its value has no meaning.

    With a_k and b_k the derivatives of the two bounds by log w_k, the decoder's and the prior's parameters get
    sum_k a_k d log p(x, z_k), and the posterior's parameters sum_k b_k d log w_k. One pass through the decoder serves
    both: what comes back to z_k is multiplied by b_k / a_k, since it is linear in the weight of its draw.
    """
    group = samples.joint
    # As a function of z: a density that was computed with the draw would not pass through it.
    log_posterior = group.posterior.log_prob(group.z)
    log_weight = samples.log_likelihood - rate_weight * (log_posterior - samples.log_prior)
    of_decoder = _derivative(generative, log_weight).clamp(min=SMALLEST)
    of_encoder = _derivative(inference, log_weight)
    if not samples.z.requires_grad:  # nothing is trained before the draws
        return (of_decoder * log_weight).sum(dim=0)
    ratio = of_encoder / of_decoder
    samples.z.register_hook(lambda gradient: gradient * ratio.unsqueeze(-1).to(gradient.dtype))
    # Through z, log q has the right weight by now; where it depends on the posterior's parameters directly, it lacks
    # the difference.
    direct = group.posterior.log_prob(samples.z.detach())
    return (of_decoder * log_weight - (of_encoder - of_decoder) * rate_weight * direct).sum(dim=0)


def _derivative(bound: Bound, log_weight: Float[Tensor, "sample batch"]) -> Float[Tensor, "sample batch"]:
    with torch.enable_grad():
        leaf = log_weight.detach().requires_grad_()
        (derivative,) = torch.autograd.grad(bound(leaf).sum(), leaf)
    return derivative

"""Levels to hold a model's numbers against, and where its rate goes."""

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.model import VAE


def grey_floor(x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
    """Least possible distortion of grey pixels under a Bernoulli likelihood: their binary entropy, in nats."""
    return (torch.special.entr(x) + torch.special.entr(1 - x)).flatten(1).sum(1)


def z_free_distortion(
    model: VAE, mean_image: Float[Tensor, " *event"], x: Float[Tensor, "batch *event"]
) -> Float[Tensor, " batch"]:
    """Distortion, in nats, of the best decoder that ignores z: it always predicts the mean training image."""
    distribution = model.likelihood(model.likelihood.raw_of_mean(mean_image).unsqueeze(0))
    log_likelihood: Tensor = distribution.log_prob(x)
    return -log_likelihood

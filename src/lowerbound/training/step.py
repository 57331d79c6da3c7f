"""One optimiser step on a batch, which stops with the likely cause if the loss is not finite."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.optim import Optimizer

from lowerbound.foundation.errors import NonFiniteLoss
from lowerbound.models.vae import VAE
from lowerbound.objectives.objective import Loss, Objective


def training_step(
    model: VAE,
    objective: Objective,
    optimiser: Optimizer,
    x: Float[Tensor, "batch *event"],
    noise: Generator,
    rate_scale: float = 1.0,
    max_gradient_norm: float = 0.0,
    precision: torch.dtype = torch.float32,
) -> Loss:
    """One step of `optimiser` on a batch; NonFiniteLoss, before any weight is changed, if the loss is not finite.

    `precision` is that of the networks' layers: bfloat16, or float32 for the type of the weights.
    """
    loss = loss_of(model, objective, x, noise, rate_scale, precision)
    if not math.isfinite(loss.value.item()):
        raise NonFiniteLoss(f"the loss became {loss.value.item()}: {_likely_cause(model, x, loss)}")
    descend(model, optimiser, loss, max_gradient_norm)
    return loss


def loss_of(
    model: VAE,
    objective: Objective,
    x: Float[Tensor, "batch *event"],
    noise: Generator,
    rate_scale: float | Float[Tensor, ""] = 1.0,
    precision: torch.dtype = torch.float32,
) -> Loss:
    """The loss of a batch, ready to be differentiated."""
    with torch.autocast(x.device.type, precision, enabled=precision != torch.float32):
        samples = model.sample_posterior(x, noise, objective.num_samples, objective.through_draws)
        return objective(samples, rate_scale)


def descend(model: VAE, optimiser: Optimizer, loss: Loss, max_gradient_norm: float = 0.0) -> None:
    """Backpropagate the loss and update the weights."""
    optimiser.zero_grad(set_to_none=True)
    loss.value.backward()
    if max_gradient_norm:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_gradient_norm)
    optimiser.step()


def totals(loss: Loss) -> Float[Tensor, "term"]:
    """Sums over the batch of objective, ELBO, rate and distortion, in nats and float64."""
    return torch.stack([loss.objective, loss.elbo, loss.rate, loss.distortion]).double().sum(1)


def _likely_cause(model: VAE, x: Tensor, loss: Loss) -> str:
    calmer = "lower training.learning_rate, or set training.max_gradient_norm"
    if not torch.isfinite(x).all():
        return "the data hold NaN or infinity."
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        return f"an earlier step made the weights non-finite; {calmer}."
    if not torch.isfinite(loss.rate).all():
        return f"the rate overflowed, the posterior has run away; {calmer}, or use objective.rate_warm_up."
    return f"the distortion overflowed, the decoder has run away; {calmer}."

"""One optimiser step on a batch, which stops with the likely cause if the loss is not finite."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.optim import Optimizer

from lowerbound.data.batches import Batch
from lowerbound.foundation.errors import NonFiniteLoss
from lowerbound.foundation.seeding import SharedNoise
from lowerbound.foundation.shares import Rows
from lowerbound.models.vae import VAE
from lowerbound.objectives.objective import Loss, Objective
from lowerbound.objectives.penalties import PenaltyContext
from lowerbound.objectives.semi_supervised import semi_supervised_loss
from lowerbound.objectives.state import ObjectiveState
from lowerbound.training.optimisers import decay_weights


def training_step(
    model: VAE,
    objective: Objective,
    optimiser: Optimizer,
    batch: Batch,
    noise: Generator,
    rate_scale: float = 1.0,
    max_gradient_norm: float = 0.0,
    precision: torch.dtype = torch.float32,
    num_examples: int = 0,
    objective_state: ObjectiveState | None = None,
    weight_decay: float = 0.0,
) -> Loss:
    """One step of `optimiser` on a batch; NonFiniteLoss, before any weight is changed, if the loss is not finite.

    `precision` is that of the networks' layers: bfloat16, or float32 for the type of the weights. `num_examples` is the
    size of the training split, which some penalties need; `objective_state` is updated after the weights.
    """
    loss = loss_of(model, objective, batch, noise, rate_scale, precision, num_examples, objective_state)
    if not math.isfinite(loss.value.item()):
        raise NonFiniteLoss(f"the loss became {loss.value.item()}: {likely_cause(model, batch.x, loss)}")
    descend(model, optimiser, loss, max_gradient_norm, weight_decay)
    model.posterior.update(noise)
    if objective_state is not None:
        objective_state.update()
    return loss


def loss_of(
    model: VAE,
    objective: Objective,
    batch: Batch,
    noise: Generator,
    rate_scale: float | Float[Tensor, ""] = 1.0,
    precision: torch.dtype = torch.float32,
    num_examples: int = 0,
    objective_state: ObjectiveState | None = None,
) -> Loss:
    """The loss of a batch, or of one rank's rows of it, ready to be differentiated; the noise is that of the batch."""
    if model.classifier is not None:
        with torch.autocast(batch.x.device.type, precision, enabled=precision != torch.float32):
            return semi_supervised_loss(model, objective, batch, noise, rate_scale)
    x, conditioned = batch.x, model.given(batch.context)
    chance = noise if batch.rows is None else SharedNoise(noise, batch.rows)
    with torch.autocast(x.device.type, precision, enabled=precision != torch.float32):
        samples = conditioned.sample_posterior(x, chance, objective.num_samples, objective.through_draws)
        context = PenaltyContext(conditioned, noise, num_examples, objective_state)
        return objective(samples, rate_scale, context)


def descend(
    model: VAE,
    optimiser: Optimizer,
    loss: Loss,
    max_gradient_norm: float = 0.0,
    weight_decay: float | Float[Tensor, ""] = 0.0,
) -> None:
    """Backpropagate the loss and update the weights."""
    optimiser.zero_grad(set_to_none=True)
    loss.value.backward()
    update(model, optimiser, max_gradient_norm, weight_decay)


def update(
    model: VAE,
    optimiser: Optimizer,
    max_gradient_norm: float = 0.0,
    weight_decay: float | Float[Tensor, ""] = 0.0,
) -> None:
    """Update the weights by their gradients; then those of layers decay at the rate of `weight_decay`."""
    if max_gradient_norm:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_gradient_norm)
    optimiser.step()
    if isinstance(weight_decay, Tensor) or weight_decay:
        decay_weights(model, 1 - optimiser.param_groups[0]["lr"] * weight_decay)


def totals(loss: Loss, rows: Rows | None = None) -> Float[Tensor, "term"]:
    """Sums over the batch of the loss's terms, in the order of `term_names`, in nats and float64.

    Zeros for `rows` that do not count.
    """
    sums = torch.stack(list(loss.terms().values())).double().sum(1)
    return sums if rows is None or rows.counts else torch.zeros_like(sums)


def term_names(objective: Objective, model: VAE) -> tuple[str, ...]:
    """Names of everything that is logged when a model is trained: the objective's terms, and rates of levels."""
    return (*objective.term_names, *model.level_names)


def likely_cause(model: VAE, x: Tensor, loss: Loss) -> str:
    """Why the loss of a batch is not finite, and what to change."""
    calmer = "lower training.learning_rate, or set training.max_gradient_norm"
    if not torch.isfinite(x).all():
        return "the data contain NaN or infinity."
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        return f"an earlier step made the weights non-finite; {calmer}."
    for name, value in loss.penalties.items():
        if not torch.isfinite(value):
            return f"penalty {name!r} is {value.item()}; lower its weight, or correct it."
    if not torch.isfinite(loss.rate).all():
        return f"the rate overflowed because the posterior diverged; {calmer}, or use objective.rate_warm_up."
    return f"the distortion overflowed because the decoder diverged; {calmer}."

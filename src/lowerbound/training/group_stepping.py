"""GroupStepping: training steps that several ranks take together, each on its rows of the batch.

The gradient of a batch is the sum over ranks of the gradients of their rows, weighted by their share of the batch. It
travels in one vector, in the order of the parameters, with the loss and the wish to stop at its end: a second exchange
in each step would cost as much as the first. Every rank then has the same gradient to the bit, takes the same decisions
and updates its own copy of the weights.

torch's DistributedDataParallel does the same for gradients. It is not used because it rearranges its vector after the
first step of a process: with three or more ranks a resumed run adds the same numbers in another order, and its weights
differ in the last bits.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lowerbound.data.batches import Batch
from lowerbound.data.examples import Examples
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import ConfigError, NonFiniteLoss
from lowerbound.foundation.seeding import SharedNoise, generator
from lowerbound.foundation.shares import WHOLE, Share
from lowerbound.models.vae import VAE
from lowerbound.objectives.objective import Loss, Objective
from lowerbound.training.step import likely_cause, loss_of, totals, update
from lowerbound.training.stepping import CheckedStepping


@dataclass(eq=False)
class GroupStepping(CheckedStepping):
    """Steps of all ranks; raises the same NonFiniteLoss on each, before any weight is changed."""

    is_asked_to_stop: bool = field(default=False, init=False)  # on any rank, before the last step

    def step(self, batch: Batch, learning_rate: float, rate_scale: float) -> None:
        state, rows = self.state, batch.rows
        assert rows is not None
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate
        loss = loss_of(
            state.model, self.objective, batch, state.noise, rate_scale, self.precision, self.num_examples
        )  # fmt: skip
        state.optimiser.zero_grad(set_to_none=True)
        (loss.value * rows.weight).backward()
        value, num_stopping = add_up_gradients(state.model, loss.value.detach() * rows.weight, self.should_stop())
        if not math.isfinite(value):
            raise NonFiniteLoss(f"the loss became {value}: {_cause_on_any_rank(state.model, batch, loss)}")
        update(state.model, state.optimiser, self.max_gradient_norm, self.weight_decay)
        state.model.posterior.update(state.noise, rows)
        state.totals += totals(loss, rows)
        self.is_asked_to_stop = num_stopping > 0
        self._drop_fading_moments()

    def is_stopping(self) -> bool:
        return self.is_asked_to_stop


def add_up_gradients(model: VAE, loss: Tensor, wants_to_stop: bool) -> tuple[float, float]:
    """Replace the gradients by their sums over ranks; the sum of losses, and how many ranks want to stop."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    last = torch.stack([loss.float(), torch.full_like(loss, wants_to_stop, dtype=torch.float32)])
    vector = torch.cat([*(gradient.flatten() for gradient in gradients), last.to(loss.device)])
    distributed.add_up(vector)
    *parts, of_loss, of_stop = vector.split([*(gradient.numel() for gradient in gradients), 1, 1])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    value, num_stopping = torch.cat([of_loss, of_stop]).tolist()
    return value, num_stopping


def _cause_on_any_rank(model: VAE, batch: Batch, loss: Loss) -> str:
    """The cause on the first rank whose loss is not finite: the others see nothing wrong."""
    is_finite = math.isfinite(loss.value.item())
    causes = distributed.texts("" if is_finite else likely_cause(model, batch.x, loss))
    return next(filter(None, causes), "the losses of all ranks are finite, and their sum is not.")


def check_can_be_shared(objective: Objective, batch_size: int, share: Share) -> None:
    """ConfigError for what several ranks cannot compute as one process does."""
    if share.is_whole:
        return
    if objective.is_of_batch:
        named = f"objective.penalties ({', '.join(objective.penalties)})"
        what = named if objective.penalties else f"objective.rate {objective.rate!r}"
        raise ConfigError(
            f"{what} needs the examples of a whole batch, of which each of several ranks has only a part; train in one "
            "process, or without it."
        )
    if batch_size < share.num_ranks:
        raise ConfigError(
            f"training.batch_size is {batch_size} for {share.num_ranks} ranks; each needs at least one example of a "
            "batch: raise it, or start fewer ranks."
        )


def check_can_learn(examples: Examples, share: Share) -> None:
    """ConfigError for a classifier that has no label to learn from, or on several ranks."""
    if not share.is_whole:
        raise ConfigError("a model with model.classifier is trained in one process, not on several ranks.")
    if examples.context is None or not len(examples.known_places):
        raise ConfigError("the training examples have no labels, and model.classifier learns from some; give them.")


def check_draws_can_be_shared(model: VAE) -> None:
    """ConfigError if the posterior is a family of your own without draws by row, which ranks need to share a batch."""
    if not distributed.share().is_whole:
        model.posterior_of_zeros().sample_by_row(SharedNoise(generator(0, "check"), WHOLE.rows(1)), 1)

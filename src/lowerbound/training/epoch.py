"""EpochLoop: the optimiser steps of one epoch, with their learning rates; every training loop is made of these."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from lowerbound.data.batches import Batches
from lowerbound.foundation.schedules import SCHEDULES, linear_warm_up
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.objectives.objective import Objective
from lowerbound.training.config import TrainingConfig
from lowerbound.training.group_stepping import GroupStepping
from lowerbound.training.optimisers import OPTIMISERS
from lowerbound.training.speed import choose_precision
from lowerbound.training.state import TrainingState
from lowerbound.training.step import term_names
from lowerbound.training.stepping import CheckedStepping, DeferredStepping, Stepping


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that was taken."""

    learning_rate: float
    rate_scale: float  # of the rate's warm-up, in [0, 1]


class EpochLoop:
    """Trains `state` on the batches of one epoch after another."""

    def __init__(
        self,
        state: TrainingState,
        objective: Objective,
        config: TrainingConfig,
        train: Batches,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.state, self.objective, self.config, self.train = state, objective, config, train
        self.stepping = _stepping(state, objective, config, train, should_stop)

    def steps(self) -> Iterator[Step]:
        """Take the remaining steps of the current epoch; after the last one the epoch still has to be ended."""
        state, num_batches = self.state, len(self.train)
        state.model.train()
        for batch in self.train.shuffled(self.config.seed, state.epoch, start=state.batch):
            step = Step(
                learning_rate=_learning_rate(self.config, state.step, num_batches),
                rate_scale=_rate_scale(self.objective, state.step, num_batches, self.config.num_epochs),
            )
            self.stepping.step(batch, step.learning_rate, step.rate_scale)
            state.step += 1
            state.batch += 1
            yield step

    @property
    def is_epoch_done(self) -> bool:
        """Whether all batches of the current epoch were used."""
        return self.state.batch == len(self.train)

    def end_epoch(self) -> None:
        """Count the epoch, and reset what is counted within one."""
        self.state.epoch += 1
        self.state.batch = 0
        self.state.totals.zero_()


def initial_state(
    model: VAE, objective: Objective, config: TrainingConfig, device: torch.device | str
) -> TrainingState:
    """The state before the first step; moves `model` to the device."""
    model.to(device)
    optimiser = OPTIMISERS[config.optimiser](model.parameters(), config)
    state = TrainingState(
        model=model,
        optimiser=optimiser,
        noise=generator(config.seed, "training", device),
        best_weights={},
        objective_state=objective.new_state(model.latent_dim, config.seed, device),
    )
    state.totals = torch.zeros(len(term_names(objective, model)), dtype=torch.float64, device=device)
    state.keep_best_weights()
    return state


def _stepping(
    state: TrainingState,
    objective: Objective,
    config: TrainingConfig,
    train: Batches,
    should_stop: Callable[[], bool],
) -> Stepping:
    device, num_examples = state.totals.device, train.num_examples
    precision = choose_precision(config.precision, device)
    is_fast = config.speed == "fast"
    if not train.share.is_whole:
        return GroupStepping(
            state, objective, config.max_gradient_norm, precision, num_examples, should_stop, config.weight_decay,
            is_fast=is_fast,
        )  # fmt: skip
    # What an objective or a posterior keeps from step to step is changed on the host; missing labels decide shapes.
    changes = state.model.posterior.is_updated or state.model.classifier is not None
    has_state = bool(state.objective_state.parts) or changes
    # Only Adam can skip a step without synchronising with the host, and a graph would repeat the first step's epsilon.
    if device.type == "cuda" and is_fast and config.optimiser == "adam" and not (config.adam_epsilon_hat or has_state):
        return DeferredStepping(
            state, objective, config.max_gradient_norm, precision, num_examples, should_stop, config.weight_decay
        )
    return CheckedStepping(
        state, objective, config.max_gradient_norm, precision, num_examples, should_stop, config.weight_decay,
        is_fast=is_fast,
    )  # fmt: skip


def _rate_scale(objective: Objective, step: int, steps_per_epoch: int, num_epochs: int) -> float:
    """The factor of the rate's warm-up, which starts again in each cycle."""
    steps_of_cycle = math.ceil(num_epochs * steps_per_epoch / objective.rate_cycles)
    return linear_warm_up(step % steps_of_cycle, objective.rate_warm_up * steps_per_epoch)


def _learning_rate(config: TrainingConfig, step: int, steps_per_epoch: int) -> float:
    factor = SCHEDULES[config.schedule](step, config.num_epochs * steps_per_epoch)
    return config.learning_rate * factor * linear_warm_up(step, config.warm_up * steps_per_epoch)

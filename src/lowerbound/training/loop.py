"""fit(): training as a recipe, read from top to bottom.

It yields Progress records and takes no callbacks: whoever iterates draws, logs, or stops. What is watched is the
objective at its final weights, without warm-up, on the watched split; the true ELBO is reported beside it. When it
ends, the model has the best weights that were seen.
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.data.batches import Batches
from lowerbound.data.sources import Splits
from lowerbound.foundation.errors import Interrupted, NonFiniteLoss
from lowerbound.foundation.progress import Progress, Terms
from lowerbound.foundation.schedules import SCHEDULES, linear_warm_up
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.objectives.objective import Objective
from lowerbound.training.checkpoint import Checkpoint, drop_checkpoints_after, save_checkpoint
from lowerbound.training.config import TrainingConfig
from lowerbound.training.optimisers import OPTIMISERS
from lowerbound.training.speed import choose_precision, computing
from lowerbound.training.state import NUM_TOTALS, TrainingState
from lowerbound.training.step import totals
from lowerbound.training.stepping import CheckedStepping, DeferredStepping, Stepping

WATCH_BATCH_SIZE = 500


def fit(
    model: VAE,
    splits: Splits,
    objective: Objective,
    config: TrainingConfig,
    *,
    device: torch.device | str = "cpu",
    checkpoints: Path | None = None,
    resume: Checkpoint | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Train `model` in place, yielding a record every `log_every` steps and at the end of each epoch.

    With a `checkpoints` folder the state is saved after each epoch, and `resume` continues from it bit for bit. When
    `should_stop` says so, the state is saved between two steps and Interrupted is raised.
    """
    objective.check_posterior(model.config.posterior)
    objective = objective.resolved(model.config.posterior, model.has_closed_form_kl)
    config = config.for_examples(len(splits.train))
    with computing(model, config.speed):
        yield from _epochs(model, splits, objective, config, torch.device(device), checkpoints, resume, should_stop)


def _epochs(
    model: VAE,
    splits: Splits,
    objective: Objective,
    config: TrainingConfig,
    device: torch.device,
    checkpoints: Path | None,
    resume: Checkpoint | None,
    should_stop: Callable[[], bool],
) -> Iterator[Progress]:
    train = Batches(splits.train, config.batch_size, device)
    watched = Batches(splits.validation, WATCH_BATCH_SIZE, device)
    state = _initial_state(model, config, device)
    if resume is not None:
        state.restore(resume.tensors, resume.state)
        if checkpoints is not None:
            drop_checkpoints_after(checkpoints, state.step)
    stepping = _stepping(state, objective, config)
    clock = _Clock(config, train, state)

    def save() -> None:
        if checkpoints is not None:
            stepping.check()
            state.seconds = clock.seconds()
            save_checkpoint(checkpoints, state.step, state.tensors(), state.numbers())

    while state.epoch < config.num_epochs and not _has_stalled(state, config):
        model.train()
        for x in train.shuffled(config.seed, state.epoch, start=state.batch):
            learning_rate = _learning_rate(config, state.step, len(train))
            rate_scale = linear_warm_up(state.step, objective.rate_warm_up * len(train))
            stepping.step(x, learning_rate, rate_scale)
            state.step += 1
            state.batch += 1
            if state.batch == len(train):
                break  # the epoch's record and checkpoint follow, with what was watched
            if state.step % config.log_every == 0:
                yield clock.progress(learning_rate, rate_scale, validation=None)
            if config.checkpoint_every and state.step % config.checkpoint_every == 0:
                save()
            if should_stop():
                save()
                raise Interrupted(f"stopped at step {state.step} of epoch {state.epoch + 1}.")
        stepping.check()
        validation = watch(model, objective, watched, config)
        if not math.isfinite(validation.objective):
            raise NonFiniteLoss(f"the watched objective became {validation.objective}; lower training.learning_rate.")
        _note_best(state, validation)
        progress = clock.progress(learning_rate, rate_scale, validation)
        state.epoch += 1
        state.batch = 0
        state.totals.zero_()
        yield progress
        save()
        if should_stop() and state.epoch < config.num_epochs:
            raise Interrupted(f"stopped after epoch {state.epoch}.")
    model.load_state_dict(state.best_weights)
    model.eval()


@torch.no_grad()
def watch(model: VAE, objective: Objective, batches: Batches, config: TrainingConfig) -> Terms:
    """The terms on the watched split at the objective's final weights; the same noise each time it is asked."""
    model.eval()
    noise = generator(config.seed, "watch", batches.values.device)
    sums = torch.zeros(NUM_TOTALS, dtype=torch.float64, device=batches.values.device)
    for x in batches:
        for _ in range(config.watch_draws):
            sums += totals(objective(model.sample_posterior(x, noise, objective.num_samples)))
    return _terms(sums, batches.num_examples * config.watch_draws)


class _Clock:
    """Turns the state into Progress records."""

    def __init__(self, config: TrainingConfig, train: Batches, state: TrainingState) -> None:
        self.config, self.train, self.state = config, train, state
        self.started = time.perf_counter()
        self.seconds_before = state.seconds
        self.steps_before = state.step

    def seconds(self) -> float:
        """Training time, earlier sittings included."""
        return self.seconds_before + time.perf_counter() - self.started

    def progress(self, learning_rate: float, rate_scale: float, validation: Terms | None) -> Progress:
        """The record for the state as it is, `state.epoch` not yet counted up."""
        state, elapsed = self.state, time.perf_counter() - self.started
        num_steps = self.config.num_epochs * len(self.train)
        num_done = state.step - self.steps_before
        num_seen = min(state.batch * self.config.batch_size, self.train.num_examples)
        return Progress(
            epoch=state.epoch + 1,
            num_epochs=self.config.num_epochs,
            step=state.step,
            num_steps=num_steps,
            learning_rate=learning_rate,
            rate_scale=rate_scale,
            train=_terms(state.totals, num_seen),
            validation=validation,
            is_best=validation is not None and state.best_epoch == state.epoch + 1,
            best_epoch=state.best_epoch,
            seconds=self.seconds(),
            examples_per_second=num_done * self.train.num_examples / len(self.train) / elapsed,
            seconds_left=elapsed / num_done * (num_steps - state.step),
        )


def _initial_state(model: VAE, config: TrainingConfig, device: torch.device | str) -> TrainingState:
    model.to(device)
    optimiser = OPTIMISERS[config.optimiser](model.parameters(), config)
    state = TrainingState(
        model=model, optimiser=optimiser, noise=generator(config.seed, "training", device), best_weights={}
    )
    state.totals = state.totals.to(device)
    state.keep_best_weights()
    return state


def _stepping(state: TrainingState, objective: Objective, config: TrainingConfig) -> Stepping:
    device = state.totals.device
    precision = choose_precision(config.precision, device)
    is_fast = config.speed == "fast"
    # Adam alone can pass over a step without asking the host, and a graph would repeat the first step's epsilon.
    if device.type == "cuda" and is_fast and config.optimiser == "adam" and not config.adam_epsilon_hat:
        return DeferredStepping(state, objective, config.max_gradient_norm, precision)
    return CheckedStepping(state, objective, config.max_gradient_norm, precision, is_fast)


def _learning_rate(config: TrainingConfig, step: int, steps_per_epoch: int) -> float:
    factor = SCHEDULES[config.schedule](step, config.num_epochs * steps_per_epoch)
    return config.learning_rate * factor * linear_warm_up(step, config.warm_up * steps_per_epoch)


def _note_best(state: TrainingState, validation: Terms) -> None:
    if validation.objective > state.best_objective:
        state.best_objective, state.best_epoch = validation.objective, state.epoch + 1
        state.epochs_without_improvement = 0
        state.keep_best_weights()
    else:
        state.epochs_without_improvement += 1


def _has_stalled(state: TrainingState, config: TrainingConfig) -> bool:
    return 0 < config.patience <= state.epochs_without_improvement


def _terms(sums: Tensor, num_examples: int) -> Terms:
    objective, elbo, rate, distortion = (sums / num_examples).tolist()
    return Terms(objective=objective, elbo=elbo, rate=rate, distortion=distortion)

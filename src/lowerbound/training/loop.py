"""The training loop: `fit` trains a model, `training_steps` is the same loop as an iterator of progress records.

The caller plots, logs, or stops. After each epoch the objective is evaluated with its final coefficients, without
warm-up, on the validation split; the ELBO is reported with it. At the end the model has the weights of the best epoch.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.data.batches import Batches
from lowerbound.data.examples import Examples
from lowerbound.data.sources import Splits
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import Interrupted, NonFiniteLoss
from lowerbound.foundation.progress import MeanTerms, Progress
from lowerbound.foundation.seeding import generator
from lowerbound.models.code_use import CodeUse, codes_of, count_uses, no_uses
from lowerbound.models.families import Families
from lowerbound.models.vae import VAE
from lowerbound.objectives.combinations import refuse_unfit_training
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.state import ObjectiveState
from lowerbound.training.checkpoint import Checkpoint, drop_checkpoints_after, save_checkpoint
from lowerbound.training.config import TrainingConfig
from lowerbound.training.epoch import EpochLoop, Step, initial_state
from lowerbound.training.group_stepping import check_can_be_shared, check_can_learn, check_draws_can_be_shared
from lowerbound.training.speed import computing
from lowerbound.training.state import TrainingState
from lowerbound.training.step import loss_of, term_names, totals

VALIDATION_BATCH_SIZE = 500

NUM_STARTING = 2000
"""Training examples that a posterior is prepared with; every rank encodes all of them."""


def fit(
    model: VAE,
    splits: Splits,
    objective: Objective | None = None,
    config: TrainingConfig | None = None,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[Progress], None] = lambda record: None,
) -> Progress:
    """Train `model` in place and return the record of its best epoch, whose weights it then has.

    `progress` receives a record every `log_every` steps and at the end of each epoch. NonFiniteLoss if the loss becomes
    NaN or infinite. Without an objective the ELBO is maximised.

    Examples:
        >>> import torch
        >>> splits = lb.load_data(lb.DataConfig(source="digits"))
        >>> model = lb.build_model(lb.ModelConfig(hidden=(32,)), (1, 8, 8), torch.Generator().manual_seed(0))
        >>> best = lb.fit(model, splits, config=lb.TrainingConfig(num_epochs=1, min_steps=0))
        >>> best.validation.elbo < 0
        True
    """
    records = training_steps(model, splits, objective or Objective(), config or TrainingConfig(), device=device)
    best = None
    for record in records:
        progress(record)
        best = record if record.is_best else best
    assert best is not None
    return best


def training_steps(
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
    """Train `model` in place while iterated, yielding a record every `log_every` steps and at the end of each epoch.

    With a `checkpoints` folder the state is saved after each epoch, and `resume` continues from it bit for bit. When
    `should_stop` returns true, the state is saved between two steps and Interrupted is raised. On several ranks that
    have joined (see `lowerbound.foundation.distributed`), each iterates its own copy, with the same records.
    """
    objective = objective.fitted_to(Families.of_model(model))
    config, share = config.for_examples(len(splits.train)), distributed.share()
    refuse_unfit_training(objective, config.batch_size, config.num_epochs)
    check_can_be_shared(objective, config.batch_size, share)
    check_draws_can_be_shared(model)
    if model.classifier is not None:
        check_can_learn(splits.train, share)
    with computing(model, config.speed):
        state = initial_state(model, objective, config, device)
        if resume is not None:
            _restore(state, resume, checkpoints)
        else:
            start_posterior(model, splits.train, config, device)
        num_labelled = config.labelled_per_batch if model.classifier is not None else 0
        train = Batches(splits.train, config.batch_size, device, share, num_labelled)
        validation = Batches(splits.validation, VALIDATION_BATCH_SIZE, device, share)
        yield from _train(EpochLoop(state, objective, config, train, should_stop), validation, checkpoints)


@torch.no_grad()
def start_posterior(model: VAE, examples: Examples, config: TrainingConfig, device: torch.device | str) -> None:
    """Prepare a posterior that is also changed without a gradient by encoder outputs of training examples."""
    if not model.posterior.is_updated:
        return
    stream = generator(config.seed, "posterior/start")
    model.eval()
    batches = Batches(examples.subsample(NUM_STARTING), VALIDATION_BATCH_SIZE, device)
    raw = [model.given(batch.context).raw_posterior(batch.x) for batch in batches]
    model.posterior.start(torch.cat(raw), stream, config.batch_size)


def _restore(state: TrainingState, resume: Checkpoint, checkpoints: Path | None) -> None:
    state.restore(resume.tensors, resume.state)
    if not distributed.is_writer():
        state.totals.zero_()  # a checkpoint has the sums over all ranks
    elif checkpoints is not None:
        drop_checkpoints_after(checkpoints, state.step)


def _train(loop: EpochLoop, validation: Batches, checkpoints: Path | None) -> Iterator[Progress]:
    """All epochs, in order."""
    state, config, clock, stepping = loop.state, loop.config, _Clock(loop), loop.stepping

    def save() -> None:
        if checkpoints is not None:
            stepping.check()
            state.seconds = clock.seconds()
            tensors = state.tensors() | {"totals": _over_ranks(state.totals, loop.train)}
            with distributed.together():  # it is on the disk before any rank goes on
                if distributed.is_writer():
                    save_checkpoint(checkpoints, state.step, tensors, state.numbers())

    while state.epoch < config.num_epochs and not _has_stalled(state, config):
        for step in loop.steps():
            if loop.is_epoch_done:
                break  # the epoch's record and checkpoint follow, with the validation terms
            if state.step % config.log_every == 0:
                yield clock.progress(step, validation=None)
            if config.checkpoint_every and state.step % config.checkpoint_every == 0:
                save()
            if stepping.is_stopping():
                save()
                raise Interrupted(f"stopped at step {state.step} of epoch {state.epoch + 1}.")
        stepping.check()
        terms = validate(
            state.model, loop.objective, validation, config, loop.train.num_examples, state.objective_state
        )
        if not math.isfinite(terms.objective):
            raise NonFiniteLoss(f"the validation objective became {terms.objective}; lower training.learning_rate.")
        _note_best(state, loop.objective.watched(terms))
        progress = clock.progress(step, terms)
        loop.end_epoch()
        yield progress
        save()
        if stepping.is_stopping() and state.epoch < config.num_epochs:
            raise Interrupted(f"stopped after epoch {state.epoch}.")
    state.model.load_state_dict(state.best_weights)
    state.model.eval()


@torch.no_grad()
def validate(
    model: VAE,
    objective: Objective,
    batches: Batches,
    config: TrainingConfig,
    num_examples: int,
    objective_state: ObjectiveState | None = None,
) -> MeanTerms:
    """The terms of the validation split with the objective's final coefficients and the same noise in each epoch."""
    model.eval()
    noise = generator(config.seed, "watch", batches.device)
    sums = torch.zeros(len(term_names(objective, model)), dtype=torch.float64, device=batches.device)
    posterior = codes_of(model)
    uses = None if posterior is None else no_uses(posterior, batches.device)
    for batch in batches:
        if uses is not None and (batch.rows is None or batch.rows.counts):
            count_uses(uses, model.given(batch.context).encode(batch.x))
        for _ in range(config.validation_draws):
            loss = loss_of(model, objective, batch, noise, num_examples=num_examples, objective_state=objective_state)
            sums += totals(loss, batch.rows)
    terms = _terms(objective, model, _over_ranks(sums, batches), batches.num_examples * config.validation_draws)
    if uses is None:
        return terms
    use = CodeUse.of(_over_ranks(uses, batches))
    return replace(terms, penalties={**terms.penalties, "codes-used": use.share, "code-perplexity": use.perplexity})


def _over_ranks(sums: Tensor, batches: Batches) -> Tensor:
    """Sums over this rank's rows of the batches, added up over ranks."""
    return sums if batches.share.is_whole else distributed.add_up(sums.clone())


class _Clock:
    """Measures training time, and makes the progress records."""

    def __init__(self, loop: EpochLoop) -> None:
        self.config, self.train, self.state, self.objective = loop.config, loop.train, loop.state, loop.objective
        self.started = time.perf_counter()
        self.seconds_before = self.state.seconds
        self.steps_before = self.state.step

    def seconds(self) -> float:
        """Training time, including that before the run was resumed."""
        return self.seconds_before + time.perf_counter() - self.started

    def progress(self, step: Step, validation: MeanTerms | None) -> Progress:
        """The record of the current state, before its epoch is counted."""
        state, elapsed = self.state, time.perf_counter() - self.started
        num_steps = self.config.num_epochs * len(self.train)
        num_done = state.step - self.steps_before
        num_seen = min(state.batch * self.config.batch_size, self.train.num_examples)
        return Progress(
            epoch=state.epoch + 1,
            num_epochs=self.config.num_epochs,
            step=state.step,
            num_steps=num_steps,
            learning_rate=step.learning_rate,
            rate_scale=step.rate_scale,
            train=_terms(self.objective, state.model, _over_ranks(state.totals, self.train), num_seen),
            validation=validation,
            is_best=validation is not None and state.best_epoch == state.epoch + 1,
            best_epoch=state.best_epoch,
            seconds=self.seconds(),
            examples_per_second=num_done * self.train.num_examples / len(self.train) / elapsed,
            seconds_left=elapsed / num_done * (num_steps - state.step),
        )


def _note_best(state: TrainingState, watched: float) -> None:
    if watched > state.best_objective:
        state.best_objective, state.best_epoch = watched, state.epoch + 1
        state.epochs_without_improvement = 0
        state.keep_best_weights()
    else:
        state.epochs_without_improvement += 1


def _has_stalled(state: TrainingState, config: TrainingConfig) -> bool:
    return 0 < config.patience <= state.epochs_without_improvement


def _terms(objective: Objective, model: VAE, sums: Tensor, num_examples: int) -> MeanTerms:
    means = dict(zip(term_names(objective, model), (sums / num_examples).tolist(), strict=True))
    penalties, levels = (
        {name: means.pop(name) for name in names} for names in (objective.extra_names, model.level_names)
    )
    return MeanTerms(**means, penalties=penalties, levels=levels)

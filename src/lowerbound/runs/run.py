"""`train`: one experiment from data to report, in a run directory of its own.

config.toml          the resolved settings, and the schema of the data
model.safetensors    the best weights, and the schema again
calibration.safetensors   anomaly scores of held-out examples, from which thresholds are computed
metrics.jsonl        one record for every hundred steps and every epoch
results.json         every number; results.safetensors contains the arrays behind the figures
report.html          the report, on one page; figures/ contains its figures as PNG
checkpoints/         the two newest training states
frames/              codes of test examples and decoded images at about twenty epochs, for the animation
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lowerbound.data.sources import Splits
from lowerbound.evaluation.anomaly_calibration import calibrate_scores
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.quick_evaluation import evaluate_quick
from lowerbound.evaluation.results import ProgressCallback, Results, read_results
from lowerbound.foundation import distributed
from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.errors import ConfigError, Interrupted, RunError, UsageError
from lowerbound.foundation.progress import Progress
from lowerbound.foundation.run_identity import CONFIG, MODEL, is_run, read_config
from lowerbound.foundation.storage import temporary_folder
from lowerbound.foundation.text_files import write_toml
from lowerbound.models.missing_labels import inferred_splits
from lowerbound.models.vae import DEFAULT_PRIOR, VAE
from lowerbound.objectives.rates import described
from lowerbound.reporting.report import write_report
from lowerbound.runs.earlier_files import replacing_model
from lowerbound.runs.experiment import Experiment, Settings, keyword_settings, merge, resolve, tables
from lowerbound.runs.finished_run import Run, finished_run, load_run
from lowerbound.runs.frame_keeping import FrameKeeper
from lowerbound.runs.free_directory import CHECKPOINTS, check_is_free, check_repeats
from lowerbound.runs.new_model import check_can_train, initial_model, model_to_restore
from lowerbound.runs.preparation import Prepared, choose_device, prepare
from lowerbound.runs.provenance import config_of, context_of, settings_without_places
from lowerbound.runs.ranks import announce_ranks, check_see_the_run, check_see_the_same
from lowerbound.runs.run_data import MEMORY, splits_in_memory
from lowerbound.runs.run_lock import writing_into
from lowerbound.runs.run_log import LOG, RunLog, read_epochs, read_log
from lowerbound.runs.threads import running_threads
from lowerbound.runs.tracking import Log, sinks_of, tracking
from lowerbound.runs.trained_model import CALIBRATION, TrainedModel
from lowerbound.training.checkpoint import Checkpoint, load_checkpoint, save_model
from lowerbound.training.loop import training_steps
from lowerbound.training.state import machine


@named_arguments
@dataclass(frozen=True)
class Callbacks:
    """Callbacks of a run; `should_stop` is called between training steps."""

    progress: Callable[[Progress], None] = lambda progress: None
    message: Callable[[str], None] = lambda message: None
    should_stop: Callable[[], bool] = lambda: False
    stage: ProgressCallback = lambda stage, done, total: None  # of an evaluation
    begin: Callable[[str], None] = lambda name: None  # of one of several runs, such as "run 2/6"
    log: Log | None = None  # trackers by name, and functions of a record; None: those of a run that is resumed

    def __post_init__(self) -> None:
        object.__setattr__(self, "log", sinks_of(self.log))

    def with_log(self, log: Log | None) -> "Callbacks":
        """The callbacks with another `log`, unless that is None."""
        return self if log is None else replace(self, log=log)


SILENT = Callbacks()

RELAXED = "draws: relaxed in training, where the ELBO is not a bound; codes in validation and evaluation"
"""Printed at the start for a posterior whose training draws are not those of its distribution."""


@dataclass(frozen=True, eq=False)
class Job:
    """A run in progress."""

    path: Path
    experiment: Experiment
    splits: Splits
    device: torch.device
    callbacks: Callbacks


def train(
    data: Any = None,
    labels: Any = None,
    *,
    factors: Any = None,
    config: Experiment | None = None,
    recipe: str | Path = "",
    settings: Settings | None = None,
    latent_dim: int | None = None,
    likelihood: str = "auto",
    beta: float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    command: str = "",
    log: Log | None = None,
    callbacks: Callbacks = SILENT,
) -> Run:
    """Train a model, evaluate it and write its report into the directory `out`.

    `data` is a named source, the path of a file or folder, or an object in memory: a numpy array, a tensor, a
    DataFrame, a torch Dataset, a list of PIL images, a sparse matrix, `Splits` (see `lowerbound.data.objects`), with
    `labels` if it has none of its own, and `factors` of variation if any are known: a table with a column for each, or
    an array of examples × factors.

    What is trained is decided by `config`, an Experiment that is taken as it is; else by `recipe`, a name or the path
    of a TOML file; else model and training are chosen to fit the data, and `callbacks.message` receives the choices
    and their reasons. `settings` override these, and keywords override both. A section of `settings` is a table or a
    dataclass: {"training": {"num_epochs": 5}} changes one key, {"training": TrainingConfig(num_epochs=5)} decides all
    keys of the section.

    `log` names experiment trackers ("tensorboard", "wandb", "mlflow") that are sent the records of training, and may
    contain functions that are called with each record, a Progress; what fails there is reported, and training goes on.

    Started by torchrun, the ranks train one model together, of which the first writes the run, and all return it.

    Without `out` the run is in a temporary directory until the program ends; `Run.save` keeps it. Raises UsageError
    if `out` is not empty, and DataError, ConfigError or NonFiniteLoss.

    Examples:
        >>> run = lb.train("digits", recipe="dense", epochs=2, out="runs/first")
        >>> run.results.score("elbo")
        Score(elbo ... nats, test, grey)
    """
    distributed.join()
    callbacks = of_writer(callbacks.with_log(log))
    if out is None and not distributed.share().is_whole:
        raise UsageError("training on several ranks needs `out`, a directory that all of them see.")
    if config is not None and recipe:
        raise UsageError("config and recipe are both given; give one of them.")
    in_memory = is_in_memory(data, labels, factors)
    keywords = keyword_settings(
        data=MEMORY if in_memory else None if data is None else os.fspath(data),
        latent_dim=latent_dim,
        likelihood=likelihood,
        beta=beta,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    given = merge(tables(settings or {}), keywords)
    experiment = resolve(config or str(recipe), given)

    def prepared() -> Prepared:
        return prepare(
            experiment,
            auto_below=None if config or recipe else given,
            message=callbacks.message,
            splits=splits_in_memory(data, labels, experiment.data, factors) if in_memory else None,
        )

    path = temporary_folder() if out is None else Path(out)
    return start_run(path, prepared, device, command, callbacks)


def is_in_memory(data: Any, labels: Any = None, factors: Any = None) -> bool:
    """Whether data are an object rather than the name of a source or a path; UsageError for labels or factors without
    such an object.
    """
    in_memory = data is not None and not isinstance(data, str | os.PathLike)
    for name, given in (("labels", labels), ("factors", factors)):
        if given is not None and not in_memory:
            raise UsageError(f"{name} are for data in memory; for a file or folder set data.{name}.")
    return in_memory


def of_writer(callbacks: Callbacks) -> Callbacks:
    """The callbacks of the rank that writes; the others are silent, but can be asked to stop."""
    return callbacks if distributed.is_writer() else Callbacks(should_stop=callbacks.should_stop)


def start_run(
    path: Path,
    prepared: Callable[[], Prepared],
    device: str = "auto",
    command: str = "",
    callbacks: Callbacks = SILENT,
    *,
    keeps: bool = False,
) -> Run:
    """Run an experiment in an unused directory; `prepared` is called once that is locked.

    With `keeps`, and when torchrun has restarted the ranks, the same experiment that was begun there is continued, or
    returned if it is finished; UsageError if another one is there.
    """
    distributed.join()
    if not path.is_dir():
        check_is_free(path)
    chosen = choose_device(device)
    with writing_into(path):
        with distributed.together():
            is_new = distributed.is_first_started(str(path)) and not (keeps and is_run(path))
            if is_new:
                check_is_free(path)
            ready = prepared()
            config = config_of(ready.experiment, ready.splits, command, ready.in_memory)
            check_repeats(path, config)
            _check_prior_is_trained(ready.experiment)
            job = Job(path, ready.experiment, ready.splits, chosen, of_writer(callbacks))
            announce_ranks(ready.experiment, job.callbacks.message)
        if not is_new and is_run(path):
            return finished_run(path) or continue_run(job, read_config(path))
        with distributed.together():
            model = initial_model(ready.experiment, ready.splits)
            check_can_train(model, ready.splits)
        if distributed.is_writer():
            distributed.note_start(str(path))
            write_toml(path / CONFIG, config)
        with _threads_of(job, model):
            return _carry_out(job, model)


def _check_prior_is_trained(experiment: Experiment) -> None:
    """ConfigError for a plain autoencoder with a prior that no part of its objective depends on."""
    model = experiment.model
    if model.posterior == "point-mass" and model.prior != DEFAULT_PRIOR and not experiment.objective.penalties:
        raise ConfigError(
            f"training a plain autoencoder does not use model.prior {model.prior!r}, which would keep its initial "
            "values: leave it out, and fit a prior to the trained autoencoder."
        )


def continue_run(job: Job, config: Mapping[str, Any]) -> Run:
    """Continue a run from its newest intact checkpoint, or from the start if it has none; `config` is written first."""
    folder = job.path / CHECKPOINTS
    with distributed.together():
        checkpoint = load_checkpoint(folder)
        if checkpoint is None and (job.path / MODEL).exists():
            raise RunError(f"{folder} contains no checkpoint of this finished run, so it cannot be resumed.")
        records = _records_until(checkpoint.state["step"], job) if checkpoint and distributed.is_writer() else []
        model = (model_to_restore if checkpoint else initial_model)(job.experiment, job.splits)
    check_see_the_same(folder, "no checkpoint" if checkpoint is None else f"step {checkpoint.state['step']}")
    with _threads_of(job, model, checkpoint):
        for message in _messages(checkpoint, job.device):
            job.callbacks.message(message)
        if distributed.is_writer():
            write_toml(job.path / CONFIG, config)
        return _carry_out(job, model, checkpoint, records)


def _records_until(last: int, job: Job) -> list[dict[str, Any]]:
    """The log's records up to step `last`; RunError if some are missing."""
    config = job.experiment.training
    per_epoch = math.ceil(len(job.splits.train) / config.batch_size)
    records = [record for record in read_log(job.path) if record["step"] <= last]
    expected = {step for step in range(1, last + 1) if step % config.log_every == 0 or step % per_epoch == 0}
    if missing := sorted(expected - {record["step"] for record in records}):
        raise RunError(
            f"{job.path / LOG} lacks the record of step {missing[0]}; restore it, or train again in another directory.",
            hint="out",
        )
    return records


def _messages(checkpoint: Checkpoint | None, device: torch.device) -> list[str]:
    if checkpoint is None:
        return ["no checkpoint yet: starting again from the first step"]
    messages = [f"skipped a checkpoint: {damage}" for damage in checkpoint.damaged]
    then, now = checkpoint.state["machine"], machine(device)
    changed = [f"{key} was {then.get(key)!r}, is {value!r}" for key, value in now.items() if then.get(key) != value]
    if changed:
        messages.append(f"the continuation is not bit-identical to an uninterrupted run: {'; '.join(changed)}")
    messages.append(f"resuming after step {checkpoint.state['step']}")
    return messages


def _threads_of(job: Job, model: VAE, checkpoint: Checkpoint | None = None) -> AbstractContextManager[None]:
    earlier = checkpoint.state["machine"]["threads"] if checkpoint else 0
    return running_threads(job.experiment, job.splits, model, job.device, job.callbacks.message, earlier)


def _carry_out(
    job: Job, model: VAE, checkpoint: Checkpoint | None = None, records: Iterable[Mapping[str, Any]] = ()
) -> Run:
    """Train a model, from a checkpoint with the log's records up to it, or from the start; evaluate it, and report."""
    likelihood, rate = job.experiment.model.likelihood, described(job.experiment.objective.rate)
    job.callbacks.message(f"rate: {rate}; likelihood: {likelihood}")
    if model.posterior.has_relaxed_draws:
        job.callbacks.message(RELAXED)
    _train(job, model, checkpoint, records)
    with distributed.together():  # the other ranks wait, however long the evaluation takes
        if distributed.is_writer():
            return _evaluate_trained(job, model)
    return load_run(job.path)


def _evaluate_trained(job: Job, model: VAE) -> Run:
    job = replace(job, splits=inferred_splits(job.splits, model))
    splits = job.splits
    assert splits.schema is not None
    with replacing_model(job.path, job.callbacks.message):
        save_model(job.path / MODEL, model, splits.schema, {"data_checksum": splits.checksum})
    evaluation, trained_with = job.experiment.evaluation, job.experiment.trained_with
    job.callbacks.message("evaluating and drawing the report" if evaluation.after_training else "drawing the report")
    history = read_epochs(job.path)
    _keeper(job, model).keep_final(history[-1]["best_epoch"])
    results = evaluate_quick(model, splits, evaluation, job.device, trained_with=trained_with)
    if evaluation.after_training:
        calibrate(job, model)
    return finish(job, TrainedModel(model, splits.schema, job.path), results, history)


def _keeper(job: Job, model: VAE) -> FrameKeeper:
    subject = Subject(model.to(job.device), job.splits, job.experiment.evaluation, "", job.device)
    return FrameKeeper(job.path, subject, job.callbacks.message)


def _train(job: Job, model: VAE, checkpoint: Checkpoint | None, earlier: Iterable[Mapping[str, Any]]) -> None:
    log = RunLog(job.path)
    if distributed.is_writer():
        log.rewrite(earlier)  # records of steps after the checkpoint will be written again
    check_see_the_run(job.path)
    frames = _keeper(job, model)
    frames.begin(0 if checkpoint is None else checkpoint.state["epoch"])
    steps = training_steps(
        model,
        job.splits,
        job.experiment.objective,
        job.experiment.training,
        device=job.device,
        checkpoints=job.path / CHECKPOINTS,
        resume=checkpoint,
        should_stop=job.callbacks.should_stop,
    )
    settings = settings_without_places(job.experiment)
    sinks = sinks_of(job.callbacks.log) if distributed.is_writer() else ()
    first_step = checkpoint.state["step"] + 1 if checkpoint else 1
    try:
        with tracking(sinks, job.path, settings, job.callbacks.message, first_step) as track:
            for progress in steps:
                if distributed.is_writer():
                    log.append(asdict(progress))
                frames.keep(progress)
                job.callbacks.progress(progress)
                track(progress)
    except Interrupted as stop:
        raise Interrupted(f"{stop} Resume the run in {job.path} to continue.", hint="resume", path=job.path) from None


def calibrate(job: Job, model: VAE) -> None:
    """Score held-out examples, so that anomaly scores have thresholds without the training data."""
    if job.splits.monitored == "validation" and not model.is_deterministic:
        calibrate_scores(model, job.splits.validation, job.device).write(job.path / CALIBRATION)


def finish(
    job: Job, model: TrainedModel, results: Results, history: tuple[dict[str, Any], ...], **context: bool
) -> Run:
    """Write results, with the history of training and their context, and the report."""
    about = context_of(job.path, job.experiment, job.splits, model.vae, job.device, history) | context
    for metric, reason in results.failures.items():
        job.callbacks.message(f"not measured: {metric} ({reason})")
    replace(results, context=about, history=history).write(job.path)
    written = read_results(job.path)
    write_report(written, job.path, job.callbacks.message)
    return Run(job.path, model, written, job.splits if job.experiment.data.source == MEMORY else None)

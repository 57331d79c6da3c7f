"""`train`: one experiment from data to report, in a run directory of its own.

config.toml          the resolved settings, and the schema of the data
model.safetensors    the best weights, and the schema again
calibration.safetensors   anomaly scores of held-out examples, from which thresholds are computed
metrics.jsonl        one record for every hundred steps and every epoch
results.json         every number; results.safetensors contains the arrays behind the figures
report.html          the report, on one page; figures/ contains its figures as PNG
checkpoints/         the two newest training states
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.batches import deviation_of, mean_of
from lowerbound.data.sources import Splits
from lowerbound.evaluation.anomaly_scores import calibrate_scores
from lowerbound.evaluation.quick_evaluation import data_convention, evaluate_quick
from lowerbound.evaluation.results import ProgressCallback, Results, read_results
from lowerbound.foundation.errors import Interrupted, RunError, UsageError
from lowerbound.foundation.progress import Progress
from lowerbound.foundation.run_identity import CONFIG, MODEL, identity_of, read_config, runs_in
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.storage import (
    check_is_no_dangling_link,
    check_is_utf8,
    copy_folder,
    temporary_folder,
    write_toml,
)
from lowerbound.foundation.text import pluralise
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE
from lowerbound.reporting.report import write_report
from lowerbound.runs.experiment import Experiment, Settings, keyword_settings, merge, resolve, tables
from lowerbound.runs.preparation import Prepared, choose_device, prepare
from lowerbound.runs.provenance import config_of, context_of
from lowerbound.runs.run_data import MEMORY, splits_in_memory
from lowerbound.runs.run_lock import LOCK, writing_into
from lowerbound.runs.run_log import LOG, RunLog, read_epochs
from lowerbound.runs.trained_model import CALIBRATION, TrainedModel
from lowerbound.training.checkpoint import Checkpoint, save_model
from lowerbound.training.loop import training_steps

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Callbacks:
    """Callbacks of a run; `should_stop` is called between training steps."""

    progress: Callable[[Progress], None] = lambda progress: None
    message: Callable[[str], None] = lambda message: None
    should_stop: Callable[[], bool] = lambda: False
    stage: ProgressCallback = lambda stage, done, total: None  # of an evaluation


SILENT = Callbacks()

RATES_IN_WORDS = {
    "analytic": "KL divergence in closed form",
    "monte-carlo": "log q(z|x) − log p(z) at each draw (Monte Carlo)",
    "none": "none, a plain autoencoder",
}
"""The rate in the training objective, as printed at the start."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run. Whatever takes the path of a run also takes a Run."""

    path: Path
    model: TrainedModel
    results: Results

    def save(self, out: str | Path) -> "Run":
        """Copy the run to the directory `out`, atomically; UsageError if `out` is not empty."""
        path = Path(out)
        check_is_free(path)
        copy_folder(self.path, path)
        return replace(self, path=path, model=replace(self.model, path=path))

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.results!r})"


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
    config: Experiment | None = None,
    recipe: str | Path = "",
    settings: Settings | None = None,
    latent_dim: int | None = None,
    likelihood: str = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    command: str = "",
    callbacks: Callbacks = SILENT,
) -> Run:
    """Train a model, evaluate it and write its report into the directory `out`.

    `data` is a named source, the path of a file or folder, or an object in memory: a numpy array, a tensor, a
    DataFrame, a torch Dataset, a list of PIL images, a sparse matrix, `Splits` (see `lowerbound.data.objects`), with
    `labels` if it has none of its own.

    What is trained is decided by `config`, an Experiment that is taken as it is; else by `recipe`, a name or the path
    of a TOML file; else model and training are chosen to fit the data, and `callbacks.message` receives the choices
    and their reasons. `settings` override these, and keywords override both. A section of `settings` is a table or a
    dataclass: {"training": {"num_epochs": 5}} changes one key, {"training": TrainingConfig(num_epochs=5)} decides all
    keys of the section.

    Without `out` the run is in a temporary directory until the program ends; `Run.save` keeps it. Raises UsageError
    if `out` is not empty, and DataError, ConfigError or NonFiniteLoss.
    """
    if config is not None and recipe:
        raise UsageError("config and recipe are both given; give one of them.")
    in_memory = data is not None and not isinstance(data, str | Path)
    if labels is not None and not in_memory:
        raise UsageError("labels are for data in memory; for a file or folder set data.labels.")
    keywords = keyword_settings(
        data=MEMORY if in_memory else None if data is None else str(data),
        latent_dim=latent_dim,
        likelihood=likelihood,
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
            splits=splits_in_memory(data, labels, experiment.data) if in_memory else None,
        )

    path = temporary_folder() if out is None else Path(out)
    return start_run(path, prepared, device, command, callbacks)


def start_run(
    path: Path, prepared: Callable[[], Prepared], device: str = "auto", command: str = "", callbacks: Callbacks = SILENT
) -> Run:
    """Run an experiment in an unused directory; `prepared` is called once that is locked."""
    if not path.is_dir():
        check_is_free(path)
    chosen = choose_device(device)
    with writing_into(path):
        check_is_free(path)
        ready = prepared()
        config = config_of(ready.experiment, ready.splits, command, ready.in_memory)
        _check_repeats(path, config)
        model = initial_model(ready.experiment, ready.splits)
        data_convention(model, ready.splits)
        write_toml(path / CONFIG, config)
        return carry_out(Job(path, ready.experiment, ready.splits, chosen, callbacks), model)


def check_is_free(path: Path) -> None:
    """UsageError if a run cannot start in a directory because it is not empty.

    A run that ended before its first checkpoint leaves nothing worth keeping, so its directory is free.
    """
    check_is_utf8(path)
    check_is_no_dangling_link(path)
    if path.exists() and (not path.is_dir() or (_entries(path) and not _is_unstarted(path))):
        if names := runs_in(path):
            raise UsageError(
                f"{path} is not empty: it contains {pluralise(len(names), 'run')}; choose another directory.",
                hint="out",
            )
        raise UsageError(
            f"{path} is not empty; choose another directory, or resume the run in it.", hint="occupied", path=path
        )


def _entries(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir() if entry.name != LOCK}


def _is_unstarted(path: Path) -> bool:
    """Whether a directory contains only what training writes before its first checkpoint."""
    entries = _entries(path)
    if CONFIG not in entries or entries - {CONFIG, LOG, CHECKPOINTS} or any(path.glob(f"{CHECKPOINTS}/*")):
        return False
    try:
        return bool(read_config(path))
    except RunError:
        return False


def _check_repeats(path: Path, config: Mapping[str, Any]) -> None:
    """UsageError if a directory contains the beginning of another run, which was killed before its first checkpoint."""
    identity = identity_of(path)
    if identity is not None and identity.id != config["run"]["id"]:
        raise UsageError(
            f"{path} contains the beginning of a run with other settings or data; choose another directory, resume "
            "that run, or remove the directory.",
            hint="occupied",
            path=path,
        )


def initial_model(experiment: Experiment, splits: Splits) -> VAE:
    """The model before training, initialised with the mean and standard deviation of the training data."""
    return _build(experiment, splits, mean_of(splits.train), deviation_of(splits.train))


def model_to_restore(experiment: Experiment, splits: Splits) -> VAE:
    """The same model, for weights that a checkpoint replaces: without the statistics of the data."""
    return _build(experiment, splits)


def _build(experiment: Experiment, splits: Splits, mean: Tensor | None = None, deviation: Tensor | None = None) -> VAE:
    weights = generator(experiment.training.seed, "initial weights")
    shape, columns = splits.train.event_shape, splits.train.columns
    return build_model(experiment.model, shape, weights, mean, deviation, columns=columns)


def carry_out(
    job: Job, model: VAE, checkpoint: Checkpoint | None = None, records: Iterable[Mapping[str, Any]] = ()
) -> Run:
    """Train a model, from a checkpoint with the log's records up to it, or from the start; evaluate it, and report."""
    job.callbacks.message(f"rate: {RATES_IN_WORDS[job.experiment.objective.rate]}")
    _train(job, model, checkpoint, records)
    splits = job.splits
    assert splits.schema is not None
    save_model(job.path / MODEL, model, splits.schema, {"data_checksum": splits.checksum})
    job.callbacks.message("evaluating and drawing the report")
    results = evaluate_quick(model, splits, job.experiment.evaluation, job.device)
    calibrate(job, model)
    return finish(job, TrainedModel(model, splits.schema, job.path), results, read_epochs(job.path))


def _train(job: Job, model: VAE, checkpoint: Checkpoint | None, earlier: Iterable[Mapping[str, Any]]) -> None:
    log = RunLog(job.path)
    log.rewrite(earlier)  # records of steps after the checkpoint will be written again
    records = training_steps(
        model,
        job.splits,
        job.experiment.objective,
        job.experiment.training,
        device=job.device,
        checkpoints=job.path / CHECKPOINTS,
        resume=checkpoint,
        should_stop=job.callbacks.should_stop,
    )
    try:
        for progress in records:
            log.append(asdict(progress))
            job.callbacks.progress(progress)
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
    return Run(job.path, model, written)

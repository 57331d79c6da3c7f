"""`reevaluate`, `diagnose_run`, `rewrite_report`: a finished run is evaluated, diagnosed or reported again."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from lowerbound.evaluation.diagnosis import diagnose
from lowerbound.evaluation.full_evaluation import evaluate_full
from lowerbound.evaluation.health_metrics import measure_health
from lowerbound.evaluation.over_ranks import divided
from lowerbound.evaluation.results import Finding, Results, read_results
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import ConfigError, Interrupted, RunError, UsageError
from lowerbound.foundation.run_identity import RunPath, path_of, read_config
from lowerbound.reporting.report import write_report
from lowerbound.runs.experiment import Settings, resolve
from lowerbound.runs.finished_run import Run
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run import SILENT, Callbacks, Job, calibrate, finish, of_writer
from lowerbound.runs.run_data import own_splits, read_stored, trained_with
from lowerbound.runs.run_lock import writing_into
from lowerbound.runs.run_log import read_epochs
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.training.checkpoint import load_model


def reevaluate(
    run: RunPath,
    settings: Settings | None = None,
    device: str = "auto",
    callbacks: Callbacks = SILENT,
    data: str = "",
) -> Run:
    """Run the full evaluation of a finished run, and update its results and report.

    `settings` may change the evaluation and the data directory; `data` is the new path of the run's data if they were
    moved.
    Annealing keeps its progress in RUN/annealing until the results are written, so that it can be interrupted.
    Several ranks, as torchrun starts them, divide ELBO, importance-weighted bounds and quadrature of the examples among
    them; ConfigError for annealing, which runs in one process.
    """
    distributed.join()
    for section in settings or {}:
        if section not in ("evaluation", "data"):
            raise ConfigError(f"{section} cannot be set for a trained model; accepted: evaluation, and data.data_dir.")
    path = path_of(run)
    experiment = resolve(read_stored(path).experiment, settings)
    if experiment.evaluation.num_annealed and not distributed.share().is_whole:
        raise ConfigError("annealing runs in one process; leave it out, or evaluate without torchrun.", hint="anneal")
    with writing_into(path):
        with distributed.together():
            splits = own_splits(path, data=data, data_dir=experiment.data.data_dir)
        return _reevaluate(Job(path, experiment, splits, choose_device(device), of_writer(callbacks)))


def _reevaluate(job: Job) -> Run:
    trained, history = load(job.path), read_epochs(job.path)
    model, checkpoints = trained.vae.to(job.device), job.path / "annealing"
    try:
        with divided():
            results = evaluate_full(
                model,
                job.splits,
                job.experiment.evaluation,
                job.device,
                checkpoints=checkpoints,
                progress=job.callbacks.stage,
                trained_with=job.experiment.trained_with,
            )
    except KeyboardInterrupt:
        if not checkpoints.exists():
            raise
        raise Interrupted(f"interrupted; progress is saved in {checkpoints}; evaluate again to continue.") from None
    with distributed.together():
        if distributed.is_writer():
            _write(job, trained, results, history)
    return Run(job.path, trained, read_results(job.path))


def _write(job: Job, trained: TrainedModel, results: Results, history: tuple[dict[str, Any], ...]) -> None:
    """Write the results, with thresholds if the run has none, and remove what annealing kept."""
    if not _is_calibrated(trained):
        calibrate(job, trained.vae)
    finish(job, trained, results, history, reevaluated=True)
    checkpoints = job.path / "annealing"
    for file in checkpoints.glob("images-from-*.safetensors") if not results.failures else ():
        file.unlink()
    with suppress(OSError):  # the user keeps files in it, or it was never made
        checkpoints.rmdir()


def _is_calibrated(model: TrainedModel) -> bool:
    try:
        return bool(model.calibration())
    except (RunError, UsageError):
        return False


def rewrite_report(run: RunPath) -> Path:
    """Write the report of a run from its results; raises as `read_results` does."""
    path = path_of(run)
    read_config(path)
    with writing_into(path):
        return write_report(read_results(path), path)


def diagnose_run(run: RunPath, data_dir: str = "", device: str = "auto", data: str = "") -> tuple[Finding, ...]:
    """The problems of a finished run, most serious first; empty for a healthy one.

    Examples:
        >>> [finding.name for finding in lb.diagnose("runs/dense")]
        [...]
    """
    path = path_of(run)
    splits = own_splits(path, data=data, data_dir=data_dir)
    chosen = choose_device(device)
    health = measure_health(
        load_model(path).to(chosen),
        splits,
        known=read_results(path).arrays,
        device=chosen,
        trained_with=trained_with(path),
    )
    return diagnose(health)

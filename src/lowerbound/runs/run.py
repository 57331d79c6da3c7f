"""A run: one experiment carried out in a directory of its own, from data to report.

config.toml          everything resolved, and the schema of the data
model.safetensors    the best weights, and the schema again
calibration.safetensors   what was measured on held-out examples, for thresholds of anomaly scores
metrics.jsonl        one record for each hundred steps and each epoch
results.json         every number; results.safetensors holds the arrays behind the figures
report.html          one page; figures/ holds its pictures as PNG
checkpoints/         the two newest training states
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from lowerbound.data.batches import deviation_of, mean_of
from lowerbound.data.sources import Splits
from lowerbound.evaluation.anomaly_scores import calibrated
from lowerbound.evaluation.diagnosis import diagnose
from lowerbound.evaluation.full_evaluation import evaluate_full
from lowerbound.evaluation.health_metrics import measure_health
from lowerbound.evaluation.quick_evaluation import data_convention, evaluate_quick
from lowerbound.evaluation.results import Finding, ProgressCallback, Results, read_results
from lowerbound.foundation.errors import ConfigError, Interrupted, RunError, UsageError
from lowerbound.foundation.progress import Progress
from lowerbound.foundation.run_identity import CONFIG, MODEL, identity_of, read_config, run_id, sealed
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.storage import (
    check_is_no_dangling_link,
    check_is_utf8,
    copy_folder,
    temporary_folder,
    write_toml,
)
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE
from lowerbound.reporting.report import write_report
from lowerbound.runs.experiment import Experiment, Settings, from_settings, merge
from lowerbound.runs.preparation import choose_device, keywords_as_settings, prepare
from lowerbound.runs.provenance import config_of, context_of
from lowerbound.runs.run_data import MEMORY, own_splits, read_stored, splits_in_memory
from lowerbound.runs.run_lock import LOCK, writing_into
from lowerbound.runs.run_log import LOG, RunLog, read_epochs, read_log
from lowerbound.runs.trained_model import CALIBRATION, TrainedModel, load
from lowerbound.training.checkpoint import Checkpoint, load_checkpoint, load_model, save_model
from lowerbound.training.config import TrainingConfig
from lowerbound.training.loop import fit
from lowerbound.training.state import machine

CHECKPOINTS = "checkpoints"

RESUMABLE = {("training", "num_epochs"), ("training", "min_steps"), ("data", "data_dir")}
"""Settings that may differ when a run is resumed: more epochs, and where the same data lie now."""


def check_is_free(path: Path) -> None:
    """UsageError where a directory that is to be written holds something already.

    A run that ended before its first checkpoint holds nothing yet.
    """
    check_is_utf8(path)
    check_is_no_dangling_link(path)
    if path.exists() and (not path.is_dir() or (_entries(path) and not _is_unstarted(path))):
        raise UsageError(f"{path} is not empty; choose another --out, or continue that run with --resume --out {path}.")


def _entries(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir() if entry.name != LOCK}


def _is_unstarted(path: Path) -> bool:
    """Whether a directory holds no more than a training writes before its first checkpoint."""
    entries = _entries(path)
    if CONFIG not in entries or entries - {CONFIG, LOG, CHECKPOINTS} or any(path.glob(f"{CHECKPOINTS}/*")):
        return False
    try:
        return bool(read_config(path))
    except RunError:
        return False


@dataclass(frozen=True)
class Callbacks:
    """Who follows a run: what hears of its progress, and what may ask it to stop between two steps."""

    progress: Callable[[Progress], None] = lambda progress: None
    message: Callable[[str], None] = lambda message: None
    should_stop: Callable[[], bool] = lambda: False
    stage: ProgressCallback = lambda stage, done, total: None  # of an evaluation


SILENT = Callbacks()


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run."""

    path: Path
    model: TrainedModel
    results: Results

    def save(self, out: str | Path) -> "Run":
        """The run as a copy in the directory `out`, whole or absent; UsageError if `out` holds anything already."""
        path = Path(out)
        check_is_free(path)
        copy_folder(self.path, path)
        return replace(self, path=path, model=replace(self.model, path=path))


def train(
    data: Any = None,
    labels: Any = None,
    *,
    recipe: str = "",
    out: str | Path | None = None,
    latent_dim: int | None = None,
    likelihood: str = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    settings: Settings | None = None,
    device: str = "auto",
    command: str = "",
    audience: Callbacks = SILENT,
) -> Run:
    """Train a model, evaluate it and write its report into the directory `out`.

    `data` is a named source, the path of a file or folder, or what a program holds: a numpy array, a tensor, a
    DataFrame, a torch Dataset, a list of PIL images, a sparse matrix, `Splits` (see `lowerbound.data.objects`), with
    `labels` for what has none of its own. Without a recipe a named source is trained with `dense`; for other data model
    and training are chosen by what they hold, and the audience is told what was chosen and why.

    `settings` is laid over the recipe: {"training": {"num_epochs": 5, "seed": 1}}, and the keywords over both.
    Without `out` the run lies in a temporary directory until the program ends; `Run.save` keeps it. Raises UsageError
    if `out` holds anything already, and DataError, ConfigError or NonFiniteLoss as they come up.
    """
    given = merge(settings or {}, keywords_as_settings(latent_dim, likelihood, epochs, batch_size, learning_rate, seed))
    in_memory = data is not None and not isinstance(data, str | Path)
    if labels is not None and not in_memory:
        raise UsageError("labels are for data in memory; for a file or folder set data.labels.")
    if data is not None:
        given = merge(given, {"data": {"source": MEMORY if in_memory else str(data)}})
    path = temporary_folder() if out is None else Path(out)
    if not path.is_dir():
        check_is_free(path)
    chosen = choose_device(device)
    with writing_into(path):
        check_is_free(path)
        splits = splits_in_memory(data, labels, given) if in_memory else None
        experiment, splits = prepare(recipe, given, audience.message, splits)
        experiment = replace(experiment, training=experiment.training.for_examples(len(splits.train)))
        config = config_of(experiment, splits, command, in_memory)
        _check_repeats(path, config)
        model = _initial_model(experiment, splits)
        data_convention(model, splits)
        write_toml(path / CONFIG, config)
        return _carry_out(experiment, splits, model, path, chosen, None, audience)


def _check_repeats(path: Path, config: Mapping[str, Any]) -> None:
    """UsageError where a directory is that of another run than the one to start, which was killed at its beginning."""
    identity = identity_of(path)
    if identity is not None and identity.id != config["run"]["id"]:
        raise UsageError(
            f"{path} holds the beginning of a run with other settings or data; choose another --out, start that run "
            f"again with --resume --out {path}, or remove the directory."
        )


def _initial_model(experiment: Experiment, splits: Splits) -> VAE:
    weights = generator(experiment.training.seed, "initial weights")
    statistics = mean_of(splits.train), deviation_of(splits.train)
    shape, columns = splits.train.event_shape, splits.train.columns
    return build_model(experiment.model, shape, weights, *statistics, columns=columns)


def resume(
    out: str | Path,
    *,
    data: str = "",
    recipe: str = "",
    settings: Settings | None = None,
    device: str = "auto",
    audience: Callbacks = SILENT,
) -> Run:
    """Continue a run from its newest whole checkpoint, bit for bit on the same machine; from the start without one.

    `data` is where its data lie now. Only more epochs and another data directory may be set; ConfigError otherwise.
    RunError while another process writes into the directory, or where a file of it is damaged or another run's.
    """
    path = Path(out)
    read_config(path)
    with writing_into(path):
        return _continue(path, data, recipe, settings or {}, choose_device(device), audience)


def _continue(path: Path, data: str, recipe: str, settings: Settings, device: torch.device, audience: Callbacks) -> Run:
    stored = read_stored(path)
    experiment = stored.experiment
    if recipe not in ("", experiment.recipe):
        raise ConfigError(f"{path} was trained with recipe {experiment.recipe!r}, not {recipe!r}.")
    resumed = _resumed(experiment, settings)
    splits = own_splits(path, data=data, data_dir=resumed.data.data_dir)
    checkpoint = load_checkpoint(path / CHECKPOINTS)
    if checkpoint is None and (path / MODEL).exists():
        raise RunError(
            f"{path / CHECKPOINTS} holds no checkpoint of this finished run, so that it cannot be continued."
        )
    for message in _resume_messages(checkpoint, device):
        audience.message(message)
    write_toml(path / CONFIG, _config_resumed(stored.content, resumed))
    # Its weights are replaced by the checkpoint's.
    model = _initial_model(resumed, splits)
    return _carry_out(resumed, splits, model, path, device, checkpoint, audience)


def _config_resumed(stored: Mapping[str, Any], resumed: Experiment) -> dict[str, Any]:
    """A run's config.toml with other settings, and so another id; files with an earlier one stay the run's."""
    run = stored["run"]
    new = run_id(resumed.settings(), run["data_checksum"])
    earlier = dict.fromkeys([*run.get("earlier_ids", ()), run["id"]])
    earlier.pop(new, None)
    ids = {"id": new, **({"earlier_ids": list(earlier)} if earlier else {})}
    return sealed({**stored, **resumed.settings(), "run": {**run, **ids}})


def reevaluate(
    path: Path,
    settings: Settings | None = None,
    device: str = "auto",
    audience: Callbacks = SILENT,
    data: str = "",
) -> Run:
    """Run the full evaluation of a finished run, with other evaluation settings or data directory; update its results.

    What annealing has done is kept in RUN/annealing until the results are written, so that it can be interrupted.
    """
    experiment = read_stored(path).experiment
    for section in settings or {}:
        if section not in ("evaluation", "data"):
            raise ConfigError(f"{section} cannot be set for a trained model; accepted: evaluation, and data.data_dir.")
    experiment = from_settings(experiment.recipe, merge(experiment.settings(), settings or {}))
    with writing_into(path):
        splits = own_splits(path, data=data, data_dir=experiment.data.data_dir)
        return _reevaluate(path, experiment, splits, choose_device(device), audience)


def _reevaluate(path: Path, experiment: Experiment, splits: Splits, device: torch.device, audience: Callbacks) -> Run:
    trained = load(path)
    read_epochs(path)  # which the report needs: before all the work
    model = trained.vae
    checkpoints = path / "annealing"
    try:
        results = evaluate_full(
            model.to(device), splits, experiment.evaluation, device, checkpoints=checkpoints, progress=audience.stage
        )
    except KeyboardInterrupt:
        if not checkpoints.exists():
            raise
        raise Interrupted(f"interrupted; {checkpoints} keeps what was annealed, the same command continues.") from None
    if not _is_calibrated(trained):
        _calibrate(path, model, splits, device)
    context = context_of(path, experiment, splits, model, device) | {"evaluated_anew": True}
    concluded = _conclude(path, trained, replace(results, context=context, history=read_epochs(path)))
    for file in checkpoints.glob("images-from-*.safetensors"):
        file.unlink()
    with suppress(OSError):  # it holds something of the user's, or was never made
        checkpoints.rmdir()
    return concluded


def _is_calibrated(model: TrainedModel) -> bool:
    try:
        return bool(model.calibration())
    except (RunError, UsageError):
        return False


def rewrite_report(path: Path) -> Path:
    """The report of a run, drawn again from its results; RunError as of `read_results`."""
    read_config(path)
    with writing_into(path):
        return write_report(read_results(path), path)


def check_up(path: Path, data_dir: str = "", device: str = "auto", data: str = "") -> tuple[Finding, ...]:
    """What the doctor says of a finished run, most serious first; nothing of a healthy one."""
    splits = own_splits(path, data=data, data_dir=data_dir)
    chosen = choose_device(device)
    return diagnose(measure_health(load_model(path).to(chosen), splits, known=read_results(path).arrays, device=chosen))


def _carry_out(
    experiment: Experiment,
    splits: Splits,
    model: VAE,
    path: Path,
    device: torch.device,
    checkpoint: Checkpoint | None,
    audience: Callbacks,
) -> Run:
    log = RunLog(path)
    # The records of steps after the checkpoint will be made again.
    log.rewrite([] if checkpoint is None else _records_until(path, checkpoint, splits, experiment.training))
    records = fit(
        model,
        splits,
        experiment.objective,
        experiment.training,
        device=device,
        checkpoints=path / CHECKPOINTS,
        resume=checkpoint,
        should_stop=audience.should_stop,
    )
    try:
        for progress in records:
            log.append(asdict(progress))
            audience.progress(progress)
    except Interrupted as stop:
        raise Interrupted(f"{stop} Continue with: lowerbound train --resume --out {quote(str(path))}") from None
    save_model(path / MODEL, model, splits.schema, {"data_checksum": splits.checksum})
    audience.message("evaluating and drawing the report")
    results = evaluate_quick(model, splits, experiment.evaluation, device)
    _calibrate(path, model, splits, device)
    context = context_of(path, experiment, splits, model, device)
    assert splits.schema is not None
    return _conclude(
        path, TrainedModel(model, splits.schema, path), replace(results, context=context, history=read_epochs(path))
    )


def _calibrate(path: Path, model: VAE, splits: Splits, device: torch.device) -> None:
    """Measure held-out examples, so that anomaly scores have thresholds without the training data."""
    if splits.watched == "validation" and not model.is_deterministic:
        calibrated(model, splits.validation, device).write(path / CALIBRATION)


def _conclude(path: Path, model: TrainedModel, results: Results) -> Run:
    results.write(path)
    results = read_results(path)
    write_report(results, path)
    return Run(path, model, results)


def _records_until(path: Path, checkpoint: Checkpoint, splits: Splits, config: TrainingConfig) -> list[dict[str, Any]]:
    """The records of a log up to a checkpoint; RunError where some are missing."""
    last, per_epoch = checkpoint.state["step"], math.ceil(len(splits.train) / config.batch_size)
    records = [record for record in read_log(path) if record["step"] <= last]
    expected = {step for step in range(1, last + 1) if step % config.log_every == 0 or step % per_epoch == 0}
    if missing := sorted(expected - {record["step"] for record in records}):
        raise RunError(
            f"{path / LOG} lacks the record of step {missing[0]}; restore it, or train again with another --out."
        )
    return records


def _resumed(experiment: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """The stored experiment with what may differ laid over it; ConfigError for the rest."""
    old = experiment.settings()
    asked = from_settings(experiment.recipe, merge(old, settings))
    new = asked.settings()
    for section, values in new.items():
        for key, value in values.items():
            if value != old[section][key] and (section, key) not in RESUMABLE:
                raise ConfigError(
                    f"{section}.{key} is {old[section][key]!r} in this run, {value!r} was asked for; a resumed run "
                    "keeps its settings except for more epochs. Start a new run with another --out."
                )
    if asked.training.num_epochs < experiment.training.num_epochs:
        raise ConfigError(
            f"this run has {experiment.training.num_epochs} epochs, {asked.training.num_epochs} were asked for; "
            "a resumed run can only have more."
        )
    return asked


def _resume_messages(checkpoint: Checkpoint | None, device: torch.device) -> list[str]:
    if checkpoint is None:
        return ["there is no checkpoint yet: starting again from the first step"]
    messages = [f"skipped a checkpoint: {damage}" for damage in checkpoint.damaged]
    then, now = checkpoint.state["machine"], machine(device)
    changed = [f"{key} was {then.get(key)!r}, is {value!r}" for key, value in now.items() if then.get(key) != value]
    if changed:
        messages.append(f"the continuation is not bit-identical to an uninterrupted run: {'; '.join(changed)}")
    messages.append(f"resuming after step {checkpoint.state['step']}")
    return messages

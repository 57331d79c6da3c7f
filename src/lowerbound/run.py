"""A run: one experiment carried out in a directory of its own, from data to report.

config.toml          everything resolved, and the schema of the data
model.safetensors    the best weights, and the schema again
calibration.safetensors   what was measured on held-out examples, for thresholds of anomaly scores
metrics.jsonl        one record for each hundred steps and each epoch
results.json         every number; results.safetensors holds the arrays behind the figures
report.html          one page; figures/ holds its pictures as PNG
checkpoints/         the two newest training states
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from lowerbound.choices import choose, settings_of
from lowerbound.data.batches import deviation_of, mean_of
from lowerbound.data.kinds import columns_in_words, described
from lowerbound.data.sources import SOURCES, Examples, Splits
from lowerbound.data.sources import load as load_data
from lowerbound.errors import ConfigError, Interrupted, UsageError
from lowerbound.evaluation.anomaly import calibrated
from lowerbound.evaluation.check_up import symptoms
from lowerbound.evaluation.doctor import diagnose
from lowerbound.evaluation.evaluate import data_convention, evaluate
from lowerbound.evaluation.results import Finding, Results, Watch, read_results
from lowerbound.evaluation.whole import evaluate_wholly
from lowerbound.experiment import Experiment, Settings, from_settings, merge, resolve
from lowerbound.model import VAE, ModelConfig, build_model, likelihood_options
from lowerbound.provenance import config_of, context_of
from lowerbound.reporting.report import write_report
from lowerbound.run_data import MEMORY, own_splits, read_experiment, splits_in_memory
from lowerbound.seeding import generator
from lowerbound.storage import (
    append_json_line,
    check_is_no_dangling_link,
    check_is_utf8,
    copy_folder,
    read_json_lines,
    temporary_folder,
    write_json_lines,
    write_toml,
)
from lowerbound.trained_model import CALIBRATION, TrainedModel, load
from lowerbound.training.checkpoint import Checkpoint, load_checkpoint, load_model, save_model
from lowerbound.training.loop import Progress, fit
from lowerbound.training.state import machine

RESUMABLE = {("training", "num_epochs"), ("training", "min_steps"), ("data", "data_dir")}
"""Settings that may differ when a run is resumed: more epochs, and where the same data lie now."""


def check_is_free(path: Path, option: str) -> None:
    """UsageError where a directory that is to be written holds something already."""
    check_is_utf8(path)
    check_is_no_dangling_link(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(
            f"{path} is not empty; choose another --{option}, or continue that run with --resume --{option} {path}."
        )


@dataclass(frozen=True)
class Audience:
    """Who follows a run: what hears of its progress, and what may ask it to stop between two steps."""

    progress: Callable[[Progress], None] = lambda progress: None
    message: Callable[[str], None] = lambda message: None
    should_stop: Callable[[], bool] = lambda: False
    stage: Watch = lambda stage, done, total: None  # of an evaluation


NOBODY = Audience()


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run."""

    path: Path
    model: TrainedModel
    results: Results

    def save(self, out: str | Path) -> "Run":
        """The run as a copy in the directory `out`, whole or absent; UsageError if `out` holds anything already."""
        path = Path(out)
        check_is_free(path, "out")
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
    audience: Audience = NOBODY,
) -> Run:
    """Train a model, evaluate it and write its report into the directory `out`.

    `data` is a named source, the path of a file or folder, or what a program holds: a numpy array, a tensor, a
    DataFrame, a torch Dataset, a list of PIL images, a sparse matrix, `Splits` (see `lowerbound.data.memory`), with
    `labels` for what has none of its own. Without a recipe a named source is trained with `dense`; for other data model
    and training are chosen by what they hold, and the audience is told what was chosen and why.

    `settings` is laid over the recipe: {"training": {"num_epochs": 5, "seed": 1}}, and the keywords over both.
    Without `out` the run lies in a temporary directory until the program ends; `Run.save` keeps it. Raises UsageError
    if `out` holds anything already, and DataError, ConfigError or NonFiniteLoss as they come up.
    """
    given = merge(settings or {}, _keywords(latent_dim, likelihood, epochs, batch_size, learning_rate, seed))
    in_memory = data is not None and not isinstance(data, str | Path)
    if labels is not None and not in_memory:
        raise UsageError("labels are for data in memory; for a file or folder set data.labels.")
    if data is not None:
        given = merge(given, {"data": {"source": MEMORY if in_memory else str(data)}})
    path = temporary_folder() if out is None else Path(out)
    check_is_free(path, "out")
    chosen = choose_device(device)
    splits = splits_in_memory(data, labels, given) if in_memory else None
    experiment, splits = prepare(recipe, given, audience, splits)
    experiment = replace(experiment, training=experiment.training.for_examples(len(splits.train)))
    weights = generator(experiment.training.seed, "initial weights")
    statistics = mean_of(splits.train), deviation_of(splits.train)
    model = build_model(experiment.model, splits.train.event_shape, weights, *statistics, columns=splits.train.columns)
    data_convention(model, splits)
    write_toml(path / "config.toml", config_of(experiment, splits, command, in_memory))
    return _carry_out(experiment, splits, model, path, chosen, None, audience)


def _keywords(
    latent_dim: int | None,
    likelihood: str,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int | None,
) -> Settings:
    """The common settings that are keywords of `train`."""
    given: Settings = {
        "model": {"latent_dim": latent_dim, "likelihood": None if likelihood == "auto" else likelihood},
        # A number of epochs that is given is meant, however few steps they make.
        "training": {
            "num_epochs": epochs,
            "min_steps": None if epochs is None else 0,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
        },
    }
    kept = {name: {key: value for key, value in keys.items() if value is not None} for name, keys in given.items()}
    return {name: keys for name, keys in kept.items() if keys}


def resume(
    out: str | Path,
    *,
    data: str = "",
    recipe: str = "",
    settings: Settings | None = None,
    device: str = "auto",
    audience: Audience = NOBODY,
) -> Run:
    """Continue a run from its newest whole checkpoint, bit for bit on the same machine.

    `data` is where its data lie now. Only more epochs and another data directory may be set; ConfigError otherwise.
    """
    path = Path(out)
    stored, experiment = read_experiment(path)
    if recipe not in ("", experiment.recipe):
        raise ConfigError(f"{path} was trained with recipe {experiment.recipe!r}, not {recipe!r}.")
    resumed = _resumed(experiment, settings or {})
    chosen = choose_device(device)
    splits = own_splits(path, data=data, data_dir=resumed.data.data_dir)
    checkpoint = load_checkpoint(path / "checkpoints")
    for message in _resume_messages(checkpoint, chosen):
        audience.message(message)
    _cut_metrics(path / "metrics.jsonl", checkpoint.state["step"])
    # Its weights are replaced by the checkpoint's.
    stream = generator(0, "initial weights")
    model = build_model(resumed.model, splits.train.event_shape, stream, columns=splits.train.columns)
    write_toml(path / "config.toml", stored | resumed.settings())
    return _carry_out(resumed, splits, model, path, chosen, checkpoint, audience)


def prepare(
    recipe: str, settings: Settings, audience: Audience = NOBODY, splits: Splits | None = None
) -> tuple[Experiment, Splits]:
    """An experiment and its data; without a recipe what is chosen for data of their kind, below the settings."""
    experiment = resolve(recipe or "dense", settings)
    splits = splits or load_data(experiment.data)
    if experiment.data.source not in SOURCES:
        num_examples = len(splits.train) + len(splits.validation) + len(splits.test)
        audience.message(f"{splits.name}: {described(num_examples, splits.train)}")
    if splits.train.columns:
        audience.message(f"columns: {columns_in_words(splits.train.columns)}")
    for line in (*splits.notes, *splits.skipped):
        audience.message(line)
    if not recipe and experiment.data.source not in SOURCES:
        choices = [choice for choice in choose(splits.train) if not choice.is_made_in(settings)]
        for choice in choices:
            audience.message(f"{choice.what}: {choice.value} (because {choice.reason})")
        experiment = from_settings("chosen", merge(settings_of(choices), settings))
    return replace(experiment, model=_with_data(experiment.model, splits.train)), splits


def _with_data(model: ModelConfig, examples: Examples) -> ModelConfig:
    """What a likelihood has to know of the data, unless it was set: the number of levels."""
    options, num_levels = model.likelihood_options, examples.support.num_levels
    if num_levels and "num_levels" in likelihood_options(model.likelihood):
        options = {"num_levels": num_levels, **options}
    return replace(model, likelihood_options=options)


def default_path(recipe: str, settings: Settings) -> Path:
    """runs/RECIPE-DATA, the directory of a run that was given none; runs/DATA where nothing but data was given."""
    source = resolve(recipe or "dense", settings).data.source
    recipe = recipe or ("dense" if source in SOURCES else "")
    return Path("runs") / "-".join(filter(None, [Path(recipe).stem, Path(source).stem.replace(":", "-")]))


def reevaluate(
    path: Path,
    settings: Settings | None = None,
    device: str = "auto",
    audience: Audience = NOBODY,
    data: str = "",
) -> Run:
    """Run the full evaluation of a finished run, with other evaluation settings or data directory; update its results.

    What annealing has done is kept in RUN/annealing until the results are written, so that it can be interrupted.
    """
    _, experiment = read_experiment(path)
    for section in settings or {}:
        if section not in ("evaluation", "data"):
            raise ConfigError(f"{section} cannot be set for a trained model; accepted: evaluation, and data.data_dir.")
    experiment = from_settings(experiment.recipe, merge(experiment.settings(), settings or {}))
    trained = load(path)
    model = trained.vae
    splits = own_splits(path, data=data, data_dir=experiment.data.data_dir)
    chosen = choose_device(device)
    checkpoints = path / "annealing"
    try:
        results = evaluate_wholly(
            model.to(chosen), splits, experiment.evaluation, chosen, checkpoints=checkpoints, watch=audience.stage
        )
    except KeyboardInterrupt:
        if not checkpoints.exists():
            raise
        raise Interrupted(f"interrupted; {checkpoints} keeps what was annealed, the same command continues.") from None
    context = context_of(path, experiment, splits, model, chosen) | {"evaluated_anew": True}
    concluded = _conclude(path, trained, replace(results, context=context))
    for file in checkpoints.glob("images-from-*.safetensors"):
        file.unlink()
    with suppress(OSError):  # it holds something of the user's, or was never made
        checkpoints.rmdir()
    return concluded


def check_up(path: Path, data_dir: str = "", device: str = "auto", data: str = "") -> tuple[Finding, ...]:
    """What the doctor says of a finished run, most serious first; nothing of a healthy one."""
    splits = own_splits(path, data=data, data_dir=data_dir)
    chosen = choose_device(device)
    return diagnose(symptoms(load_model(path).to(chosen), splits, known=read_results(path).arrays, device=chosen))


def choose_device(name: str) -> torch.device:
    """ "cpu" or "cuda"; "auto" takes the GPU where there is one."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}; accepted: auto, cpu, cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no GPU for device 'cuda'; use --device cpu, or install a CUDA build of torch.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _carry_out(
    experiment: Experiment,
    splits: Splits,
    model: VAE,
    path: Path,
    device: torch.device,
    checkpoint: Checkpoint | None,
    audience: Audience,
) -> Run:
    records = fit(
        model,
        splits,
        experiment.objective,
        experiment.training,
        device=device,
        checkpoints=path / "checkpoints",
        resume=checkpoint,
        should_stop=audience.should_stop,
    )
    try:
        for progress in records:
            append_json_line(path / "metrics.jsonl", asdict(progress))
            audience.progress(progress)
    except Interrupted as stop:
        raise Interrupted(f"{stop} Continue with: lowerbound train --resume --out {quote(str(path))}") from None
    save_model(path / "model.safetensors", model, splits.schema, {"data_checksum": splits.checksum})
    audience.message("evaluating and drawing the report")
    results = evaluate(model, splits, experiment.evaluation, device)
    _calibrate(path, model, splits, device)
    context = context_of(path, experiment, splits, model, device)
    assert splits.schema is not None
    return _conclude(path, TrainedModel(model, splits.schema, path), replace(results, context=context))


def _calibrate(path: Path, model: VAE, splits: Splits, device: torch.device) -> None:
    """Measure held-out examples, so that anomaly scores have thresholds without the training data."""
    if splits.watched == "validation" and not model.is_deterministic:
        calibrated(model, splits.validation, device).write(path / CALIBRATION)


def _conclude(path: Path, model: TrainedModel, results: Results) -> Run:
    results.write(path)
    results = read_results(path)
    write_report(results, path)
    return Run(path, model, results)


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


def _resume_messages(checkpoint: Checkpoint, device: torch.device) -> list[str]:
    messages = [f"skipped a checkpoint: {damage}" for damage in checkpoint.damaged]
    then, now = checkpoint.state["machine"], machine(device)
    changed = [f"{key} was {then.get(key)!r}, is {value!r}" for key, value in now.items() if then.get(key) != value]
    if changed:
        messages.append(f"the continuation is not bit-identical to an uninterrupted run: {'; '.join(changed)}")
    messages.append(f"resuming after step {checkpoint.state['step']}")
    return messages


def _cut_metrics(path: Path, step: int) -> None:
    """Drop the records of steps after the checkpoint: they will be made again."""
    write_json_lines(path, [record for record in read_json_lines(path) if record["step"] <= step])

"""`resume`: continue a run from its newest intact checkpoint, bit for bit on the same machine."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lowerbound.foundation.errors import ConfigError, RunError
from lowerbound.foundation.run_identity import CONFIG, MODEL, RunPath, path_of, read_config, run_id, sealed
from lowerbound.foundation.storage import write_toml
from lowerbound.foundation.text import pluralise
from lowerbound.runs.experiment import Experiment, Settings, resolve
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run import CHECKPOINTS, SILENT, Callbacks, Job, Run, carry_out, initial_model, model_to_restore
from lowerbound.runs.run_data import own_splits, read_stored
from lowerbound.runs.run_lock import writing_into
from lowerbound.runs.run_log import LOG, read_log
from lowerbound.training.checkpoint import Checkpoint, load_checkpoint
from lowerbound.training.state import machine

RESUMABLE = {("training", "num_epochs"), ("training", "min_steps"), ("data", "data_dir")}
"""Settings that may differ when a run is resumed: more epochs, and where the same data are now."""


def resume(
    out: RunPath,
    *,
    data: str = "",
    recipe: str = "",
    settings: Settings | None = None,
    device: str = "auto",
    callbacks: Callbacks = SILENT,
) -> Run:
    """Continue the run in directory `out` from its newest intact checkpoint, or from the start if it has none.

    `data` is the new path of the run's data if they were moved. `settings` may only add epochs or change the data
    directory; ConfigError otherwise. RunError if another process is writing into the directory, or if a file in it
    is damaged or belongs to another run.
    """
    path = path_of(out)
    read_config(path)
    with writing_into(path):
        stored = read_stored(path)
        check_recipe(path, stored.experiment, recipe)
        experiment = resumed_experiment(stored.experiment, settings or {})
        splits = own_splits(path, data=data, data_dir=experiment.data.data_dir)
        job = Job(path, experiment, splits, choose_device(device), callbacks)
        return _continue(job, _config_resumed(stored.content, experiment))


def check_recipe(path: Path, experiment: Experiment, recipe: str) -> None:
    """ConfigError for a recipe that is not that of the run in `path`; an empty one was not given."""
    if recipe and Path(recipe).stem != experiment.recipe:
        raise ConfigError(f"{path} was trained with recipe {experiment.recipe!r}, not {recipe!r}.")


def _continue(job: Job, config: Mapping[str, Any]) -> Run:
    folder = job.path / CHECKPOINTS
    checkpoint = load_checkpoint(folder)
    if checkpoint is None and (job.path / MODEL).exists():
        raise RunError(f"{folder} contains no checkpoint of this finished run, so it cannot be resumed.")
    for message in _messages(checkpoint, job.device):
        job.callbacks.message(message)
    write_toml(job.path / CONFIG, config)
    if checkpoint is None:
        return carry_out(job, initial_model(job.experiment, job.splits))
    model = model_to_restore(job.experiment, job.splits)
    return carry_out(job, model, checkpoint, _records_until(checkpoint.state["step"], job))


def _config_resumed(stored: Mapping[str, Any], resumed: Experiment) -> dict[str, Any]:
    """A run's config.toml with other settings, and so another id; its earlier ids stay valid."""
    run = stored["run"]
    new = run_id(resumed.settings(), run["data_checksum"])
    earlier = dict.fromkeys([*run.get("earlier_ids", ()), run["id"]])
    earlier.pop(new, None)
    ids = {"id": new, **({"earlier_ids": list(earlier)} if earlier else {})}
    return sealed({**stored, **resumed.settings(), "run": {**run, **ids}})


def resumed_experiment(experiment: Experiment, settings: Settings) -> Experiment:
    """The stored experiment with settings that override it; ConfigError for one that may not differ."""
    old, resumed = experiment.settings(), resolve(experiment, settings)
    for section, values in resumed.settings().items():
        for key, value in values.items():
            if value != old[section][key] and (section, key) not in RESUMABLE:
                raise ConfigError(
                    f"{section}.{key} is {old[section][key]!r} in this run, got {value!r}; a resumed run keeps its "
                    "settings, except for more epochs. To change others, start a new run in another directory.",
                    hint="out",
                )
    if resumed.training.num_epochs < experiment.training.num_epochs:
        raise ConfigError(
            f"this run has {pluralise(experiment.training.num_epochs, 'epoch')}, got {resumed.training.num_epochs}; a "
            "resumed run can only have more."
        )
    return resumed


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

"""`resume`: continue a run from its newest intact checkpoint, bit for bit on the same machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowerbound.foundation import distributed
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.run_identity import RunPath, path_of, read_config, run_id, sealed
from lowerbound.foundation.text import pluralise
from lowerbound.runs.experiment import Experiment, Settings, resolve
from lowerbound.runs.finished_run import Run
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.ranks import announce_ranks
from lowerbound.runs.run import SILENT, Callbacks, Job, continue_run, of_writer
from lowerbound.runs.run_data import read_stored, stored_splits
from lowerbound.runs.run_lock import writing_into
from lowerbound.runs.tracking import Log

RESUMABLE = {("training", "num_epochs"), ("training", "min_steps"), ("data", "data_dir")}
"""Settings that may differ when a run is resumed: more epochs, and where the same data are now."""


def resume(
    out: RunPath,
    *,
    data: str = "",
    recipe: str = "",
    settings: Settings | None = None,
    device: str = "auto",
    log: Log | None = None,
    callbacks: Callbacks = SILENT,
) -> Run:
    """Continue the run in directory `out` from its newest intact checkpoint, or from the start if it has none.

    `data` is the new path of the run's data if they were moved. `settings` may only add epochs or change the data
    directory; ConfigError otherwise. The run's experiment trackers are continued, unless `log` names others. RunError
    if another process is writing into the directory, or if a file in it is damaged or belongs to another run.
    """
    distributed.join()
    callbacks = of_writer(callbacks.with_log(log))
    path = path_of(out)
    read_config(path)
    with writing_into(path):
        with distributed.together():
            stored = read_stored(path)
            check_recipe(path, stored.experiment, recipe)
            experiment = resumed_experiment(stored.experiment, settings or {})
            splits = stored_splits(path, data=data, data_dir=experiment.data.data_dir)
            job = Job(path, experiment, splits, choose_device(device), callbacks)
            announce_ranks(experiment, job.callbacks.message)
        return continue_run(job, _config_resumed(stored.content, experiment))


def check_recipe(path: Path, experiment: Experiment, recipe: str) -> None:
    """ConfigError for a recipe that is not that of the run in `path`; an empty one was not given."""
    if recipe and Path(recipe).stem != experiment.recipe:
        raise ConfigError(f"{path} was trained with recipe {experiment.recipe!r}, not {recipe!r}.")


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

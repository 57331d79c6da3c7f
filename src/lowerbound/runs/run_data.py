"""A run's stored configuration, and its data: read again from where it was or from a given path, and verified.

config.toml stores the path as it was given and the absolute path. The data found there must have the checksum that
training stored, so a file of the same name in another working directory is not mistaken for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowerbound.data.conditions import conditioned
from lowerbound.data.hugging_face import is_name
from lowerbound.data.objects import read_object
from lowerbound.data.remote import is_remote
from lowerbound.data.sources import SOURCES, DataConfig, Splits, load, split_raw
from lowerbound.evaluation.health import TrainedWith
from lowerbound.foundation.errors import DataError, LowerboundError, RunError, UnknownName, UsageError
from lowerbound.foundation.run_identity import CONFIG, read_config
from lowerbound.foundation.schema import Layout, Schema, check_schema
from lowerbound.foundation.strict import parsed
from lowerbound.models.construction import check_parts_are_known
from lowerbound.models.missing_labels import inferred_splits
from lowerbound.runs.experiment import SECTIONS, Experiment, from_settings
from lowerbound.training.checkpoint import load_model

MEMORY = "memory"
"""Source of data that was held in memory."""


@dataclass(frozen=True, kw_only=True)
class _RunSection:
    """Section `run` of config.toml: facts about the run, as opposed to settings."""

    id: str
    command: str
    lowerbound: str
    data_checksum: str
    event_shape: tuple[int, ...]
    layout: Layout
    in_memory: bool
    checksum: str
    earlier_ids: tuple[str, ...] = ()
    data_path: str = ""
    labels_path: str = ""
    factors_path: str = ""
    fitted_from: str = ""  # id of the run whose networks this one has, if its prior was fitted after training
    fitted_from_path: str = ""
    fit_seed: int = 0


@dataclass(frozen=True, kw_only=True)
class _Config:
    """The structure of config.toml; the five sections of settings are checked separately."""

    format_version: int
    recipe: str
    run: _RunSection
    schema: Schema
    data: dict[str, Any]
    model: dict[str, Any]
    objective: dict[str, Any]
    training: dict[str, Any]
    evaluation: dict[str, Any]


ADDED: Mapping[str, Mapping[str, Any]] = {
    "data": {"num_labelled": 0},
    "model": {"condition_on": [], "classifier": False, "levels": [], "hierarchy": "ladder", "level_hidden": [256]},
    "objective": {"classification_weight": 0.0},
    "training": {"threads": 0, "labelled_per_batch": 100, "weight_decay": 0.0},
    "evaluation": {"after_training": True, "num_coded": 100},
}
"""Settings that a run of this format may lack because it was trained before there were any, with what it was."""


@dataclass(frozen=True)
class StoredRun:
    """The content of a run's config.toml."""

    content: dict[str, Any]  # of the file, unchanged
    experiment: Experiment
    schema: Schema


def read_stored(path: Path) -> StoredRun:
    """Read a run's config.toml; raises as `read_config` does, and RunError for keys that are missing, unknown or of
    another type.
    """
    stored, place = read_config(path), str(path / CONFIG)
    found = parsed(_Config, stored, place, accepts_infinity=True)
    check_schema(found.schema, found.run.event_shape, place)
    sections = {name: ADDED.get(name, {}) | stored[name] for name in SECTIONS}
    check_parts_are_known(stored["model"], place)
    try:
        experiment = from_settings(found.recipe, sections)
    except UsageError as error:
        raise RunError(f"{place} is damaged ({str(error).rstrip('.')}); restore it.") from error
    for key in _differences(experiment.settings(), sections):
        raise RunError(f"{place} is damaged ({key} is missing, or of another type); restore it.")
    return StoredRun(stored, experiment, found.schema)


def trained_with(path: Path) -> TrainedWith:
    """What the model of a run was trained with, for the checks of its diagnosis."""
    return read_stored(path).experiment.trained_with


def _differences(expected: Any, stored: Any, key: str = "") -> Iterator[str]:
    """Keys of settings that are missing from a file, or have another type there."""
    if isinstance(expected, Mapping) and isinstance(stored, Mapping):
        for name in expected:
            if name not in stored:
                yield f"{key}{name}"
            else:
                yield from _differences(expected[name], stored[name], f"{key}{name}.")
    elif isinstance(expected, tuple | list) and isinstance(stored, list) and len(expected) == len(stored):
        for one, other in zip(expected, stored, strict=True):
            yield from _differences(one, other, key)
    elif expected != stored or isinstance(expected, bool) != isinstance(stored, bool):
        yield key.rstrip(".")


def own_splits(path: Path, *, data: str = "", data_dir: str = "") -> Splits:
    """`stored_splits`, with labels that the model of the run infers where they are missing."""
    splits = stored_splits(path, data=data, data_dir=data_dir)
    if not any(part.has_missing_context for part in (splits.train, splits.validation, splits.test)):
        return splits
    return inferred_splits(splits, load_model(path))


def stored_splits(path: Path, *, data: str = "", data_dir: str = "") -> Splits:
    """The data that a run was trained on, from the path `data` or from where it was; verified by checksum.

    UsageError without `data` for a run on data in memory; DataError or RunError if the data cannot be read or differs.
    """
    run = read_stored(path)
    stored, config = run.content, replace(run.experiment.data, data_dir=data_dir or run.experiment.data.data_dir)
    if config.source in SOURCES and not data:
        return _verified(path, stored, conditioned_by(run.experiment, load(config)))
    if stored["run"].get("in_memory") and not data:
        raise UsageError(
            f"{path} was trained on data in memory; give the path of a file that contains them.", hint="data"
        )
    failures: list[LowerboundError] = []
    for place in [data] if data else _places(stored, config):
        try:
            _check_exists(place)
            splits = conditioned_by(run.experiment, load(_placed(config, place, stored), run.schema))
            return _verified(path, stored, splits)
        except (DataError, RunError, UnknownName) as error:
            failures.append(error)
    changed = next((error for error in failures if isinstance(error, RunError)), failures[0])
    if isinstance(changed, RunError):
        raise changed
    remedy = "" if data else " If it was moved, give its new path."
    raise DataError(
        f"the data of {path} cannot be read: {str(changed).rstrip('.')}.{remedy}", hint="" if data else "data"
    )


def splits_of_source(experiment: Experiment) -> Splits:
    """The splits of the file, folder or named source that an experiment names; some labels may be missing where its
    model infers them.
    """
    return load(experiment.data, partly_labelled=experiment.model.classifier)


def conditioned_by(experiment: Experiment, splits: Splits) -> Splits:
    """The splits as an experiment's model is given them; raises as `conditioned` does."""
    data, model = experiment.data, experiment.model
    return conditioned(
        splits, model.condition_on, infers=model.classifier, num_labelled=data.num_labelled, seed=data.split_seed
    )


def splits_in_memory(data: Any, labels: Any = None, config: DataConfig | None = None, factors: Any = None) -> Splits:
    """The splits of data in memory, which are read as a file of them would be."""
    if isinstance(data, Splits) and labels is not None:
        raise UsageError("splits have their own labels; leave labels out.")
    raw = read_object(data, labels, place="the data", factors=factors)
    return raw if isinstance(raw, Splits) else split_raw(raw, config or DataConfig(), "data")


def absolute_paths(config: DataConfig) -> dict[str, str]:
    """Absolute paths of data and labels, for config.toml; without those that are not paths."""
    paths = {"data_path": config.source, "labels_path": config.labels, "factors_path": _only(config.factors)}
    return {
        key: str(Path(value).expanduser().resolve())
        for key, value in paths.items()
        if value and value not in SOURCES and Path(value).expanduser().exists()
    }


def _only(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ""


def _check_exists(place: str) -> None:
    if not is_name(Path(place)) and not is_remote(place) and not Path(place).expanduser().exists():
        raise DataError(f"{place} does not exist")


def _places(stored: Mapping[str, Any], config: DataConfig) -> list[str]:
    absolute = stored["run"].get("data_path", "")
    here = Path(config.source).expanduser()
    is_same = absolute and here.exists() and here.resolve() == Path(absolute)
    return [absolute] if is_same else [place for place in (absolute, config.source) if place]


def _placed(config: DataConfig, place: str, stored: Mapping[str, Any]) -> DataConfig:
    labels, factors = (stored["run"].get(key, "") for key in ("labels_path", "factors_path"))
    return replace(
        config,
        source=place,
        labels=labels if labels and Path(labels).exists() else config.labels,
        factors=(factors,) if factors and Path(factors).exists() else config.factors,
    )


def _verified(path: Path, stored: Mapping[str, Any], splits: Splits) -> Splits:
    if splits.checksum != stored["run"]["data_checksum"]:
        raise RunError(
            f"the data in {splits.name!r} are not those on which {path} was trained (their checksum differs); "
            "restore them, or give the path of the unchanged data.",
            hint="data",
        )
    return splits

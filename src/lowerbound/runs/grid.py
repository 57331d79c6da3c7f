"""Grid: the settings of a sweep, with values for one key or several; all combinations are resolved before training.

    over = {"objective.rate_weight": [0.1, 1, 10], "model.latent_dim": [2, 8]}  # six points, the last key the fastest

It is stored with the sweep as grid.json, so that the sweep can go on without being told again.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from lowerbound.foundation.errors import ConfigError, RunError, UsageError
from lowerbound.foundation.run_identity import checksum_of, digest
from lowerbound.foundation.storage import FORMAT_VERSION, check_format_version
from lowerbound.foundation.strict import parsed
from lowerbound.foundation.text import pluralise
from lowerbound.foundation.text_files import read_json, write_json
from lowerbound.runs.experiment import AUTO, Experiment, Settings, from_settings, merge, read_recipe, tables
from lowerbound.runs.setting_checks import check_settings, check_value
from lowerbound.runs.setting_keys import key_parts, nested

GRID = "grid.json"
MAX_RUNS = 10_000
LONGEST_NAME = 100  # characters of a folder
UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")  # in the name of a folder

Over = Mapping[str, Sequence[Any]]
"""Values by key, such as objective.rate_weight."""


@dataclass(frozen=True)
class GridPoint:
    """One point: the values of the keys that are swept, and the experiment that they give."""

    label: str  # rate_weight=0.1, latent_dim=2
    folder: str  # rate_weight-0.1,latent_dim-2
    values: dict[str, Any]
    settings: dict[str, Any]  # the grid's own, with these values
    experiment: Experiment


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What a sweep trains: settings, values for some of their keys, and a number of seeds for each point."""

    recipe: str  # its name
    is_auto: bool  # whether model and training are chosen to fit the data, where settings leave them open
    settings: dict[str, Any]
    over: dict[str, list[Any]]
    num_seeds: int = 1

    def points(self) -> list[GridPoint]:
        """All points, each resolved; ConfigError for one that is not accepted, or that repeats another."""
        labels = _short_keys(self.over)
        points = []
        for values in product(*self.over.values()):
            points.append(self._resolved(labels, dict(zip(self.over, values, strict=True))))
        _refuse_repeats(points)
        return _with_distinct_folders(points)

    def _resolved(self, labels: Mapping[str, str], values: dict[str, Any]) -> GridPoint:
        settings = self.settings
        texts = {labels[key]: as_text(value) for key, value in values.items()}
        label = ", ".join(f"{key}={text}" for key, text in texts.items())
        for key, value in values.items():
            settings = merge(settings, nested(key_parts(key), value))
        try:
            experiment = from_settings(self.recipe, settings)
        except UsageError as error:
            if str(error) == self._error_without_values():
                raise
            raise ConfigError(f"{label}: {error}", hint=error.hint) from error
        return GridPoint(label, _folder(texts), values, settings, experiment)

    def _error_without_values(self) -> str:
        """What is wrong with the settings that all points share; empty if nothing is."""
        try:
            from_settings(self.recipe, self.settings)
        except UsageError as error:
            return str(error)
        return ""

    def seeds(self, experiment: Experiment) -> list[int]:
        """The seeds of the runs of one point."""
        first = experiment.training.seed
        return list(range(first, first + self.num_seeds))

    def described(self) -> str:
        """What is trained: 5 values of objective.rate_weight × 3 seeds."""
        parts = [f"{pluralise(len(values), 'value')} of {key}" for key, values in self.over.items()]
        return " × ".join(parts + ([f"{self.num_seeds} seeds"] if self.num_seeds > 1 else []))

    def write(self, folder: Path, command: str) -> None:
        """Write grid.json into the folder of the sweep."""
        content = {"format_version": FORMAT_VERSION, "command": command, **asdict(self)}
        write_json(folder / GRID, {**content, "checksum": checksum_of(content)})


@dataclass(frozen=True, kw_only=True)
class _Stored(Grid):
    """The content of grid.json."""

    format_version: int
    command: str
    checksum: str


def grid_of(base: str | Experiment, settings: Settings, over: Over, num_seeds: int = 1) -> Grid:
    """The grid of a recipe, by name or path, or of an experiment, with settings that override it.

    Without a recipe, an empty `base`, model and training are chosen to fit the data. ConfigError or UnknownName for
    keys and values that no setting accepts; each point is checked by `Grid.points`.
    """
    given = tables(settings)
    if isinstance(base, Experiment):
        recipe, below = base.recipe, dict(base.settings())
    else:
        recipe, below = (Path(base).stem, read_recipe(base)) if base else (AUTO, {})
        check_settings(below)
        below.pop("description", None)
    values = {key: _plain_values(key, given_values) for key, given_values in over.items()}
    _check_over(values, given, num_seeds)
    grid = Grid(recipe=recipe, is_auto=base == "", settings=merge(below, given), over=values, num_seeds=num_seeds)
    return replace(grid, settings=json.loads(json.dumps(grid.settings)))  # as grid.json will have them


def read_grid(folder: Path) -> Grid:
    """The grid of the sweep in a folder; UsageError if there is none, RunError if grid.json is damaged."""
    if not is_sweep(folder):
        raise UsageError(f"{folder} is not the folder of a sweep ({GRID} is missing).")
    content = read_json(folder / GRID)
    check_format_version(folder / GRID, content.get("format_version"))
    stored = parsed(_Stored, content, str(folder / GRID))
    if checksum_of(content) != stored.checksum:
        raise RunError(f"{folder / GRID} is damaged or was edited (its checksum does not match its content).")
    return Grid(
        recipe=stored.recipe,
        is_auto=stored.is_auto,
        settings=stored.settings,
        over=stored.over,
        num_seeds=stored.num_seeds,
    )


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / GRID).is_file()


def check_extends(grid: Grid, earlier: Grid, folder: Path) -> None:
    """ConfigError unless a grid has all points and seeds of an earlier one, and the same settings."""
    for what, now, before in (
        ("recipe", grid.recipe, earlier.recipe),
        ("keys", list(grid.over), list(earlier.over)),
        *_differing(grid.settings, earlier.settings),
    ):
        if now != before:
            texts = ["unset" if value is None else as_text(value) for value in (before, now)]
            raise _conflict(folder, f"{what} {texts[0]}, not {texts[1]}")
    for key, values in earlier.over.items():
        if missing := [value for value in values if value not in grid.over[key]]:
            raise _conflict(folder, f"{key}={','.join(map(as_text, missing))}, too")
    if grid.num_seeds < earlier.num_seeds:
        raise _conflict(folder, f"{earlier.num_seeds} seeds, not {grid.num_seeds}")


def _differing(now: Mapping[str, Any], before: Mapping[str, Any], key: str = "") -> list[tuple[str, Any, Any]]:
    """Settings that differ, with their keys."""
    found = []
    for name in sorted({*now, *before}):
        one, other = now.get(name), before.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += _differing(one, other, f"{key}{name}.")
        elif one != other:
            found.append((f"{key}{name}", one, other))
    return found


def _conflict(folder: Path, has: str) -> ConfigError:
    return ConfigError(
        f"the sweep in {folder} has {has}; a sweep that goes on keeps its settings, and may have more values or seeds. "
        "For another one, choose another directory.",
        hint="out",
    )


def _check_over(over: dict[str, list[Any]], settings: Mapping[str, Any], num_seeds: int) -> None:
    if not over:
        raise ConfigError("a sweep needs a key with several values, such as objective.rate_weight.", hint="over")
    for key, values in over.items():
        parts = key_parts(key)
        if len(values) < 2:
            raise ConfigError(
                f"{key} has the single value {as_text(values[0]) if values else 'none'}; a sweep needs several, as "
                f"{parts[-1]}=0.1,1,10. Set a single value among the settings."
            )
        check_value(key, values)
        if repeated := [value for index, value in enumerate(values) if value in values[:index]]:
            raise ConfigError(f"{key} has the value {as_text(repeated[0])} twice; give each value once.")
        if _has(settings, parts):
            raise ConfigError(f"{key} is swept, and set to a single value, too; remove that setting.")
    if num_seeds < 1:
        raise ConfigError(f"a sweep needs at least 1 seed, got {num_seeds}.")
    if num_seeds > 1 and "training.seed" in over:
        raise ConfigError("training.seed is swept; leave out the number of seeds, or the values of training.seed.")
    num_runs = math.prod(map(len, over.values())) * num_seeds
    if num_runs > MAX_RUNS:
        raise ConfigError(f"this grid has {num_runs:,} runs; at most {MAX_RUNS:,} are accepted.")


def _has(settings: Any, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(settings, Mapping) or part not in settings:
            return False
        settings = settings[part]
    return True


def _plain_values(key: str, values: Any) -> list[Any]:
    """Values as JSON has them: those of numpy and torch as Python's, tuples as lists."""
    if isinstance(values, str | Mapping) or not hasattr(values, "__iter__"):
        raise ConfigError(f"{key} is swept over {values!r}; give a list of values.")
    plain = [value.item() if hasattr(value, "item") else value for value in values]
    try:
        return list(json.loads(json.dumps(plain)))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key} has a value that no setting accepts ({error}).") from error


def _refuse_repeats(points: Sequence[GridPoint]) -> None:
    """ConfigError if two points give the same experiment, such as a preset that other settings override."""
    seen: dict[str, str] = {}
    for point in points:
        settings = json.dumps(point.experiment.settings(), sort_keys=True, default=str)
        if settings in seen:
            raise ConfigError(
                f"{seen[settings]} and {point.label} give the same experiment; other settings override the difference, "
                "or both values mean the same. Remove one of them."
            )
        seen[settings] = point.label


def _short_keys(over: Mapping[str, Any]) -> dict[str, str]:
    """The last part of each key, or all of it where two keys share that."""
    counts = Counter(key_parts(key)[-1] for key in over)
    return {key: key_parts(key)[-1] if counts[key_parts(key)[-1]] == 1 else key for key in over}


def as_text(value: Any) -> str:
    """A value as it is given on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


def _folder(texts: Mapping[str, str]) -> str:
    """The name of a point's folder; without =, by which the service divides its arguments."""
    parts = [f"{key}-{UNUSUAL.sub('-', text).strip('-')}" for key, text in texts.items()]
    return ",".join(parts)[:LONGEST_NAME]


def _with_distinct_folders(points: list[GridPoint]) -> list[GridPoint]:
    """Points whose folders would have the same name get a part of a checksum that depends on their values alone."""
    counts = Counter(point.folder.lower() for point in points)  # some file systems ignore case
    return [
        point
        if counts[point.folder.lower()] == 1
        else replace(point, folder=f"{point.folder}-{digest(point.values)[:6]}")
        for point in points
    ]

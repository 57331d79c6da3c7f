"""Experiment: the five sections of configuration that decide a run's result; recipes, and settings that override them.

From bottom to top: the defaults of each section's dataclass, the TOML of a recipe, the caller's settings, keywords. A
recipe is a file in `recipes/`, or any other TOML file. The checks of single settings are in `setting_checks`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from lowerbound.data.sources import DataConfig
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.health import TrainedWith
from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.keywords import KEYWORDS
from lowerbound.foundation.text import one_line
from lowerbound.foundation.text_files import read_toml
from lowerbound.models.config import ModelConfig
from lowerbound.models.families import Families
from lowerbound.objectives.combinations import refuse_unfit_training
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.presets import OBJECTIVES
from lowerbound.runs.setting_checks import check_settings
from lowerbound.training.config import TrainingConfig

Settings = Mapping[str, Any]
"""Section to a table of keys and values, or to the dataclass of the section, which is then taken as it is."""

AUTO = "auto"
"""Recipe of an experiment whose model and training are chosen by the data, where settings leave them open."""


@named_arguments
@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides a run's result."""

    recipe: str = "custom"  # a name, for reports
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: Objective = field(default_factory=Objective)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        if not self.training.min_steps:  # else the number of epochs depends on the data
            refuse_unfit_training(self.objective, self.training.batch_size, self.training.num_epochs)
        # Resolved, so that config.toml states the rate that was used.
        if families := Families.of_config(self.model):
            object.__setattr__(self, "objective", self.objective.fitted_to(families))

    @property
    def trained_with(self) -> TrainedWith:
        """What the diagnosis of a model has to know of its training."""
        settings = {
            f"{section}.{key}": value for section, keys in self.settings().items() for key, value in keys.items()
        }
        return TrainedWith(allowed_distortion=self.objective.allowed_distortion, settings=settings)

    def settings(self) -> dict[str, dict[str, Any]]:
        """All five sections as tables, with every key."""
        return {name: asdict(getattr(self, name)) for name in SECTIONS}


class WholeSection(dict[str, Any]):
    """A section that was given as a dataclass: it replaces a section below it, instead of being merged with it."""


def resolve(base: str | Experiment, settings: Settings | None = None) -> Experiment:
    """The experiment of a recipe, or another experiment, with `settings` that override it.

    Without a recipe, an empty `base`, the experiment is of recipe `AUTO`. ConfigError or UnknownName for anything that
    is not accepted.
    """
    given = tables(settings or {})
    if isinstance(base, Experiment):
        return from_settings(base.recipe, merge(base.settings(), given))
    if not base:
        return from_settings(AUTO, given)
    content = read_recipe(base)
    check_settings(content)
    content.pop("description", None)
    return from_settings(Path(base).stem, merge(content, given))


def from_settings(recipe: str, settings: Settings) -> Experiment:
    """The experiment that `settings` describe, over the defaults; the error lists everything that is not accepted."""
    given = tables(settings)
    _check_keys(given)
    values = {section: dict(content) for section, content in given.items()}
    if preset := values.get("objective", {}).pop("preset", None):
        if not isinstance(preset, str) or preset not in OBJECTIVES:
            raise UnknownName("objective.preset", str(preset), OBJECTIVES)
        values["objective"] = merge(asdict(OBJECTIVES[preset]), values["objective"])
    for section, content in values.items():
        for key, value in content.items():
            if isinstance(value, str) and _is_list_of_texts(section, key):
                content[key] = [value]
    try:
        return _adapter().validate_python({"recipe": recipe, **values})
    except ValidationError as error:
        raise ConfigError("; ".join(_problems(error)) + ".") from error


def tables(settings: Settings) -> dict[str, Any]:
    """Settings with every section as a table; ConfigError for values that no setting accepts."""
    check_settings(settings)
    found = {}
    for section, content in settings.items():
        if is_dataclass(content) and not isinstance(content, type):
            if section in SECTIONS and not isinstance(content, SECTIONS[section]):
                accepted = SECTIONS[section].__name__
                raise ConfigError(f"{section} takes a {accepted} or a table of keys, got a {type(content).__name__}.")
            content = WholeSection(asdict(content))
        found[section] = content
    return found


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of settings merged key by key; `above` overrides `below`."""
    merged: dict[str, Any] = WholeSection(below) if isinstance(below, WholeSection) else dict(below)
    for key, value in above.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merges = both_tables and not isinstance(value, WholeSection)
        merged[key] = merge(merged[key], value) if merges else value
    return merged


def keyword_settings(**keywords: Any) -> dict[str, dict[str, Any]]:
    """The settings of KEYWORDS; None, False, an empty text and likelihood "auto" mean that a keyword was not given."""
    settings: dict[str, dict[str, Any]] = {}
    for keyword, value in keywords.items():
        if value is None or value is False or (isinstance(value, str) and value in ("", "auto")):
            continue
        section, key, *_ = KEYWORDS[keyword]
        settings.setdefault(section, {})[key] = value
        if keyword == "epochs":  # exactly that many, however few steps they are
            settings[section]["min_steps"] = 0
    return settings


def recipe_descriptions() -> dict[str, str]:
    """Name and one-line description of every recipe of the package."""
    return {
        path.name.removesuffix(".toml"): tomllib.loads(path.read_text(encoding="utf-8"))["description"]
        for path in _recipe_files()
    }


def read_recipe(name: str) -> dict[str, Any]:
    """The content of a recipe, by its name or by the path of a .toml file."""
    if name.endswith(".toml"):
        return read_toml(Path(name))
    for path in _recipe_files():
        if path.name == f"{name}.toml":
            return tomllib.loads(path.read_text(encoding="utf-8"))
    raise UnknownName("recipe", name, [*recipe_descriptions(), "the path of a .toml file"])


def _recipe_files() -> list[Traversable]:
    folder = resources.files("lowerbound") / "recipes"
    return sorted((path for path in folder.iterdir() if path.name.endswith(".toml")), key=lambda path: path.name)


def _check_keys(settings: Mapping[str, Any]) -> None:
    for section, content in settings.items():
        if section not in SECTIONS:
            raise UnknownName("section", section, SECTIONS)
        if not isinstance(content, Mapping):
            raise ConfigError(f"{section} is a section of keys, got the value {content!r}.")
        _check_section(section, content, SECTIONS[section], ["preset"] if section == "objective" else [])


def _check_section(path: str, content: Mapping[str, Any], kind: Any, extra: Iterable[str] = ()) -> None:
    """UnknownName for keys that the section's dataclass does not have; a key may itself contain a section."""
    accepted = {key.name: key.type for key in fields(kind)} | dict.fromkeys(extra, str)
    for key, value in content.items():
        if key not in accepted:
            raise UnknownName("key", f"{path}.{key}", [f"{path}.{name}" for name in accepted])
        if isinstance(value, bool) and _is_number(accepted[key]):
            raise ConfigError(f"{path}.{key} is a number, got {str(value).lower()}.")
        if is_dataclass(accepted[key]) and isinstance(value, Mapping):
            _check_section(f"{path}.{key}", value, accepted[key])
        inner = get_args(accepted[key])[-1] if get_origin(accepted[key]) is dict else None
        if is_dataclass(inner) and isinstance(value, Mapping):
            for name, settings in value.items():
                if isinstance(settings, Mapping):
                    _check_section(f'{path}.{key}."{name}"', settings, inner)


def _is_number(kind: Any) -> bool:
    """Whether a key's type accepts numbers but not booleans, which pydantic would read as 0 and 1."""
    kinds = {kind, *get_args(kind)}
    return bool(kinds & {int, float}) and bool not in kinds and get_origin(kind) not in (tuple, dict)


@cache
def _adapter() -> Any:
    return TypeAdapter(Experiment)


def _is_list_of_texts(section: str, key: str) -> bool:
    types = {field.name: field.type for field in fields(SECTIONS[section])}
    return types.get(key) == tuple[str, ...]


def _problems(error: ValidationError) -> list[str]:
    """Each refused value once: for a union of types the first reason, without the name of the type in the place."""
    found: dict[tuple[int | str, ...], str] = {}
    for problem in error.errors():
        place = problem["loc"][:-1] if problem["loc"][-1] in ("int", "float", "bool", "str") else problem["loc"]
        wanted = problem["msg"] if place == problem["loc"] else "input should be a valid number"
        found.setdefault(place, _described(place, wanted, problem["input"]))
    return list(found.values())


def _described(location: tuple[int | str, ...], message: str, got: Any) -> str:
    return f"{'.'.join(map(str, location))}: {message[0].lower()}{message[1:]}, got {one_line(repr(got), 200)}"


SECTIONS: dict[str, Any] = {section.name: section.type for section in fields(Experiment) if is_dataclass(section.type)}

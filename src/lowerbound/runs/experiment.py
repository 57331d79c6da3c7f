"""An experiment: five sections of configuration. Where settings come from, and what is wrong with them.

Settings are laid over one another: the defaults beside each dataclass, then the recipe's TOML, then what the caller
sets. A recipe is a file in `recipes/`, or a TOML file anywhere.
"""

import re
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
from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.storage import read_toml
from lowerbound.foundation.text import one_line
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import knows_kl
from lowerbound.objectives.objective import OBJECTIVES, Objective
from lowerbound.runs.setting_checks import MAX_DEPTH, check_settings
from lowerbound.training.config import TrainingConfig

Settings = dict[str, dict[str, Any]]
"""Section to key to value."""

KEY_PART = r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s."'=]+"""
ASSIGNMENT = re.compile(rf"(?P<key>(?:{KEY_PART})(?:\s*\.\s*(?:{KEY_PART}))+)\s*=(?P<value>.*)", re.DOTALL)
"""section.key=value; a key is TOML's, so that a column's name may be quoted: data.columns."a.b=c".kind=numeric."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides a run's result."""

    recipe: str = "dense"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: Objective = field(default_factory=Objective)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        self.objective.check_posterior(self.model.posterior)
        # Resolved, so that config.toml says which rate was charged.
        resolved = self.objective.resolved(self.model.posterior, knows_kl(self.model))
        object.__setattr__(self, "objective", resolved)

    def settings(self) -> Settings:
        """The five sections, everything resolved."""
        return {name: asdict(getattr(self, name)) for name in SECTIONS}


def resolve(recipe: str, settings: Settings | None = None) -> Experiment:
    """The experiment of a recipe with `settings` laid over it; ConfigError or UnknownName for what is not accepted."""
    content = read_recipe(recipe)
    for given in (content, settings or {}):
        check_settings(given)
    content.pop("description", None)
    name = Path(recipe).stem
    return from_settings(name, merge(content, settings or {}))


def from_settings(recipe: str, settings: Mapping[str, Any]) -> Experiment:
    """The experiment that settings describe, over the defaults; all that is wrong with them is said at once."""
    check_settings(settings)
    _check_keys(settings)
    values = {section: dict(content) for section, content in settings.items()}
    if preset := values.get("objective", {}).pop("preset", None):
        if not isinstance(preset, str) or preset not in OBJECTIVES:
            raise UnknownName("objective.preset", str(preset), OBJECTIVES)
        values["objective"] = asdict(OBJECTIVES[preset]) | values["objective"]
    for section, content in values.items():
        for key, value in content.items():
            if isinstance(value, str) and _is_list_of_texts(section, key):
                content[key] = [value]
    try:
        return _adapter().validate_python({"recipe": recipe, **values})
    except ValidationError as error:
        problems = [_in_words(problem["loc"], problem["msg"], problem["input"]) for problem in error.errors()]
        raise ConfigError("; ".join(problems) + ".") from error


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, table by table."""
    merged = dict(below)
    for key, value in above.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both_tables else value
    return merged


def parse_settings(assignments: Iterable[str]) -> Settings:
    """Settings from "section.key=value" words; a value is TOML, and what is not TOML is a string."""
    settings: Settings = {}
    for assignment in assignments:
        match = ASSIGNMENT.fullmatch(assignment.strip())
        if match is None:
            raise ConfigError(f"--set {assignment!r} is not section.key=value, such as training.num_epochs=5.")
        section, *keys = _toml_key(match["key"])
        value = _toml_value(".".join([section, *keys]), match["value"].strip())
        for key in reversed(keys):
            value = {key: value}
        check_settings({section: value})
        settings = merge(settings, {section: value})
    return settings


def recipe_descriptions() -> dict[str, str]:
    """Name and one-line description of every recipe that comes with the package."""
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
    """Refuse keys that a section's dataclass does not have; a key may be a section within it."""
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
    """Whether a key's type has numbers and no booleans, which pydantic would take for 0 and 1."""
    kinds = {kind, *get_args(kind)}
    return bool(kinds & {int, float}) and bool not in kinds and get_origin(kind) not in (tuple, dict)


@cache
def _adapter() -> Any:
    return TypeAdapter(Experiment)


def _is_list_of_texts(section: str, key: str) -> bool:
    types = {field.name: field.type for field in fields(SECTIONS[section])}
    return types.get(key) == tuple[str, ...]


def _toml_key(text: str) -> list[str]:
    """The parts of a dotted key, quoted ones without their quotes."""
    parts = re.findall(KEY_PART, text)
    if len(parts) > MAX_DEPTH:
        raise ConfigError(
            f"--set {text[:40]}...: the key has {len(parts):,} parts, no setting's has more than {MAX_DEPTH}."
        )
    try:
        return [tomllib.loads(f"value = {part}")["value"] if part[0] in "\"'" else part for part in parts]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set {text}: a part in quotes is not TOML's ({error}).") from error


def _toml_value(name: str, text: str) -> Any:
    if "\n" in text and not text.startswith(('"', "'", "[", "{")):
        raise ConfigError(f"{name} is given more than one line; give each setting a --set of its own.")
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except RecursionError:
        raise ConfigError(f"{name} is nested more than {MAX_DEPTH} deep, which no setting is.") from None
    except tomllib.TOMLDecodeError:
        # What a shell leaves of ["a", "b"].
        if text.startswith("[") and text.endswith("]"):
            return [word.strip() for word in text[1:-1].split(",")]
        return text
    except ValueError:
        raise ConfigError(f"{name} is a number of thousands of digits; write a shorter one.") from None


def _in_words(location: tuple[int | str, ...], message: str, got: Any) -> str:
    return f"{'.'.join(map(str, location))}: {message[0].lower()}{message[1:]}, got {one_line(repr(got), 200)}"


SECTIONS = {section.name: section.type for section in fields(Experiment) if is_dataclass(section.type)}

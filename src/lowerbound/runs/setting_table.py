"""setting_table(): every setting of a configuration as a record with its key, type, default, range and meaning.

The records come from the dataclasses of the sections, and from the tables of parts with their options. The command
`settings` prints them, and the documentation is generated from them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from inspect import Parameter, cleandoc
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.ranges import Range
from lowerbound.foundation.settings import accepted_by, type_hints
from lowerbound.models.config import PARTS
from lowerbound.objectives.bounds import BOUNDS
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.options import options_of
from lowerbound.objectives.penalties import PENALTIES
from lowerbound.objectives.presets import OBJECTIVES
from lowerbound.objectives.rates import RATES
from lowerbound.probability.parts import Part, option_parameters, plain_type
from lowerbound.runs.experiment import SECTIONS


@dataclass(frozen=True)
class Name:
    """A name that a setting accepts."""

    name: str
    meaning: str


@dataclass(frozen=True)
class SettingRecord:
    """One setting."""

    key: str  # such as training.batch_size; NAME stands for a name of your own
    type: str  # such as "integer", "list of integers", "table of numbers"
    default: str  # as --set takes it; empty for an option that has none
    accepted: str  # numbers in words, such as "at least 1", or the accepted words; empty for any of the type
    meaning: str
    of: str = ""  # for an option: the name that has it, such as "gaussian"
    names: tuple[Name, ...] = ()  # the names that it accepts


def setting_table() -> list[SettingRecord]:
    """All settings in the order of the sections, each followed by the options of the names that it accepts.

    Registered parts of your own are included.
    """
    return [record for section, kind in SECTIONS.items() for record in _of_section(section, kind)]


def find_settings(key: str) -> list[SettingRecord]:
    """The settings of a section, of a key with or without its section, or below a key; all of them for an empty text.

    Those of a key whose value is a name include the options of its names. Raises UsageError, which states the nearest
    keys, for anything else.
    """
    table = setting_table()
    if not key:
        return table
    exact = {record.key for record in table if record.key == key} or {
        record.key for record in table if record.key.rpartition(".")[2] == key and not record.of
    }
    roots = exact | {OPTIONS_OF[name] for name in exact & OPTIONS_OF.keys()} | {key}
    found = [one for one in table if one.key in exact or any(one.key.startswith(f"{root}.") for root in roots)]
    if not found:
        raise UsageError(f"unknown setting {key!r}; the nearest are {', '.join(nearest_keys(key))}.", hint="listed")
    return found


def keys_called(name: str) -> list[str]:
    """The keys of sections that have this name."""
    return list(dict.fromkeys(record.key for record in setting_table() if record.key.partition(".")[2] == name))


def nearest_keys(text: str, num: int = 5, least: float = 0.0) -> list[str]:
    """The keys most similar to a text, by their full or their last name, best first; `least` is in [0, 1]."""
    words = text.lower().replace("-", "_")
    similarity = {
        key: max(SequenceMatcher(None, words, name).ratio() for name in (key, key.rpartition(".")[2]))
        for key in dict.fromkeys(record.key for record in setting_table())
    }
    near = (key for key in similarity if similarity[key] >= least)
    return sorted(near, key=lambda key: (-similarity[key], key.count(".")))[:num]


def _of_section(prefix: str, kind: Any) -> Iterator[SettingRecord]:
    hints = type_hints(kind)
    if kind is Objective:
        yield PRESET
    for one in fields(kind):
        key, hint = f"{prefix}.{one.name}", hints[one.name]
        inner = get_args(hint)[-1] if get_origin(hint) is dict else hint
        if is_dataclass(inner):
            yield from _of_section(key if inner is hint else f"{key}.NAME", inner)
        else:
            yield _record(key, one, hint)
            for owner, row in OPTIONS.get(key, {}).items():
                yield from _options(f"{key}.{owner}" if key == "objective.penalty_options" else key, owner, row)


def _record(key: str, one: Field[Any], hint: Any) -> SettingRecord:
    accepted = accepted_by(one)
    default = one.default_factory() if one.default is MISSING and one.default_factory is not MISSING else one.default
    return SettingRecord(
        key,
        type_in_words(hint),
        _as_toml(default),
        _accepted(hint, accepted.numbers),
        accepted.meaning,
        names=tuple(Name(name, _meaning(row)) for name, row in accepted.names.items()),
    )


def _options(key: str, owner: str, row: Any) -> Iterator[SettingRecord]:
    """The options of a part, which is a class, or of a row of an objective's tables."""
    is_part = isinstance(row, type) and issubclass(row, Part)
    for name, parameter in (option_parameters(row) if is_part else options_of(row)).items():
        kind = plain_type(parameter)
        about = get_args(parameter.annotation)[1:] if get_origin(parameter.annotation) is Annotated else ()
        numbers = next((part for part in about if isinstance(part, Range)), None)
        if is_part and name in row.accepted_options:
            numbers = row.accepted_options[name]
        yield SettingRecord(
            f"{key}.{name}",
            type_in_words(kind),
            "" if parameter.default is Parameter.empty else _as_toml(parameter.default),
            _accepted(kind, numbers),
            next((part for part in about if isinstance(part, str)), ""),
            of=owner,
        )


def type_in_words(hint: Any) -> str:
    """The type of a setting, such as "integer" or "list of numbers"."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return type_in_words(type(arguments[0]))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(type_in_words, arguments)))
    if origin is tuple:
        length = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"list of {length}{PLURALS[arguments[0]]}"
    if origin is dict:
        return "table by name"
    return TYPES[hint]


def _accepted(hint: Any, numbers: Range | None) -> str:
    """The accepted numbers or words of a type."""
    words = [word for part in (hint, *get_args(hint)) if get_origin(part) is Literal for word in get_args(part)]
    if words:
        return ", ".join(json.dumps(word) for word in words)
    return str(numbers or "")


def _as_toml(default: Any) -> str:
    """A default as it is written in a TOML file, and after --set."""
    return json.dumps(default, ensure_ascii=False)


def _meaning(row: Any) -> str:
    """The meaning of a row of a table of names: its own text, or the first sentence of its docstring."""
    text = row if isinstance(row, str) else getattr(row, "meaning", None) or row.__doc__ or ""
    return " ".join(cleandoc(text).partition("\n\n")[0].split())


def _preset_in_words(objective: Objective) -> str:
    """The keys of a preset that differ from the defaults, as settings."""
    standard = Objective()
    changed = {
        one.name: getattr(objective, one.name)
        for one in fields(objective)
        if getattr(objective, one.name) != getattr(standard, one.name)
    }
    return ", ".join(f"{name}={_as_toml(value)}" for name, value in changed.items()) or "the defaults"


TYPES = {int: "integer", float: "number", bool: "true or false", str: "text"}
PLURALS = {int: "integers", float: "numbers", str: "texts"}

OPTIONS: dict[str, Mapping[str, Any]] = {
    **{f"model.{kind}_options": table for kind, table in PARTS.items()},
    "objective.bound_options": BOUNDS,
    "objective.rate_options": RATES,
    "objective.penalty_options": PENALTIES,
}
"""Tables of the names that have options, by the setting that contains these."""

OPTIONS_OF = {
    **{key.removesuffix("_options"): key for key in OPTIONS},
    "objective.penalties": "objective.penalty_options",
}
"""The setting that contains the options of another one's names."""

PRESET = SettingRecord(
    "objective.preset",
    "text",
    "",
    "",
    "Objective of a paper, by name; the keys of this section that are set change it.",
    names=tuple(Name(name, _preset_in_words(objective)) for name, objective in OBJECTIVES.items()),
)
"""A key of files and settings that is replaced by the keys of the objective that it names."""

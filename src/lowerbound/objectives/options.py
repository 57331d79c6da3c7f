"""Options of bounds, rates and penalties: the keyword-only arguments of a row, each a number with a range.

A row of a table is a function, or a class of which each training has an instance (`StatePart`). A configuration stores
its options by name; they are checked before training starts.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, get_args

from lowerbound.foundation.errors import ConfigError, UnknownName

Option = int | float


@dataclass(frozen=True)
class Range:
    """Smallest and largest accepted value of an option, in its annotation: `Annotated[int, Range(1, 100)]`."""

    least: float = -math.inf
    most: float = math.inf


def options_of(row: Callable[..., Any]) -> dict[str, Parameter]:
    """The keyword-only arguments of a row by name; those without a default must be given."""
    parameters = signature(row).parameters.values()
    return {parameter.name: parameter for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY}


def check_options(key: str, row: Callable[..., Any], name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that the row `name` does not have, and values that it does not accept.

    `key` is the setting with the options, such as objective.rate_options. UnknownName or ConfigError.
    """
    accepted = options_of(row)
    for option, value in options.items():
        if not accepted:
            raise ConfigError(f"{key}.{option}: {name!r} has no options.")
        if option not in accepted:
            raise UnknownName(f"{key} of {name!r}", option, accepted)
        _check_value(f"{key}.{option}", value, accepted[option])
    for option, parameter in accepted.items():
        if parameter.default is Parameter.empty and option not in options:
            raise ConfigError(f"{name!r} needs {key}.{option}, which has no default; set it to a number.")


def option(row: Callable[..., Any], options: Mapping[str, Option], name: str) -> Option:
    """The value of an option: the given one, or the row's default."""
    value: Option = options.get(name, options_of(row)[name].default)
    return value


def _check_value(key: str, value: Any, parameter: Parameter) -> None:
    kind, accepted = get_args(parameter.annotation)
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise ConfigError(f"{key} needs a {'whole ' if kind is int else ''}number, got {value!r}.")
    if not (accepted.least <= value <= accepted.most and math.isfinite(value)):
        raise ConfigError(f"{key} needs {_described(accepted)}, got {value:g}.")


def _described(accepted: Range) -> str:
    if accepted.most < math.inf:
        return f"a number from {accepted.least:g} to {accepted.most:g}"
    if accepted.least > -math.inf:
        return f"a finite number of at least {accepted.least:g}"
    return "a finite number"

"""Options of bounds, rates and penalties: the keyword-only arguments of a row, each a number with a range.

An annotation has the range, and may have the option's meaning: `Annotated[float, Range(0), "Free nats."]`.

A row of a table is a function, or a class of which each training has an instance (`StatePart`). A configuration stores
its options by name; they are checked before training starts.
"""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, get_args

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.ranges import check_number

Option = int | float


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
        kind, numbers, *_ = get_args(accepted[option].annotation)
        check_number(f"{key}.{option}", value, numbers, whole=kind is int)
    for option, parameter in accepted.items():
        if parameter.default is Parameter.empty and option not in options:
            raise ConfigError(f"{name!r} needs {key}.{option}, which has no default; set it to a number.")


def option(row: Callable[..., Any], options: Mapping[str, Option], name: str) -> Option:
    """The value of an option: the given one, or the row's default."""
    value: Option = options.get(name, options_of(row)[name].default)
    return value

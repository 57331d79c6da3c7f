"""Settings: fields of a configuration that carry their meaning and the values that they accept.

    batch_size: int = setting(128, "Examples of a minibatch.", at_least=1)

The field is the one source: `check_fields` refuses other values, and `runs.setting_table` lists fields with their
meanings for the command `settings` and the documentation.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lowerbound.foundation.errors import UnknownName
from lowerbound.foundation.ranges import Range, check_number

KEY = "setting"
"""Key of a field's metadata."""


@dataclass(frozen=True)
class Accepted:
    """The meaning of a setting, and the values that it accepts."""

    meaning: str
    numbers: Range | None = None  # of each element, for a tuple
    names: Mapping[str, Any] = field(default_factory=dict)  # a table; empty if any value of the type is accepted
    also: tuple[str, ...] = ()  # further names, which are not offered


def setting(
    default: Any = MISSING,
    meaning: str = "",
    *,
    default_factory: Callable[[], Any] | None = None,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float = math.inf,
    below: float | None = None,
    names: Mapping[str, Any] | None = None,
    also: tuple[str, ...] = (),
) -> Any:
    """A field of a configuration with its meaning (one sentence or more) and the numbers or names that it accepts."""
    numbers = None
    if at_least is not None or above is not None:
        least = above if at_least is None else at_least
        most = at_most if below is None else below
        excluded = tuple(end for end in (above, below) if end is not None)
        numbers = Range(-math.inf if least is None else least, most, excluded)
    metadata = {KEY: Accepted(meaning, numbers, names or {}, also)}
    if default_factory is not None:
        return field(default_factory=default_factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def accepted_by(one: Field[Any]) -> Accepted:
    """The meaning and accepted values of a field; empty for one that was not declared by `setting`."""
    found: Accepted = one.metadata.get(KEY, Accepted(""))
    return found


def check_fields(config: Any, prefix: str) -> None:
    """ConfigError or UnknownName for a value that a field of a configuration, a dataclass, does not accept.

    `prefix` is the section of the configuration, which messages name before the key.
    """
    hints = type_hints(config.__class__)
    for one in fields(config):
        key, value = f"{prefix}.{one.name}", getattr(config, one.name)
        accepted, hint = accepted_by(one), hints[one.name]
        names: Iterable[str] = get_args(hint) if get_origin(hint) is Literal else accepted.names
        for name in value if isinstance(value, Mapping) else (value,):
            if names and name not in names and name not in accepted.also:
                raise UnknownName(key, str(name), names)
        if accepted.numbers is not None:
            for number in value if isinstance(value, tuple) else (value,):
                check_number(key, number, accepted.numbers, whole=int in (hint, *get_args(hint)))


@cache
def type_hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields by name."""
    return get_type_hints(kind)

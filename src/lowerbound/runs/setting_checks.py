"""Checks of any setting: finite numbers, and bounded length, digits and nesting.

The values that a particular setting accepts are checked where it is defined. Values that no setting accepts are refused
here, before they are merged with other settings or written into a message: NaN, whole numbers of thousands of digits,
deeply nested lists.
"""

import math
from collections.abc import Mapping
from typing import Any

from lowerbound.foundation.errors import ConfigError

MAX_DEPTH = 8  # data.columns.NAME.levels has four
MAX_WHOLE = 2**63
MAX_OTHER = 10**9  # of whole numbers other than seeds: widths, epochs, numbers of examples
LONGEST_TEXT = 10_000  # characters


def check_settings(settings: Any) -> None:
    """ConfigError for anything but tables of keys and values that some setting could accept."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"settings are a {type(settings).__name__}; accepted: sections of keys and values.")
    check_value("", settings)


def check_value(name: str, value: Any, depth: int = 0) -> None:
    """ConfigError for a value that no setting called `name` can have."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"{name} is nested more than {MAX_DEPTH} levels deep, which no setting accepts.")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ConfigError(f"{name or 'settings'} has the key {_shown(key)}; keys must be strings.")
            check_value(f"{name}.{key}" if name else key, inner, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            check_value(name, inner, depth + 1)
    elif (wrong := _wrong(name, value)) != "":
        raise ConfigError(f"{name} is {wrong}.")


def _wrong(name: str, value: Any) -> str:
    """What is wrong with a number or text; empty if nothing is."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return f"a string of {len(value):,} characters; the limit is {LONGEST_TEXT:,}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}; only finite numbers are accepted"
    if isinstance(value, int):
        most = MAX_WHOLE if name.endswith("seed") else MAX_OTHER
        if not -most < value < most:
            return f"a whole number of {_num_digits(value)} digits; accepted: numbers below {most:.0e}"
    return ""


def _num_digits(value: int) -> int:
    # Python refuses to format thousands of digits.
    exact = value.bit_length() < 10_000
    return len(str(abs(value))) if exact else round(value.bit_length() * math.log10(2))


def _shown(key: Any) -> str:
    return repr(key) if isinstance(key, bool | float) or key is None else f"of type {type(key).__name__}"

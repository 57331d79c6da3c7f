"""Parsing of the options --set SECTION.KEY=VALUE and --over SECTION.KEY=VALUE,VALUE,... into settings."""

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from lowerbound.foundation.errors import ConfigError
from lowerbound.runs.experiment import merge
from lowerbound.runs.setting_checks import MAX_DEPTH, check_settings
from lowerbound.runs.setting_keys import DOTTED_KEY, key_parts, nested

ASSIGNMENT = re.compile(rf"(?P<key>{DOTTED_KEY})\s*=(?P<value>.*)", re.DOTALL)
"""section.key=value with a TOML key, in which a column's name may be quoted: data.columns."a.b=c".kind=numeric."""

OPENING, CLOSING, QUOTES = "[{", "]}", "\"'"


def parse_settings(assignments: Iterable[str]) -> dict[str, Any]:
    """Settings from texts of the form section.key=value; a value that is not TOML is a string."""
    settings: dict[str, Any] = {}
    for assignment in assignments:
        match = ASSIGNMENT.fullmatch(assignment.strip())
        if match is None:
            raise ConfigError(f"--set {assignment!r} is not section.key=value, such as training.num_epochs=5.")
        parts = key_parts(match["key"])
        given = nested(parts, _value(".".join(parts), match["value"].strip()))
        check_settings(given)
        settings = merge(settings, given)
    return settings


def parse_over(assignments: Iterable[str]) -> dict[str, list[Any]]:
    """Values by key, from texts of the form section.key=value,value,...; commas within brackets and quotes divide
    nothing.
    """
    over: dict[str, list[Any]] = {}
    for assignment in assignments:
        match = ASSIGNMENT.fullmatch(assignment.strip())
        if match is None:
            raise ConfigError(
                f"--over {assignment!r} is not section.key=value,value,..., such as objective.rate_weight=0.1,1,10."
            )
        key = match["key"]
        if key in over:
            raise ConfigError(f"--over {key} is given twice; give all of its values at once, separated by commas.")
        texts = _divided(match["value"])
        if "" in texts:
            raise ConfigError(f"--over {assignment!r} has an empty value; remove a comma, or add the value.")
        over[key] = [_value(key, text) for text in texts]
    return over


def _divided(text: str) -> list[str]:
    """The parts between commas outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in QUOTES:
            quote = character
        elif character in OPENING + CLOSING:
            depth += 1 if character in OPENING else -1
        if character == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _value(name: str, text: str) -> Any:
    if "\n" in text and not text.startswith(('"', "'", "[", "{")):
        raise ConfigError(f"{name} is given more than one line; use a separate --set for each setting.")
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply; no setting has more than {MAX_DEPTH} levels.") from None
    except tomllib.TOMLDecodeError:
        # What a shell leaves of ["a", "b"].
        if text.startswith("[") and text.endswith("]"):
            return [word.strip() for word in text[1:-1].split(",")]
        return text
    except ValueError:
        raise ConfigError(f"{name} is a number with thousands of digits; give a shorter one.") from None

"""Parsing of the option --set SECTION.KEY=VALUE into settings."""

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from lowerbound.foundation.errors import ConfigError
from lowerbound.runs.experiment import merge
from lowerbound.runs.setting_checks import MAX_DEPTH, check_settings

KEY_PART = r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s."'=]+"""
ASSIGNMENT = re.compile(rf"(?P<key>(?:{KEY_PART})(?:\s*\.\s*(?:{KEY_PART}))+)\s*=(?P<value>.*)", re.DOTALL)
"""section.key=value with a TOML key, in which a column's name may be quoted: data.columns."a.b=c".kind=numeric."""


def parse_settings(assignments: Iterable[str]) -> dict[str, Any]:
    """Settings from texts of the form section.key=value; a value that is not TOML is a string."""
    settings: dict[str, Any] = {}
    for assignment in assignments:
        match = ASSIGNMENT.fullmatch(assignment.strip())
        if match is None:
            raise ConfigError(f"--set {assignment!r} is not section.key=value, such as training.num_epochs=5.")
        section, *keys = _key_parts(match["key"])
        value = _value(".".join([section, *keys]), match["value"].strip())
        for key in reversed(keys):
            value = {key: value}
        check_settings({section: value})
        settings = merge(settings, {section: value})
    return settings


def _key_parts(text: str) -> list[str]:
    """The parts of a dotted key, without their quotes."""
    parts = re.findall(KEY_PART, text)
    if len(parts) > MAX_DEPTH:
        raise ConfigError(
            f"--set {text[:40]}...: the key has {len(parts):,} parts; no setting has more than {MAX_DEPTH}."
        )
    try:
        return [tomllib.loads(f"value = {part}")["value"] if part[0] in "\"'" else part for part in parts]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set {text}: a quoted part of the key is not valid TOML ({error}).") from error


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

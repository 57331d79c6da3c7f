"""Keys of single settings: dotted names such as objective.rate_weight, in which a column's name may be quoted."""

import re
import tomllib
from typing import Any

from lowerbound.foundation.errors import ConfigError
from lowerbound.runs.setting_checks import MAX_DEPTH

KEY_PART = r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s."'=]+"""
DOTTED_KEY = rf"(?:{KEY_PART})(?:\s*\.\s*(?:{KEY_PART}))+"
"""A section and a key in it, or deeper: a TOML key."""


def key_parts(text: str) -> list[str]:
    """The parts of a dotted key, without their quotes; ConfigError for anything else."""
    if not re.fullmatch(DOTTED_KEY, text.strip()):
        raise ConfigError(f"{text[:80]!r} is not the key of a setting, such as objective.rate_weight.")
    parts = re.findall(KEY_PART, text)
    if len(parts) > MAX_DEPTH:
        raise ConfigError(f"{text[:40]}...: the key has {len(parts):,} parts; no setting has more than {MAX_DEPTH}.")
    try:
        return [tomllib.loads(f"value = {part}")["value"] if part[0] in "\"'" else part for part in parts]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{text}: a quoted part of the key is not valid TOML ({error}).") from error


def nested(parts: list[str], value: Any) -> dict[str, Any]:
    """A value under a key, as settings."""
    for part in reversed(parts):
        value = {part: value}
    return dict(value)

"""Strict parsing of a run's JSON and TOML files into the dataclasses that they were written from.

Types are not converted: text is not a number, true is not 1, and missing or unknown keys are refused. So a file that
was damaged, edited or replaced is refused in one line when it is read, instead of failing later elsewhere.
"""

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from lowerbound.foundation.errors import RunError, UsageError

MOST_SHOWN = 60  # characters of a value

T = TypeVar("T")

_adapter: Callable[[Any], Any] = lru_cache(TypeAdapter)


def parsed(kind: type[T], value: Any, place: str, *, accepts_infinity: bool = False) -> T:
    """The content of a JSON or TOML file as `kind`, a dataclass or another type; RunError if it does not match.

    `place` is what the message names: a file, a line or a section of it.
    """
    try:
        text = json.dumps(value, allow_nan=accepts_infinity)
    except (TypeError, ValueError, RecursionError) as error:
        raise RunError(f"{place} is damaged ({error}); restore it.") from error
    try:
        found: T = _adapter(kind).validate_json(text, strict=True, extra="forbid")
        return found
    except UsageError as error:  # raised by a dataclass that checks itself
        raise RunError(f"{place} is damaged ({str(error).rstrip('.')}); restore it.") from error
    except ValidationError as error:
        raise RunError(f"{place} is damaged ({_described(error)}); restore it.") from error


def _described(error: ValidationError) -> str:
    """The first problem with its location, and the number of others."""
    first, *others = error.errors(include_url=False)
    more = f"; and {len(others)} more" if others else ""
    return f"{_key(first['loc'])}{_problem(first['type'], first['msg'], first['input'])}{more}"


def _problem(kind: str, message: str, got: Any) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "unexpected_keyword_argument":
        return "is not a known key"
    shown = json.dumps(got, ensure_ascii=False, default=str)
    shown = shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}..."
    return f"{message[:1].lower()}{message[1:]}, got {shown}"


def _key(location: Iterable[int | str]) -> str:
    key = ".".join(map(str, location))
    return f"{key}: " if key else ""

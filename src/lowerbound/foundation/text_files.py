"""JSON and TOML files: written atomically, and read with one line for what is missing or damaged."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.storage import write_text
from lowerbound.foundation.text import LONE_SURROGATES

MAX_TEXT_BYTES = 2**28  # of a TOML or JSON file: a hundred times that of a table of 20,000 columns


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as indented JSON, atomically; ValueError for NaN and infinity, which JSON lacks."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; RunError if it is missing or damaged."""
    try:
        value = json.loads(_content(path))
    except RecursionError:
        raise RunError(f"{path} is not valid JSON (it is nested too deeply); it is damaged.") from None
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON ({error}); it is damaged.") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} contains a {type(value).__name__}, not an object; it is damaged.")
    return value


def write_toml(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as TOML, atomically; UsageError for text that is not UTF-8."""
    text = tomli_w.dumps(value)
    if found := LONE_SURROGATES.search(text):
        line = ascii(text[text.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0])
        raise UsageError(f"{path.name} can contain only UTF-8, not {line}; rename the file, folder or column.")
    write_text(path, text)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; RunError if it is missing or damaged."""
    try:
        return tomllib.loads(_content(path).decode())
    except RecursionError:
        raise RunError(f"{path} is not valid TOML (it is nested too deeply).") from None
    except ValueError as error:  # damage, another encoding, a number of thousands of digits
        raise RunError(f"{path} is not valid TOML: {error}.") from error


def toml_key(name: str) -> str:
    """A name as part of a TOML key, quoted if necessary."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _content(path: Path) -> bytes:
    """A file's bytes; RunError for pipes and devices, which could block, and for files that are too long."""
    try:
        if not path.is_file() and path.exists():
            raise RunError(f"cannot read {path}: it is not a file.")
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}.") from error
    if len(content) > MAX_TEXT_BYTES:
        raise RunError(f"cannot read {path}: it has more than {MAX_TEXT_BYTES:,} bytes, the limit for text files.")
    return content

"""config.json of a model in Hugging Face's layout: what model.safetensors contains, for other programs and people.

The model file stays authoritative: a config.json that says anything else is refused.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lowerbound.foundation.errors import RunError
from lowerbound.foundation.run_identity import MODEL, is_run
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.storage import FORMAT_VERSION, check_format_version
from lowerbound.foundation.tensor_files import stated_checksum
from lowerbound.foundation.text import one_line
from lowerbound.foundation.text_files import read_json
from lowerbound.models.vae import VAE

PRETRAINED = "config.json"
TYPE = "lowerbound"
WRITER = "lowerbound_version"
"""Key of the version that wrote the file, the only one that the model file does not determine."""


def pretrained_config(folder: Path, model: VAE, schema: Schema, version: str) -> dict[str, Any]:
    """The content of config.json for the model in `folder`/model.safetensors, written by a version."""
    # The support of the training data may be infinite, which JSON lacks.
    stored = {key: value for key, value in asdict(schema).items() if key != "support"}
    return {
        "model_type": TYPE,
        "architectures": [type(model).__name__],
        "format_version": FORMAT_VERSION,
        WRITER: version,
        "checksum": stated_checksum(folder / MODEL),
        "model": _as_json(asdict(model.config)),
        "event_shape": list(model.event_shape),
        "schema": _as_json(stored),
    }


def is_pretrained(path: Path) -> bool:
    """Whether a path is a folder in Hugging Face's layout, of this package's model or of another one's."""
    return not is_run(path) and (path / PRETRAINED).is_file()


def check_is_ours(folder: Path) -> None:
    """RunError if a folder's config.json describes a model of another library, or is damaged."""
    place = folder / PRETRAINED
    stated = read_json(place)
    kind = stated.get("model_type")
    if kind != TYPE:
        named = "does not name its type" if kind is None else f"names the type {one_line(repr(kind), 60)}"
        raise RunError(f"{place} describes a model of another library (it {named}); accepted: model_type {TYPE!r}.")
    check_format_version(place, stated.get("format_version"))
    if not (folder / MODEL).is_file():
        raise RunError(f"{folder / MODEL} does not exist; restore it.")


def check_describes(folder: Path, model: VAE, schema: Schema) -> None:
    """RunError if config.json was damaged or edited, or belongs to another model than the one loaded from there."""
    place = folder / PRETRAINED
    stated = read_json(place)
    version = stated.get(WRITER)
    if not isinstance(version, str):
        raise RunError(f"{place} is damaged ({WRITER} is {one_line(repr(version), 60)}, not a text); restore it.")
    expected = pretrained_config(folder, model, schema, version)
    if stated.get("checksum") != expected["checksum"]:
        raise RunError(f"{place} belongs to another model than {folder / MODEL} (the checksums differ); restore both.")
    for key in _differences(expected, stated):
        raise RunError(
            f"{place} is damaged or was edited ({key} differs from {MODEL}); restore it. Settings of a trained model "
            "cannot be changed."
        )


def _differences(expected: Any, stated: Any, key: str = "") -> Iterator[str]:
    """Keys that one of two JSON values lacks, or that have other values."""
    if isinstance(expected, Mapping) and isinstance(stated, Mapping):
        for name in dict.fromkeys([*expected, *stated]):
            here = f"{key}.{name}" if key else str(name)
            if name not in expected or name not in stated:
                yield one_line(here, 60)
            else:
                yield from _differences(expected[name], stated[name], here)
    elif expected != stated or type(expected) is not type(stated):
        yield key


def _as_json(value: Any) -> Any:
    """A value as JSON returns it: lists for tuples, and text for infinity."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value

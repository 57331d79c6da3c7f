"""What binds the files of a run together: an id in each of them, and a checksum over each.

The id is a hash of the resolved settings and of the data's checksum. Nothing in it is random or depends on where the
data lie, so that the same experiment has the same id everywhere. config.toml states it, and every other file that is
written into the run's directory carries it as its mark; what was measured with the model carries the model's checksum,
too. A reader refuses a file whose mark is not that of the directory it was found in.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.storage import check_format_version, read_metadata, read_toml, stated_checksum
from lowerbound.foundation.strict import parsed

CONFIG, MODEL = "config.toml", "model.safetensors"

PLACES = {("data", "source"), ("data", "data_dir"), ("data", "labels")}
"""Settings that say where data lie. What is found there has a checksum of its own."""

ID_DIGITS = 16


@dataclass(frozen=True)
class RunIdentity:
    """The id of a run, and those that it had before it was resumed with other settings."""

    id: str
    earlier: tuple[str, ...] = ()

    def accepts(self, stated: str) -> bool:
        """Whether a file that states this id was written by the run."""
        return stated in (self.id, *self.earlier)


def run_id(settings: Mapping[str, Mapping[str, Any]], data_checksum: str) -> str:
    """The id of an experiment on some data, in hexadecimal."""
    decisive = {
        section: {key: value for key, value in keys.items() if (section, key) not in PLACES}
        for section, keys in settings.items()
    }
    return digest({"settings": decisive, "data": data_checksum})[:ID_DIGITS]


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of what a JSON or TOML file says, in hexadecimal; the order of its keys and its spacing do not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a config.toml with a checksum over all of it, in its section `run`."""
    run = {key: value for key, value in config["run"].items() if key != "checksum"}
    content = {**config, "run": run}
    return {**content, "run": {**run, "checksum": digest(content)}}


def read_config(run: Path) -> dict[str, Any]:
    """A run's config.toml; UsageError if `run` is not a run directory, RunError if the file is not whole."""
    path = run / CONFIG
    if not path.is_file():
        raise UsageError(f"{run} is not a run directory ({CONFIG} is missing); give one that `lowerbound train` wrote.")
    stored = read_toml(path)
    check_format_version(path, stored.get("format_version"))
    section = stored.get("run")
    if not isinstance(section, dict) or sealed(stored)["run"]["checksum"] != section.get("checksum"):
        raise RunError(
            f"{path} is damaged or was edited (its checksum does not match its content); restore it. "
            "To change settings, train a new run with --set."
        )
    return stored


def identity_of(run: Path) -> RunIdentity | None:
    """The identity of the run in a directory; None where there is no config.toml. RunError if that is not whole."""
    if not (run / CONFIG).is_file():
        return None
    section = read_config(run)["run"]
    stated = {"id": section.get("id"), "earlier": section.get("earlier_ids", [])}
    return parsed(RunIdentity, stated, f"{run / CONFIG}, section run")


def mark_of(run: Path) -> dict[str, str]:
    """What a file states that is written into a run's directory; empty outside of one."""
    identity = identity_of(run)
    return {} if identity is None else {"run": identity.id}


def mark_with_model(run: Path) -> dict[str, str]:
    """The same of a file that was measured with the model in the directory."""
    model = run / MODEL
    return mark_of(run) | ({"model": stated_checksum(model)} if model.is_file() else {})


def check_model(run: Path) -> None:
    """RunError where the model in a run's directory is another run's; only its metadata are read."""
    check_mark(run, MODEL, read_metadata(run / MODEL).get("mark", {}))


def check_mark(run: Path, file: str, mark: Any) -> None:
    """RunError where a file of a run's directory states another run, or was measured with another model."""
    if not isinstance(mark, Mapping):
        raise RunError(f"{run / file} is damaged (its mark is {mark!r}); restore it.")
    identity = identity_of(run)
    if identity is not None and not identity.accepts(str(mark.get("run", ""))):
        raise RunError(
            f"{run / file} belongs to another run (its id is {mark.get('run') or 'not stated'}, that of {run / CONFIG} "
            f"is {identity.id}); restore the file of this run."
        )
    if "model" in mark and (run / MODEL).is_file() and mark["model"] != stated_checksum(run / MODEL):
        check_model(run)  # the file that is to blame, where it is that
        raise RunError(
            f"{run / file} was measured with another model than {run / MODEL}; restore the file, or run "
            f"`lowerbound evaluate {run}`."
        )

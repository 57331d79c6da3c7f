"""Run ids and checksums: they bind the files of a run directory together, and detect damage and files of other runs.

The id is a hash of the resolved settings and of the data's checksum. It is not random and does not depend on where the
data are stored, so the same experiment has the same id everywhere. config.toml states it, and every other file that is
written into the run directory carries it as its mark; measurements of the model carry the model's checksum, too. A
file whose mark is not that of its run directory is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.storage import check_format_version, read_metadata, read_toml, stated_checksum
from lowerbound.foundation.strict import parsed

CONFIG, MODEL = "config.toml", "model.safetensors"

PLACES = {("data", "source"), ("data", "data_dir"), ("data", "labels")}
"""Settings that locate the data. The data itself is identified by its checksum."""

ID_DIGITS = 16


@dataclass(frozen=True)
class RunIdentity:
    """The id of a run, and its earlier ids: resuming with other settings changes the id."""

    id: str
    earlier: tuple[str, ...] = ()

    def accepts(self, stated: str) -> bool:
        """Whether a file with this id was written by the run."""
        return stated in (self.id, *self.earlier)


def run_id(settings: Mapping[str, Mapping[str, Any]], data_checksum: str) -> str:
    """The id of an experiment on data with a checksum, in hexadecimal."""
    decisive = {
        section: {key: value for key, value in keys.items() if (section, key) not in PLACES}
        for section, keys in settings.items()
    }
    return digest({"settings": decisive, "data": data_checksum})[:ID_DIGITS]


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content of a JSON or TOML file, in hexadecimal; key order and spacing do not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def checksum_of(content: Mapping[str, Any]) -> str:
    """The digest of a record without its own key `checksum`."""
    return digest({key: value for key, value in content.items() if key != "checksum"})


def sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a config.toml with a checksum over all of it, stored in its section `run`."""
    run = {key: value for key, value in config["run"].items() if key != "checksum"}
    content = {**config, "run": run}
    return {**content, "run": {**run, "checksum": digest(content)}}


def read_config(run: Path) -> dict[str, Any]:
    """A run's config.toml; UsageError if `run` is not a run directory, RunError if the file is damaged."""
    path = run / CONFIG
    if not is_run(run):
        raise UsageError(f"{run} is not a run directory ({CONFIG} is missing); give a directory that training wrote.")
    stored = read_toml(path)
    check_format_version(path, stored.get("format_version"))
    section = stored.get("run")
    if not isinstance(section, dict) or sealed(stored)["run"]["checksum"] != section.get("checksum"):
        raise RunError(
            f"{path} is damaged or was edited (its checksum does not match its content); restore it. "
            "To change settings, train a new run.",
            hint="settings",
        )
    return stored


def is_run(path: Path) -> bool:
    """Whether a path is a run directory."""
    return (path / CONFIG).is_file()


def identity_of(run: Path) -> RunIdentity | None:
    """The identity of the run in a directory; None without a config.toml. RunError if that is damaged."""
    if not is_run(run):
        return None
    status = (run / CONFIG).stat()
    return _identity(run, (status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=64)
def _identity(run: Path, version: tuple[int, int, int]) -> RunIdentity:
    """Cached by the version of config.toml: every checkpoint and every poll of the explorer asks for it."""
    section = read_config(run)["run"]
    stated = {"id": section.get("id"), "earlier": section.get("earlier_ids", [])}
    return parsed(RunIdentity, stated, f"{run / CONFIG}, section run")


def mark_of(run: Path) -> dict[str, str]:
    """The mark of a file that is written into a run directory; empty outside of one."""
    identity = identity_of(run)
    return {} if identity is None else {"run": identity.id}


def mark_with_model(run: Path) -> dict[str, str]:
    """The mark of a file of measurements, which also names the model in the run directory."""
    model = run / MODEL
    return mark_of(run) | ({"model": stated_checksum(model)} if model.is_file() else {})


def check_model(run: Path) -> None:
    """RunError if the model in a run directory belongs to another run; only its metadata is read."""
    check_mark(run, MODEL, read_metadata(run / MODEL).get("mark", {}))


def check_mark(run: Path, file: str, mark: Any) -> None:
    """RunError if a file of a run directory belongs to another run, or measures another model."""
    if not isinstance(mark, Mapping):
        raise RunError(f"{run / file} is damaged (its run id and checksum are {mark!r}); restore it.")
    identity = identity_of(run)
    if identity is not None and not identity.accepts(str(mark.get("run", ""))):
        raise RunError(
            f"{run / file} belongs to another run (its id is {mark.get('run') or 'not stated'}, that of {run / CONFIG} "
            f"is {identity.id}); restore the file of this run."
        )
    if "model" in mark and (run / MODEL).is_file() and mark["model"] != stated_checksum(run / MODEL):
        check_model(run)  # reports the model file if that belongs to another run
        raise RunError(
            f"{run / file} was measured with another model than {run / MODEL}; restore the file, or "
            "evaluate the run again.",
            hint="evaluate",
            path=run,
        )

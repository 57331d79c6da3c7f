"""Run ids and checksums: they bind the files of a run directory together, and detect damage and files of other runs.

The id is a hash of the resolved settings and of the data's checksum. It is not random and does not depend on where the
data are stored, so the same experiment has the same id everywhere. config.toml states it, and every other file that is
written into the run directory carries it as its mark; measurements of the model carry the model's checksum, too. A
file whose mark is not that of its run directory is refused.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.storage import check_format_version
from lowerbound.foundation.strict import parsed
from lowerbound.foundation.tensor_files import read_metadata, stated_checksum
from lowerbound.foundation.text_files import read_toml

CONFIG, MODEL = "config.toml", "model.safetensors"

PLACES = {("data", "source"), ("data", "data_dir"), ("data", "labels")}
"""Settings that locate the data. The data itself is identified by its checksum."""

ID_DIGITS = 16

RunPath = str | os.PathLike[str]
"""A run: the path of its directory, or a `lowerbound.Run`, which is a path, too."""

MOST_NAMED = 5  # runs in a message


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
        raise not_a_run(run)
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


def path_of(run: Any) -> Path:
    """The path of a run; UsageError for anything else, such as a model."""
    try:
        return Path(run)
    except TypeError:
        raise UsageError(f"expected a run or the path of its directory, got {_with_article(run)}.") from None


def _with_article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def not_a_run(path: Path) -> UsageError:
    """The error for a path that is not a run directory; it names the runs in a directory of several."""
    if names := runs_in(path):
        shown = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
        return UsageError(
            f"{path} is not a run directory but contains {len(names):,} ({shown}); give one of them, such as "
            f"{path / names[0]}."
            if len(names) > 1
            else f"{path} is not a run directory but contains one; give {path / names[0]}."
        )
    return UsageError(f"{path} is not a run directory ({CONFIG} is missing); give a directory that training wrote.")


def runs_in(path: Path) -> list[str]:
    """The names of the run directories in a directory, such as those of several seeds."""
    try:
        return sorted((entry.name for entry in path.iterdir() if is_run(entry)), key=_by_number)
    except OSError:
        return []


def _by_number(name: str) -> tuple[str, int, str]:
    """Sorts seed-2 before seed-10."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0), name


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

"""RunFolder: finds the runs in a folder, and whether each is training, finished or broken.

A run has a config.toml from the start, a metrics.jsonl while it is trained, and a model.safetensors when the training
ends. The folder is scanned again on every request, so that new runs and finished ones are noticed.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lowerbound.foundation.errors import LowerboundError, UsageError
from lowerbound.foundation.run_identity import CONFIG, MODEL, check_model
from lowerbound.foundation.text import readable
from lowerbound.runs.run_data import read_stored
from lowerbound.runs.run_log import LOG
from lowerbound.serving.explorer.messages import without_paths

State = Literal["training", "finished", "broken"]
FileVersion = tuple[int, int]
"""A file's time of modification in nanoseconds and its size in bytes; zeros if it does not exist."""

NO_FILE: FileVersion = (0, 0)
RESUMED_AFTER = 60.0  # seconds by which the log of a resumed run is newer than its earlier model


@dataclass(frozen=True)
class RunEntry:
    """A run and its state."""

    id: str
    title: str
    path: Path
    state: State
    reason: str = ""  # why it is broken
    monitored: str = "validation"  # the split whose scores training logs


@dataclass(eq=False)
class RunFolder:
    """The runs in a folder, directly or one level deeper; or a single run."""

    root: Path
    # The result of the last check, which is valid as long as the files' versions stay the same.
    checked: dict[Path, tuple[tuple[FileVersion, FileVersion], State, str, str]] = field(default_factory=dict)
    known: dict[str, Path] = field(default_factory=dict)  # paths by id, from the last scan

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise UsageError(f"{self.root} is not a folder; give a run, or a folder of runs.")
        self.known = self.paths()
        if not self.known:
            raise UsageError(f"{self.root} contains no run; give a directory written by training.")

    @property
    def is_single(self) -> bool:
        """Whether the folder itself is a run."""
        return is_run(self.root)

    def paths(self) -> dict[str, Path]:
        """The directories of all runs by id, in the order of their names."""
        if self.is_single:
            return {readable(self.root.resolve().name): self.root}
        folders = _folders_in(self.root)
        runs = [folder for folder in folders if is_run(folder)]
        deeper = [inner for folder in folders if folder not in runs for inner in _folders_in(folder)]
        found: dict[str, Path] = {}
        for path in sorted(runs + [folder for folder in deeper if is_run(folder)]):
            # An id is one segment of a URL; the name itself may contain a colon.
            name = readable(path.relative_to(self.root).as_posix()).replace("/", ":")
            while name in found:
                name += ":"
            found[name] = path
        return found

    def runs(self) -> list[RunEntry]:
        """All runs with their states."""
        self.known = self.paths()
        return [self._entry(name, path) for name, path in self.known.items()]

    def find(self, name: str) -> RunEntry | None:
        """The run with an id, or None; the folder is scanned again for an unknown id."""
        if name not in self.known or not is_run(self.known[name]):
            self.known = self.paths()
        return self._entry(name, self.known[name]) if name in self.known else None

    def _entry(self, name: str, path: Path) -> RunEntry:
        title = name if self.is_single else readable(path.relative_to(self.root).as_posix())
        versions = version_of(path / CONFIG), version_of(path / MODEL)
        if path not in self.checked or self.checked[path][0] != versions:
            self.checked[path] = (versions, *_check(path))
        return RunEntry(name, title, path, *self.checked[path][1:])

    def mark_broken(self, path: Path, reason: str) -> None:
        """Mark a run that could not be opened as broken, until its files change."""
        self.checked[path] = ((version_of(path / CONFIG), version_of(path / MODEL)), "broken", reason, "validation")


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory, complete or not."""
    return version_of(folder / CONFIG) != NO_FILE


def version_of(path: Path) -> FileVersion:
    """The current version of a file, which changes when the file is written."""
    try:
        status = path.stat()
    except OSError:
        return NO_FILE
    return status.st_mtime_ns, status.st_size


def is_training(path: Path) -> bool:
    """Whether a run's log is newer than its model: it has no model yet, or was resumed."""
    model, metrics = version_of(path / MODEL)[0], version_of(path / LOG)[0]
    return model == 0 or metrics - model > RESUMED_AFTER * 1e9


def _check(path: Path) -> tuple[State, str, str]:
    """State, reason and monitored split of a run."""
    try:
        monitored = read_stored(path).experiment.data.monitored_split
        if version_of(path / MODEL) == NO_FILE:
            return "training", "", monitored
        check_model(path)
    except (LowerboundError, OSError) as error:
        return "broken", without_paths(str(error), path), "validation"
    return "finished", "", monitored


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []

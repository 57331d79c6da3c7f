"""The runs that can be explored: where they lie, and how far each one is.

A run has a config.toml from its first moment, a metrics.jsonl while it is trained, and a model.safetensors from the end
of that on. The folder is looked at anew on every question, so that new runs and finished ones are noticed.
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
"""When a file was written, in nanoseconds, and its size in bytes; zeros where there is none."""

NOTHING: FileVersion = (0, 0)
SETTLED = 60.0  # seconds by which a log that is still written is newer than the model of an earlier sitting


@dataclass(frozen=True)
class RunEntry:
    """A run, and how far it is."""

    id: str
    title: str
    path: Path
    state: State
    reason: str = ""  # why it is broken


@dataclass(eq=False)
class RunFolder:
    """The runs of one folder, directly in it or one level deeper; or a single run."""

    root: Path
    # What files said when they were last read, so that asking again costs no more than looking at their dates.
    judged: dict[Path, tuple[tuple[FileVersion, FileVersion], State, str]] = field(default_factory=dict)
    known: dict[str, Path] = field(default_factory=dict)  # ids, as the folder was when it was last looked through

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise UsageError(f"{self.root} is not a folder; give a run, or a folder with runs in it.")
        self.known = self.paths()
        if not self.known:
            raise UsageError(f"{self.root} has no run in it; give a directory that `lowerbound train` wrote.")

    @property
    def is_single(self) -> bool:
        """Whether the folder is itself a run."""
        return is_run(self.root)

    def paths(self) -> dict[str, Path]:
        """The directories of all runs by their ids, in the order of their names."""
        if self.is_single:
            return {readable(self.root.resolve().name): self.root}
        folders = _folders_in(self.root)
        runs = [folder for folder in folders if is_run(folder)]
        deeper = [inner for folder in folders if folder not in runs for inner in _folders_in(folder)]
        found: dict[str, Path] = {}
        for path in sorted(runs + [folder for folder in deeper if is_run(folder)]):
            # An id is one part of an address; a name may hold a colon of its own.
            name = readable(path.relative_to(self.root).as_posix()).replace("/", ":")
            while name in found:
                name += ":"
            found[name] = path
        return found

    def runs(self) -> list[RunEntry]:
        """All runs and how far they are."""
        self.known = self.paths()
        return [self._found(name, path) for name, path in self.known.items()]

    def find(self, name: str) -> RunEntry | None:
        """The run of that id, or None; the folder is looked through for one that was not seen before."""
        if name not in self.known or not is_run(self.known[name]):
            self.known = self.paths()
        return self._found(name, self.known[name]) if name in self.known else None

    def _found(self, name: str, path: Path) -> RunEntry:
        title = name if self.is_single else readable(path.relative_to(self.root).as_posix())
        stamps = stamp(path / CONFIG), stamp(path / MODEL)
        if path not in self.judged or self.judged[path][0] != stamps:
            self.judged[path] = (stamps, *_judged(path))
        return RunEntry(name, title, path, *self.judged[path][1:])

    def mark_broken(self, path: Path, reason: str) -> None:
        """Remember what was found wrong when the run was opened, until its files change."""
        self.judged[path] = ((stamp(path / CONFIG), stamp(path / MODEL)), "broken", reason)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's directory, whole or not."""
    return stamp(folder / CONFIG) != NOTHING


def stamp(path: Path) -> FileVersion:
    """What tells a file from the one that was there before."""
    try:
        status = path.stat()
    except OSError:
        return NOTHING
    return status.st_mtime_ns, status.st_size


def is_training(path: Path) -> bool:
    """Whether a run's log is ahead of its model: there is none yet, or the run was resumed."""
    model, metrics = stamp(path / MODEL)[0], stamp(path / LOG)[0]
    return model == 0 or metrics - model > SETTLED * 1e9


def _judged(path: Path) -> tuple[State, str]:
    try:
        read_stored(path)
        if stamp(path / MODEL) == NOTHING:
            return "training", ""
        check_model(path)
    except (LowerboundError, OSError) as error:
        return "broken", without_paths(str(error), path)
    return "finished", ""


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []

"""The runs that can be explored: where they lie, and how far each one is.

A run has a config.toml from its first moment, a metrics.jsonl while it is trained, and a model.safetensors from the end
of that on. The folder is looked at anew on every question, so that new runs and finished ones are noticed.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError

from lowerbound.errors import LowerboundError, UsageError
from lowerbound.run import read_experiment
from lowerbound.serving.explorer.wording import without_paths
from lowerbound.training.checkpoint import model_checksum

State = Literal["training", "finished", "broken"]
Stamp = tuple[int, int]
"""When a file was written, in nanoseconds, and its size in bytes; zeros where there is none."""

MODEL, METRICS, CONFIG = "model.safetensors", "metrics.jsonl", "config.toml"
SETTLED = 60.0  # seconds by which a log that is still written is newer than the model of an earlier sitting


@dataclass(frozen=True)
class Found:
    """A run, and how far it is."""

    id: str
    title: str
    path: Path
    state: State
    reason: str = ""  # why it is broken


@dataclass(eq=False)
class Library:
    """The runs of one folder, directly in it or one level deeper; or a single run."""

    root: Path
    # What files said when they were last read, so that asking again costs no more than looking at their dates.
    judged: dict[Path, tuple[tuple[Stamp, Stamp], State, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise UsageError(f"{self.root} is no folder; give a run, or a folder with runs in it.")
        if not self.paths():
            raise UsageError(f"{self.root} holds no run; give a directory that `lowerbound train` wrote.")

    @property
    def is_single(self) -> bool:
        """Whether the folder is itself a run."""
        return (self.root / CONFIG).is_file()

    def paths(self) -> list[Path]:
        """The directories of all runs, by name."""
        if self.is_single:
            return [self.root]
        folders = _folders_in(self.root)
        runs = [folder for folder in folders if (folder / CONFIG).is_file()]
        deeper = [inner for folder in folders if folder not in runs for inner in _folders_in(folder)]
        return sorted(runs + [folder for folder in deeper if (folder / CONFIG).is_file()])

    def runs(self) -> list[Found]:
        """All runs and how far they are."""
        found = []
        for path in self.paths():
            state, reason = self.judge(path)
            title = self.title_of(path)
            found.append(Found(title.replace("/", ":"), title, path, state, reason))
        return found

    def find(self, name: str) -> Found | None:
        """The run of that id, or None."""
        return next((run for run in self.runs() if run.id == name), None)

    def title_of(self, path: Path) -> str:
        """A run's name, below the folder's."""
        return path.resolve().name if self.is_single else path.relative_to(self.root).as_posix()

    def judge(self, path: Path) -> tuple[State, str]:
        """How far a run is and, if it is broken, why."""
        stamps = stamp(path / CONFIG), stamp(path / MODEL)
        if path not in self.judged or self.judged[path][0] != stamps:
            self.judged[path] = (stamps, *_judged(path))
        return self.judged[path][1:]

    def mark_broken(self, path: Path, reason: str) -> None:
        """Remember what was found wrong when the run was opened, until its files change."""
        self.judged[path] = ((stamp(path / CONFIG), stamp(path / MODEL)), "broken", reason)


def stamp(path: Path) -> Stamp:
    """What tells a file from the one that was there before."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def is_training(path: Path) -> bool:
    """Whether a run's log is ahead of its model: there is none yet, or the run was resumed."""
    model, metrics = stamp(path / MODEL)[0], stamp(path / METRICS)[0]
    return model == 0 or metrics - model > SETTLED * 1e9


def _judged(path: Path) -> tuple[State, str]:
    try:
        read_experiment(path)
        if not (path / MODEL).exists():
            return "training", ""
        model_checksum(path)
    except (LowerboundError, OSError) as error:
        return "broken", without_paths(str(error), path)
    except SafetensorError:
        return "broken", f"{path.name}/{MODEL} is damaged."
    return "finished", ""


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []

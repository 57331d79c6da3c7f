"""Tracking: sends the records of training to experiment trackers and to functions of the caller.

Whatever fails there is reported in one line and left out from then on: training continues. The ids of the trackers'
runs are stored in trackers.json in the run directory, so that resuming a run continues them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lowerbound.foundation.errors import Interrupted, RunError, UnknownName, UsageError, in_one_line
from lowerbound.foundation.progress import Progress
from lowerbound.foundation.run_identity import check_mark, checksum_of, mark_of
from lowerbound.foundation.storage import FORMAT_VERSION, check_format_version
from lowerbound.foundation.strict import parsed
from lowerbound.foundation.text import shortened
from lowerbound.foundation.text_files import read_json, write_json
from lowerbound.runs.run_log import LOG
from lowerbound.runs.trackers import TRACKERS, Ending, Session, TrackedRun

STORED = "trackers.json"
NONE = "none"
"""Name that stands for no tracker, where a resumed run would otherwise continue its own."""

OF_SCHEDULE = ("step", "num_steps", "num_epochs")
"""Keys of a record that are the axis, or constants."""

Sink = str | Callable[[Progress], Any]
"""The name of a tracker in TRACKERS, or a function that is called with each record."""

Log = Sink | Sequence[Sink]


def sinks_of(log: Log | None) -> tuple[Sink, ...] | None:
    """What was given as `log`, checked before anything is done; None, if nothing was, means the run's own trackers.

    UnknownName or UsageError for another name or value, or if a tracker's package is not installed.
    """
    if log is None:
        return None
    given: Sequence[Any] = log if isinstance(log, Sequence) and not isinstance(log, str) else (log,)
    for sink in given:
        if isinstance(sink, str) and sink not in (*TRACKERS, NONE):
            raise UnknownName("tracker", sink, [*TRACKERS, NONE])
        if not isinstance(sink, str) and not callable(sink):
            raise UsageError(
                f"log takes {', '.join(TRACKERS)}, or a function of one record, got {shortened(repr(sink), 100)}."
            )
        if isinstance(sink, str) and sink != NONE and (reason := _missing(sink)):
            raise UsageError(reason)
    return tuple(dict.fromkeys(sink for sink in given if sink != NONE))


def _missing(name: str) -> str:
    package = TRACKERS[name].package
    return "" if find_spec(package) else f"tracker {name!r} needs the package {package}: pip install {package}"


@contextmanager
def tracking(
    sinks: tuple[Sink, ...] | None,
    path: Path,
    settings: Mapping[str, Mapping[str, Any]],
    message: Callable[[str], None],
    first_step: int = 1,
) -> Iterator[Callable[[Progress], None]]:
    """A function that sends a record to all sinks, until the context ends; `message` is told what failed.

    `sinks` None continues the trackers that are stored with the run.
    """
    tracking = _Tracking(path, message)
    tracking.open(sinks, settings, first_step)
    ending: Ending = "failed"
    try:
        yield tracking.send
        ending = "finished"
    except (Interrupted, KeyboardInterrupt):
        ending = "interrupted"
        raise
    finally:
        tracking.close(ending)


class _Tracking:
    """The sinks that have not failed."""

    def __init__(self, path: Path, message: Callable[[str], None]) -> None:
        self.path, self.message = path, message
        self.sessions: dict[str, Session] = {}
        self.functions: list[Callable[[Progress], Any]] = []

    def open(self, sinks: tuple[Sink, ...] | None, settings: Mapping[str, Mapping[str, Any]], first_step: int) -> None:
        stored = self._stored() if sinks is None or any(isinstance(sink, str) for sink in sinks) else {}
        for sink in tuple(stored) if sinks is None else sinks:
            if callable(sink):
                self.functions.append(sink)
                continue
            run = TrackedRun(self.path, settings, stored.get(sink, ""), first_step)
            self._guarded(sink, partial(self._open, sink, run))
        if ids := {name: session.id for name, session in self.sessions.items()}:
            write_trackers(self.path, {**stored, **ids})

    def _open(self, name: str, run: TrackedRun) -> None:
        if reason := _missing(name):
            raise UsageError(reason)
        self.sessions[name] = TRACKERS[name].open(run)

    def send(self, progress: Progress) -> None:
        values = values_of(progress) if self.sessions else {}
        for name, session in tuple(self.sessions.items()):
            if not self._guarded(name, partial(session.log, progress.step, values)):
                del self.sessions[name]
        for function in tuple(self.functions):
            if not self._guarded(_name_of(function), partial(function, progress)):
                self.functions.remove(function)

    def close(self, ending: Ending) -> None:
        for name, session in self.sessions.items():
            self._guarded(name, partial(session.close, ending))

    def _guarded(self, name: str, action: Callable[[], Any]) -> bool:
        """Whether an action succeeded; what failed is reported."""
        try:
            action()
        except Exception as error:  # of packages and functions that are not ours
            reason = in_one_line(error).rstrip(".")
            self.message(f"not logged any more: {name} ({reason}); training continues, and {LOG} has all records")
            return False
        return True

    def _stored(self) -> dict[str, str]:
        try:
            return read_trackers(self.path)
        except RunError as error:
            self.message(f"the trackers' runs are not continued: {error}")
            return {}


def values_of(progress: Progress) -> dict[str, float]:
    """The numbers of a record by name: the keys of metrics.jsonl, nested ones joined as in train/elbo."""
    return dict(_numbers({key: value for key, value in asdict(progress).items() if key not in OF_SCHEDULE}))


def _numbers(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}/")
        elif value is not None:
            yield f"{prefix}{key}", float(value)


def _name_of(function: Any) -> str:
    return shortened(str(getattr(function, "__qualname__", type(function).__name__)), 100)


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """The content of trackers.json."""

    format_version: int
    trackers: dict[str, str]  # id of each tracker's run
    checksum: str
    run: str = ""


def write_trackers(run: Path, ids: Mapping[str, str]) -> None:
    """Store the ids of the trackers' runs."""
    content = {"format_version": FORMAT_VERSION, "trackers": dict(ids), **mark_of(run)}
    write_json(run / STORED, {**content, "checksum": checksum_of(content)})


def read_trackers(run: Path) -> dict[str, str]:
    """The ids of the trackers' runs, by tracker; RunError for a file that is damaged or belongs to another run."""
    path = run / STORED
    if not path.exists():
        return {}
    content = read_json(path)
    check_format_version(path, content.get("format_version"))
    found = parsed(_Stored, content, str(path))
    if checksum_of(content) != found.checksum:
        raise RunError(f"{path} is damaged (its checksum does not match its content); restore or remove it.")
    check_mark(run, STORED, content)
    return {name: id for name, id in found.trackers.items() if name in TRACKERS}

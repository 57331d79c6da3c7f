"""`sweep`: one experiment trained with every combination of some settings, each in a run directory of its own.

grid.json                    what is trained, so that the sweep can go on after an interruption
rate_weight-0.1,seed-0/      a run for each point of the grid and each seed
sweep.html                   all runs on one page; sweep.json and sweep.csv have its numbers

Everything is resolved, and every model is built, before the first is trained.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from lowerbound.data.sources import DataConfig, Splits
from lowerbound.evaluation.results import Results, read_results
from lowerbound.evaluation.sweep_results import SweepPoint, SweepResults, SweepRun
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import (
    ConfigError,
    Interrupted,
    LowerboundError,
    NonFiniteLoss,
    UnknownName,
    UsageError,
)
from lowerbound.foundation.folder_lock import LOCK, locked_folder
from lowerbound.foundation.number_format import format_duration
from lowerbound.foundation.run_identity import is_run
from lowerbound.foundation.storage import check_is_no_dangling_link, temporary_folder
from lowerbound.foundation.tensor_files import check_is_utf8
from lowerbound.foundation.text import pluralise
from lowerbound.reporting.sweep_page import write_sweep
from lowerbound.runs.duration import seconds_of_training
from lowerbound.runs.experiment import Experiment, Settings, keyword_settings, merge, tables
from lowerbound.runs.finished_run import finished_run
from lowerbound.runs.free_directory import check_repeats
from lowerbound.runs.grid import Grid, GridPoint, Over, check_extends, grid_of, is_sweep, read_grid
from lowerbound.runs.new_model import check_can_train, model_to_restore
from lowerbound.runs.preparation import Prepared, choose_device, default_path, prepare
from lowerbound.runs.provenance import config_of
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.runs.run import (
    SILENT,
    Callbacks,
    is_in_memory,
    start_run,
)
from lowerbound.runs.run_data import MEMORY, conditioned_by, splits_in_memory, splits_of_source
from lowerbound.runs.tracking import Log

MOST_TIMED = 8  # runs of which a few steps are timed


def sweep(
    data: Any = None,
    labels: Any = None,
    *,
    over: Over,
    factors: Any = None,
    config: Experiment | None = None,
    recipe: str | Path = "",
    settings: Settings | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    seeds: int = 1,
    evaluate: bool = False,
    out: str | Path | None = None,
    device: str = "auto",
    command: str = "",
    log: Log | None = None,
    callbacks: Callbacks = SILENT,
) -> SweepResults:
    """Train every combination of the values in `over`, by key, such as {"objective.rate_weight": [0.1, 1, 10]}.

    What is common to all runs is given as to `lowerbound.train`; each has a run of its own in the trackers of `log`.
    Each combination is trained with `seeds` seeds, in a run directory of its own in `out`; with `evaluate`, each run
    has the full evaluation, too. All combinations are checked before the first is trained. A run whose loss becomes
    infinite is named in `SweepResults.failures`, and the others are trained.

    Called again with the same `out`, it goes on where it was interrupted: finished runs are kept, and more values or
    seeds are added. The page with all runs is sweep.html in `out`, a temporary directory by default.

    ConfigError or UnknownName for a combination that is not accepted, or a sweep in `out` with other settings;
    UsageError if `out` contains anything else; DataError if the data cannot be read, or a model does not fit them.
    """
    callbacks = callbacks.with_log(log)
    in_memory = is_in_memory(data, labels, factors)
    if config is not None and recipe:
        raise UsageError("config and recipe are both given; give one of them.")
    if evaluate and in_memory:
        raise UsageError("the full evaluation reads the data of a run from a file; save them, or leave out evaluate.")
    source = MEMORY if in_memory else None if data is None else str(data)
    given = merge(tables(settings or {}), keyword_settings(data=source, epochs=epochs, seed=seed))
    grid = grid_of(config or str(recipe), given, over, seeds)
    of_memory = _Data(lambda experiment: splits_in_memory(data, labels, experiment.data, factors), in_memory=True)
    path = temporary_folder() if out is None else Path(out)
    job = SweepJob(path, grid, of_memory if in_memory else _Data(), choose_device(device), evaluate, command, callbacks)
    return run_sweep(job)


def resume_sweep(
    out: str | Path, *, evaluate: bool = False, device: str = "auto", callbacks: Callbacks = SILENT
) -> SweepResults:
    """Go on with the sweep in a directory; UsageError if there is none, or if its data were in memory."""
    grid = read_grid(Path(out))
    if grid.settings.get("data", {}).get("source") == MEMORY:
        raise UsageError(f"the sweep in {out} was of data in memory; call sweep with these data and out={str(out)!r}.")
    return run_sweep(SweepJob(Path(out), grid, _Data(), choose_device(device), evaluate, "", callbacks))


def default_sweep_path(grid: Grid) -> Path:
    """The directory of a sweep that was given none: runs/RECIPE-DATA-sweep."""
    path = default_path(grid.points()[0].experiment)
    return path.with_name(f"{path.name}-sweep")


class _Data:
    """The splits of an experiment, before its model is given a part of them; kept for all runs on the same data."""

    def __init__(self, read: Callable[[Experiment], Splits] = splits_of_source, in_memory: bool = False) -> None:
        self.in_memory = in_memory
        self._read = read
        self._kept: tuple[tuple[DataConfig, bool], Splits] | None = None

    def __call__(self, experiment: Experiment) -> Splits:
        key = experiment.data, experiment.model.classifier
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # memory for two is not needed
            self._kept = key, self._read(experiment)
        return self._kept[1]


@dataclass(frozen=True, eq=False)
class SweepJob:
    """A sweep in progress."""

    path: Path
    grid: Grid
    data: _Data
    device: torch.device
    evaluates: bool
    command: str
    callbacks: Callbacks

    def splits(self, experiment: Experiment) -> Splits:
        """The data as the model of an experiment is given them."""
        return conditioned_by(experiment, self.data(experiment))


@dataclass(frozen=True, eq=False)
class _Planned:
    """One run to be trained: its point, with what the data decide, and its seed."""

    point: GridPoint
    experiment: Experiment
    path: Path
    label: str

    @property
    def seed(self) -> int:
        return self.experiment.training.seed


def run_sweep(job: SweepJob) -> SweepResults:
    """Train what is missing of a sweep, and write its page; raises as `sweep` does."""
    if distributed.is_launched():
        raise UsageError("a sweep runs in a single process; start it without torchrun.")
    points = job.grid.points()
    _check_is_free(job.path)
    with locked_folder(job.path):
        if is_sweep(job.path):
            check_extends(job.grid, read_grid(job.path), job.path)
        message = _once(job.callbacks.message)
        planned = [run for point in points for run in _planned(job, point, message)]
        job.grid.write(job.path, job.command)
        _announce(job, planned)
        failures = _train_all(job, planned)
        results = _results(job, points, planned, failures)
        write_sweep(results)
    return results


def _check_is_free(path: Path) -> None:
    """UsageError for a directory that contains anything but a sweep."""
    check_is_utf8(path)
    check_is_no_dangling_link(path)
    if not path.exists() or is_sweep(path):
        return
    if not path.is_dir() or any(entry.name != LOCK for entry in path.iterdir()):
        raise UsageError(f"{path} is not empty, and not the folder of a sweep; choose another directory.", hint="out")


def _once(message: Callable[[str], None]) -> Callable[[str], None]:
    """A callback that passes on each message once, however many points it is about."""
    return lru_cache(maxsize=None)(message)


def _planned(job: SweepJob, point: GridPoint, message: Callable[[str], None]) -> list[_Planned]:
    """The runs of one point, checked with the data: the model is built, and a run in its place is the same one."""
    read = job.data(point.experiment)
    with _naming(point.label):
        below = point.settings if job.grid.is_auto else None
        ready = prepare(point.experiment, auto_below=below, message=message, splits=read)
        check_can_train(model_to_restore(ready.experiment, ready.splits), ready.splits)
    found = []
    for seed in job.grid.seeds(ready.experiment):
        experiment = ready.with_seed(seed).experiment
        # Beside one another, so that the folder can be explored, and with the seed, so that others can be added.
        path = job.path / f"{point.folder},seed-{seed}"
        if is_run(path):
            check_repeats(path, config_of(experiment, ready.splits, "", job.data.in_memory))
        label = f"{point.label}, seed {seed}" if job.grid.num_seeds > 1 else point.label
        found.append(_Planned(point, experiment, path, label))
    return found


@contextmanager
def _naming(label: str) -> Iterator[None]:
    """Errors name the point."""
    try:
        yield
    except LowerboundError as error:
        kind = ConfigError if isinstance(error, UnknownName) else type(error)
        raise kind(f"{label}: {error}", hint=error.hint, path=error.path) from error


def _announce(job: SweepJob, planned: Sequence[_Planned]) -> None:
    """The number of runs, and how long training takes, by a few steps of some of them."""
    missing = [run for run in planned if finished_run(run.path) is None]
    parts = [f"sweep of {pluralise(len(planned), 'run')}: {job.grid.described()}"]
    if len(missing) < len(planned):
        parts.append(f"{len(planned) - len(missing)} finished")
    if missing:
        seconds = _estimated(job, missing)
        parts.append(f"training takes about {format_duration(seconds)}, evaluation and reports not included")
    job.callbacks.message("; ".join(parts))


def _estimated(job: SweepJob, runs: Sequence[_Planned]) -> float:
    """Seconds of training of all runs: the mean of some, evenly spaced, times their number."""
    timed = []
    for run in runs[:: -(-len(runs) // MOST_TIMED)]:
        with suppress(NonFiniteLoss):  # which its training will report
            timed.append(seconds_of_training(run.experiment, job.splits(run.experiment), job.device))
    return mean(timed or [0.0]) * len(runs)


def _train_all(job: SweepJob, planned: Sequence[_Planned]) -> dict[Path, str]:
    """Train every run that is not finished; the failures of those whose loss was not finite, by path."""
    failures: dict[Path, str] = {}
    durations: list[float] = []
    missing = {run.path for run in planned if finished_run(run.path) is None}
    for number, run in enumerate(planned, start=1):
        start = time.perf_counter()
        job.callbacks.begin(f"run {number}/{len(planned)}")
        job.callbacks.message(f"run {number} of {len(planned)}: {run.label}{_about(run, missing, durations)}")
        try:
            _complete(job, run)
        except NonFiniteLoss as error:
            failures[run.path] = str(error)
            job.callbacks.message(f"failed: {run.label}: {error}")
        except Interrupted:
            raise _interrupted(job, len(planned) - len(missing), len(planned)) from None
        if run.path in missing:
            durations.append(time.perf_counter() - start)
            missing.remove(run.path)
        if job.callbacks.should_stop() and number < len(planned):
            raise _interrupted(job, len(planned) - len(missing), len(planned))
    return failures


def _about(run: _Planned, missing: set[Path], durations: Sequence[float]) -> str:
    """How long all that is left takes, if the runs so far tell; or that this run was finished before."""
    if run.path not in missing:
        return "; already finished"
    return f"; about {format_duration(mean(durations) * len(missing))} left" if durations else ""


def _interrupted(job: SweepJob, num_finished: int, num_runs: int) -> Interrupted:
    return Interrupted(
        f"interrupted; {num_finished} of {pluralise(num_runs, 'run')} are finished, and the rest is saved.",
        hint="sweep",
        path=job.path,
    )


def _complete(job: SweepJob, run: _Planned) -> None:
    """Train a run, go on with it, or leave it as it is; with the full evaluation if that was wanted."""

    def prepared() -> Prepared:
        return Prepared(run.experiment, job.splits(run.experiment), job.data.in_memory)

    device = job.device.type
    finished = start_run(run.path, prepared, device, job.command, job.callbacks, keeps=True)
    if job.evaluates and finished.results.findings is None:
        reevaluate(run.path, device=device, callbacks=job.callbacks)


def _results(
    job: SweepJob, points: Sequence[GridPoint], planned: Sequence[_Planned], failures: dict[Path, str]
) -> SweepResults:
    def results_of(run: _Planned) -> Results | None:
        return None if run.path in failures else read_results(run.path)

    return SweepResults(
        job.path,
        job.grid.over,
        tuple(
            SweepPoint(
                point.label,
                point.values,
                tuple(
                    SweepRun(run.label, run.seed, run.path, results_of(run), failures.get(run.path, ""))
                    for run in planned
                    if run.point is point
                ),
            )
            for point in points
        ),
    )

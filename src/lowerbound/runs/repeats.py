"""Several runs of one experiment: `train_seeds` repeats it with several seeds, `demo` trains both reference models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from shlex import quote

from lowerbound.foundation import distributed
from lowerbound.foundation.errors import Interrupted, UsageError
from lowerbound.foundation.run_identity import is_run, runs_in
from lowerbound.reporting.pages import REPORT
from lowerbound.reporting.report import write_index
from lowerbound.runs.experiment import Experiment, Settings, merge, tables
from lowerbound.runs.finished import Run
from lowerbound.runs.preparation import Prepared, prepare
from lowerbound.runs.resuming import check_recipe, resume, resumed_experiment
from lowerbound.runs.run import SILENT, Callbacks, finished_run, of_writer, start_run, train
from lowerbound.runs.run_data import read_stored
from lowerbound.runs.run_lock import writing_into

DEMO_RECIPES = ("dense", "conv")


def train_seeds(
    num_seeds: int,
    experiment: Experiment,
    out: Path,
    *,
    auto_below: Settings | None = None,
    is_resumed: bool = False,
    settings: Settings | None = None,
    device: str = "auto",
    command: str = "",
    callbacks: Callbacks = SILENT,
) -> list[Run]:
    """`num_seeds` runs that differ only in their training seed, in subdirectories of `out`; a single run in `out`.

    The data are read, and settings are chosen, once for all seeds (see `prepare`). With `is_resumed`, finished runs are
    kept, unfinished ones are resumed with `settings`, and missing ones are trained.
    """

    distributed.join()
    callbacks = of_writer(callbacks)

    @cache
    def prepared() -> Prepared:
        return prepare(experiment, auto_below=auto_below, message=callbacks.message)

    if num_seeds == 1:
        return [start_run(out, prepared, device, command, callbacks)]
    runs = []
    for seed in range(experiment.training.seed, experiment.training.seed + num_seeds):
        callbacks.message(f"seed {seed}")
        path = out / f"seed-{seed}"
        with _all_seeds_continue(out, num_seeds):
            if is_resumed and is_run(path):
                seeded = merge(settings or {}, {"training": {"seed": seed}})
                recipe = "" if auto_below is not None else experiment.recipe
                kept = _finished(path)
                runs.append(kept or resume(path, recipe=recipe, settings=seeded, device=device, callbacks=callbacks))
            else:
                runs.append(start_run(path, partial(_with_seed, prepared, seed), device, command, callbacks))
    return runs


@contextmanager
def _all_seeds_continue(out: Path, num_seeds: int) -> Iterator[None]:
    """Within it, an interruption states how to continue all seeds, not only the one that was interrupted."""
    try:
        yield
    except Interrupted as error:
        raise Interrupted(str(error), hint="resume-seeds", path=out, num=num_seeds) from error


def experiment_of_seeds(out: Path, recipe: str, settings: Settings) -> Experiment:
    """The experiment that runs in a directory repeat, with other settings and the lowest seed.

    UsageError for a directory without a run; ConfigError for another recipe, or a setting that a resumed run keeps.
    """
    names = runs_in(out)
    if not names:
        raise UsageError(f"{out} contains no run of a seed that could be continued.", hint="start-seeds", path=out)
    stored = read_stored(out / names[0]).experiment
    check_recipe(out / names[0], stored, recipe)
    seed = tables(settings).get("training", {}).get("seed", stored.training.seed)
    kept = merge(settings, {"training": {"seed": stored.training.seed}})
    experiment = resumed_experiment(stored, kept)
    return replace(experiment, training=replace(experiment.training, seed=seed))


def _with_seed(prepared: Callable[[], Prepared], seed: int) -> Prepared:
    return prepared().with_seed(seed)


def _finished(path: Path) -> Run | None:
    """The run in a directory; None if it did not finish."""
    if not (path / REPORT).exists():
        return None
    with writing_into(path):  # which removes temporary files of a process that was killed at its very end
        return finished_run(path)


def demo(out: Path, callbacks: Callbacks = SILENT) -> Path:
    """Train both reference architectures on the bundled digits, and write a page with links to their reports.

    Finished runs of an earlier demo are kept, unfinished ones are resumed.
    """
    if distributed.is_launched():
        raise UsageError("the demo runs in a single process; start it without torchrun.")
    for recipe in DEMO_RECIPES:
        path = out / recipe
        callbacks.message(f"{recipe}, in {path}")
        if _finished(path):
            callbacks.message("already finished")
        elif is_run(path):
            resume(path, callbacks=callbacks)
        else:
            command = f"lowerbound train digits --recipe {recipe} --out {quote(str(path))}"
            train("digits", recipe=recipe, out=path, command=command, callbacks=callbacks)
    return write_index([out / recipe for recipe in DEMO_RECIPES], out / "index.html")

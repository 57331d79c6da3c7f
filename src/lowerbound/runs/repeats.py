"""Several runs at once: one experiment with several seeds, and the demo."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

import torch

from lowerbound.evaluation.results import Score, read_results
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.numerics import mean_and_standard_error
from lowerbound.foundation.run_identity import CONFIG
from lowerbound.reporting.report import REPORT, write_index
from lowerbound.runs.experiment import Settings, merge, resolve
from lowerbound.runs.run import SILENT, Callbacks, Run, resume, train
from lowerbound.runs.run_lock import writing_into
from lowerbound.runs.trained_model import load

DEMO_RECIPES = ("dense", "conv")


def train_seeds(
    num_seeds: int,
    recipe: str,
    out: Path,
    settings: Settings,
    device: str = "auto",
    command: str = "",
    audience: Callbacks = SILENT,
    is_resumed: bool = False,
) -> list[Run]:
    """`num_seeds` runs that differ in their seed alone, in subdirectories of `out`; one run in `out` itself.

    Where they are resumed, finished ones are kept, unfinished ones are continued, and the rest are trained.
    """
    if num_seeds == 1:
        return [train(recipe=recipe, out=out, settings=settings, device=device, command=command, audience=audience)]
    first = resolve(recipe or "dense", settings).training.seed
    runs = []
    for seed in range(first, first + num_seeds):
        audience.message(f"seed {seed}")
        seeded = merge(settings, {"training": {"seed": seed}})
        path = out / f"seed-{seed}"
        if is_resumed and (path / CONFIG).exists():
            kept = _finished(path)
            runs.append(kept or resume(path, recipe=recipe, settings=seeded, device=device, audience=audience))
        else:
            runs.append(
                train(recipe=recipe, out=path, settings=seeded, device=device, command=command, audience=audience)
            )
    return runs


def _finished(path: Path) -> Run | None:
    """The run in a directory; None where it did not come to its end."""
    if not (path / REPORT).exists():
        return None
    try:
        with writing_into(path):  # so that nothing is left of a process that was killed when all was written
            return Run(path, load(path), read_results(path))
    except RunError:  # it was resumed, and killed before the results of the new model were there
        return None


def over_seeds(runs: Sequence[Run]) -> tuple[Score, ...]:
    """Each score's mean over runs, with the standard error over seeds in place of that over examples."""
    found = [{(score.name, score.split): score for score in run.results.scores} for run in runs]
    summary = []
    # Evidence that has not converged in one of the runs goes by another name there, and has no mean over them.
    for key in (key for key in found[0] if all(key in scores for scores in found)):
        scores = [of_run[key] for of_run in found]
        mean = mean_and_standard_error(torch.tensor([score.value for score in scores], dtype=torch.float64))
        about = f"{scores[0].description} (mean ± standard error over {len(runs)} seeds)"
        summary.append(
            replace(
                scores[0],
                value=mean.value,
                standard_error=mean.standard_error,
                description=about,
                discretisation_error=_mean_error(scores),
                num_not_converged=sum(score.num_not_converged for score in scores),
            )
        )
    return tuple(summary)


def _mean_error(scores: Sequence[Score]) -> float | None:
    errors = [score.discretisation_error for score in scores if score.discretisation_error is not None]
    return sum(errors) / len(errors) if len(errors) == len(scores) else None


def demo(out: Path, audience: Callbacks = SILENT) -> Path:
    """Both reference architectures trained on the embedded digits, and one page that leads to their reports.

    What an earlier demo finished is kept, and what it left unfinished is continued.
    """
    for recipe in DEMO_RECIPES:
        path = out / recipe
        audience.message(f"{recipe}, in {path}")
        if _finished(path):
            audience.message("finished already")
        elif (path / CONFIG).exists():
            resume(path, audience=audience)
        else:
            command = f"lowerbound train digits --recipe {recipe} --out {quote(str(path))}"
            train("digits", recipe=recipe, out=path, command=command, audience=audience)
    return write_index([out / recipe for recipe in DEMO_RECIPES], out / "index.html")

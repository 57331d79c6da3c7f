"""Several runs at once: one experiment with several seeds, and the demo."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote

import torch

from lowerbound.evaluation.results import Score, read_results
from lowerbound.experiment import Settings, merge, resolve
from lowerbound.numerics import mean_and_standard_error
from lowerbound.reporting.report import write_index
from lowerbound.run import NOBODY, Audience, Run, resume, train
from lowerbound.trained_model import load

DEMO_RECIPES = ("dense", "conv")


def train_seeds(
    num_seeds: int,
    recipe: str,
    out: Path,
    settings: Settings,
    device: str = "auto",
    command: str = "",
    audience: Audience = NOBODY,
    *,
    is_resumed: bool = False,
) -> list[Run]:
    """`num_seeds` runs that differ in their seed alone, in subdirectories of `out`; one run in `out` itself.

    Several that are resumed: what is finished is kept, what was stopped is continued, and the rest is started.
    """
    if num_seeds == 1:
        return [train(recipe=recipe, out=out, settings=settings, device=device, command=command, audience=audience)]
    first = resolve(recipe or "dense", settings).training.seed
    runs = []
    for seed in range(first, first + num_seeds):
        audience.message(f"seed {seed}")
        seeded = merge(settings, {"training": {"seed": seed}})
        path = out / f"seed-{seed}"
        start = partial(
            train, recipe=recipe, out=path, settings=seeded, device=device, command=command, audience=audience
        )
        go_on = partial(resume, path, recipe=recipe, settings=seeded, device=device, audience=audience)
        runs.append(_carried_on(path, start, go_on, audience) if is_resumed else start())
    return runs


def _carried_on(path: Path, start: Callable[[], Run], go_on: Callable[[], Run], audience: Audience) -> Run:
    """A run as it stands where it is finished, continued where it was stopped, started where there is none."""
    if (path / "report.html").is_file():  # the last that a run writes
        audience.message("finished already")
        return Run(path, load(path), read_results(path))
    return go_on() if (path / "config.toml").is_file() else start()


def over_seeds(runs: Sequence[Run]) -> tuple[Score, ...]:
    """Each score's mean over runs, with the standard error over seeds in place of that over examples."""
    summary = []
    for scores in zip(*(run.results.scores for run in runs), strict=True):
        mean = mean_and_standard_error(torch.tensor([score.value for score in scores], dtype=torch.float64))
        about = f"{scores[0].description} (mean ± standard error over {len(runs)} seeds)"
        summary.append(replace(scores[0], value=mean.value, standard_error=mean.standard_error, description=about))
    return tuple(summary)


def demo(out: Path, audience: Audience = NOBODY) -> Path:
    """Both reference architectures trained on the embedded digits, and one page that leads to their reports.

    What an earlier demo finished is kept, and what it left unfinished is continued.
    """
    for recipe in DEMO_RECIPES:
        path = out / recipe
        audience.message(f"{recipe}, in {path}")
        command = f"lowerbound train digits --recipe {recipe} --out {quote(str(path))}"
        start = partial(train, "digits", recipe=recipe, out=path, command=command, audience=audience)
        _carried_on(path, start, partial(resume, path, audience=audience), audience)
    return write_index([out / recipe for recipe in DEMO_RECIPES], out / "index.html")

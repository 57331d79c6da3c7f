"""The command sweep, of the panel "Train and evaluate"."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowerbound.commands import console
from lowerbound.commands.given import refuse_given
from lowerbound.commands.options import (
    TRAIN,
    BatchSizeOption,
    BetaOption,
    DataArgument,
    DataDirOption,
    DeviceOption,
    EpochsOption,
    JsonOption,
    LabelsOption,
    LatentDimOption,
    LearningRateOption,
    LikelihoodOption,
    LogOption,
    MostOption,
    QuietOption,
    RecipeOption,
    ResizeOption,
    SetOption,
    SizeOption,
    SkipOption,
    app,
    command_line,
    given_settings,
    print_json,
)
from lowerbound.commands.printed_scores import print_sweep
from lowerbound.commands.progress import ProgressDisplay, stopping_politely
from lowerbound.foundation.errors import LowerboundError
from lowerbound.foundation.keywords import KEYWORDS
from lowerbound.foundation.text import pluralise

if TYPE_CHECKING:
    from lowerbound.evaluation.sweep_results import SweepResults


@app.command(
    rich_help_panel=TRAIN,
    epilog="Example: lowerbound sweep digits --recipe dense --over objective.rate_weight=0.1,0.3,1,3 --out runs/beta",
)
def sweep(
    data: DataArgument = "",
    over: Annotated[
        list[str] | None,
        typer.Option("--over", metavar="SECTION.KEY=A,B,...", help="Values to combine: numbers or names. Repeatable."),
    ] = None,
    recipe: RecipeOption = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory of the sweep; default: runs/RECIPE-DATA-sweep.")
    ] = None,
    epochs: EpochsOption = None,
    latent_dim: LatentDimOption = None,
    beta: BetaOption = None,
    learning_rate: LearningRateOption = None,
    batch_size: BatchSizeOption = None,
    likelihood: LikelihoodOption = "",
    seed: Annotated[
        int | None, typer.Option(metavar=KEYWORDS["seed"].value, help="First seed of each combination.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds of each combination; default: 1.")] = None,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Run the full evaluation of each run, too.")] = False,
    device: DeviceOption = "auto",
    data_dir: DataDirOption = "",
    size: SizeOption = "",
    resize: ResizeOption = "",
    labels: LabelsOption = "",
    skip_broken: SkipOption = False,
    max_gib: MostOption = None,
    settings: SetOption = None,
    log: LogOption = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Continue the sweep in DIR, with its own settings.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train every combination of some settings, and show all runs on one page, with the rate-distortion frontier.

    The same command again continues after an interruption, and adds further values or seeds.
    """
    from lowerbound.runs.run import Callbacks

    of_files = {"size": size, "resize": resize, "labels": labels, "skip_broken": skip_broken, "max_gib": max_gib}
    of_model = {"latent_dim": latent_dim, "beta": beta, "likelihood": likelihood}
    of_training = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size, "seed": seed}
    of_run = {"data_dir": data_dir, **of_files, **of_model, **of_training}
    if resume is not None:
        others = ("data", "over", "recipe", "out", "seeds", "settings", *of_run)
        refuse_given("--resume continues a sweep with its own settings", *others)
    with stopping_politely() as should_stop, ProgressDisplay(quiet) as display:
        callbacks = Callbacks(display.show, display.message, should_stop, begin=display.begin, log=log or None)
        common: dict[str, Any] = {"evaluate": evaluate, "device": device, "callbacks": callbacks}
        if resume is not None:
            from lowerbound.runs.sweep import resume_sweep

            results = resume_sweep(resume, **common)
        else:
            given = given_settings(settings, data, **of_run)
            results = _started(over or [], recipe, given, out=out, seeds=seeds or 1, **common)
    _print(results, as_json)


def _started(
    over: list[str], recipe: str, settings: dict[str, Any], *, out: Path | None, **options: Any
) -> "SweepResults":
    from lowerbound.commands.assignments import parse_over
    from lowerbound.runs.grid import grid_of
    from lowerbound.runs.sweep import default_sweep_path
    from lowerbound.runs.sweep import sweep as run

    values = parse_over(over)
    place = out or default_sweep_path(grid_of(recipe, settings, values))
    command = command_line()
    return run(over=values, recipe=recipe, settings=settings, out=place, command=command, **options)


def _print(results: "SweepResults", as_json: bool) -> None:
    from lowerbound.reporting.sweep_page import PAGE

    if as_json:
        print_json({"report": str(results.path / PAGE), **results.as_json()})
    else:
        print_sweep(results)
        console.out.print(f"report: {results.path / PAGE}", markup=False)
    if results.failures:
        raise LowerboundError(
            f"{pluralise(len(results.failures), 'run')} of {len(results.runs)} failed; the others are finished."
        )

"""The commands of the panel "Train and evaluate": train, demo, evaluate, diagnose, compare, gradients, report."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowerbound.commands import console
from lowerbound.commands.given import refuse_given
from lowerbound.commands.options import (
    NUM_ANNEALED,
    TRAIN,
    BatchSizeOption,
    BetaOption,
    DataArgument,
    DataDirOption,
    DeviceOption,
    EngineOption,
    EpochsOption,
    EvaluationSetOption,
    JsonOption,
    LabelsOption,
    LatentDimOption,
    LearningRateOption,
    LikelihoodOption,
    LogOption,
    MostOption,
    OwnDataOption,
    QuietOption,
    RecipeOption,
    ResizeOption,
    RunArgument,
    SeedOption,
    SetOption,
    ShardsOption,
    SizeOption,
    SkipOption,
    TrainingSeedOption,
    app,
    command_line,
    given_settings,
    print_json,
)
from lowerbound.commands.printed_scores import print_comparison, print_findings, print_gradients, print_runs
from lowerbound.commands.progress import ProgressDisplay, StageDisplay, stopping_politely
from lowerbound.commands.ranks import join_ranks
from lowerbound.foundation.errors import UsageError

if TYPE_CHECKING:
    from lowerbound.inference.shards import Sharded
    from lowerbound.runs.inputs import InputOptions


@app.command(rich_help_panel=TRAIN, epilog="Example: lowerbound train mnist --recipe conv --out runs/conv")
def train(
    data: DataArgument = "",
    recipe: RecipeOption = "",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run directory; default: runs/RECIPE-DATA.")] = None,
    epochs: EpochsOption = None,
    latent_dim: LatentDimOption = None,
    beta: BetaOption = None,
    learning_rate: LearningRateOption = None,
    batch_size: BatchSizeOption = None,
    likelihood: LikelihoodOption = "",
    seed: TrainingSeedOption = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with this many seeds; report mean ± standard error.")] = 1,
    device: DeviceOption = "auto",
    data_dir: DataDirOption = "",
    size: SizeOption = "",
    resize: ResizeOption = "",
    labels: LabelsOption = "",
    skip_broken: SkipOption = False,
    max_gib: MostOption = None,
    settings: SetOption = None,
    evaluation: Annotated[
        bool,
        typer.Option("--evaluation/--no-evaluation", help="Whether to measure scores when training has ended."),
    ] = True,
    moved: OwnDataOption = "",
    log: LogOption = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Continue the run in DIR, or with --seeds the runs in it.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a model on a source, or on your own images, arrays or table; evaluate it and write its report.

    Without --recipe, model and training are chosen to fit the data; the choices and their reasons are printed.
    """
    from lowerbound.runs import preparation, repeats, resuming
    from lowerbound.runs.experiment import resolve
    from lowerbound.runs.run import Callbacks

    join_ranks()
    of_files = {"size": size, "resize": resize, "labels": labels, "skip_broken": skip_broken, "max_gib": max_gib}
    of_model = {"latent_dim": latent_dim, "beta": beta, "likelihood": likelihood}
    of_training = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size, "seed": seed}
    settings = settings if evaluation else [*(settings or []), "evaluation.after_training=false"]
    given = given_settings(settings, data, data_dir=data_dir, **of_files, **of_model, **of_training)
    if resume is not None and out is not None:
        raise UsageError("--resume DIR is the run that continues; leave out --out.")
    if moved and seeds > 1:
        raise UsageError("--data is for one run; resume the directory of each seed separately.")
    if moved and resume is None:
        raise UsageError("--data is for --resume, if the run's data were moved; give DATA itself.")
    with stopping_politely() as should_stop, ProgressDisplay(quiet) as display:
        callbacks = Callbacks(display.show, display.message, should_stop, log=log or None)
        if resume is not None and seeds == 1:
            resumed = resuming.resume(
                resume, data=moved, recipe=recipe, settings=given, device=device, callbacks=callbacks
            )
            runs = [resumed]
        else:
            # The settings of a run that is resumed are below those given, not the defaults.
            stored = None if resume is None else repeats.experiment_of_seeds(resume, recipe, given)
            experiment = stored or resolve(recipe, given)
            runs = repeats.train_seeds(
                seeds,
                experiment,
                resume or out or preparation.default_path(experiment),
                auto_below=None if recipe or stored else given,
                is_resumed=resume is not None,
                settings=given,
                device=device,
                command=command_line(),
                callbacks=callbacks,
            )
    print_runs(runs, as_json)


@app.command(rich_help_panel=TRAIN)
def demo(out: Annotated[Path, typer.Option(metavar="DIR", help="Output directory.")] = Path("runs/demo")) -> None:
    """Train both reference architectures on the bundled digits; takes about a minute."""
    from lowerbound.runs import repeats
    from lowerbound.runs.run import Callbacks

    with stopping_politely() as should_stop, ProgressDisplay(quiet=False) as display:
        page = repeats.demo(out, Callbacks(display.show, display.message, should_stop))
    console.out.print(f"report: {page}", markup=False)


@app.command(rich_help_panel=TRAIN, epilog="Example: lowerbound evaluate runs/conv --set evaluation.num_draws=64")
def evaluate(
    run_path: RunArgument,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[DATA]", help="With --shards: a source, a folder, a file.")
    ] = None,
    anneal: Annotated[
        bool, typer.Option("--anneal", help="Also estimate log p(x) of 100 test examples by annealing; takes minutes.")
    ] = False,
    device: DeviceOption = "auto",
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    settings: EvaluationSetOption = None,
    shards: ShardsOption = None,
    engine: EngineOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run the full evaluation, tighter bounds and gaps included, and update results and report."""
    from lowerbound.runs.experiment import merge
    from lowerbound.runs.inputs import InputOptions
    from lowerbound.runs.reevaluation import reevaluate
    from lowerbound.runs.run import Callbacks

    join_ranks()
    annealed = {"evaluation": {"num_annealed": NUM_ANNEALED}} if anneal else {}
    overrides = merge(annealed, given_settings(settings, data_dir=data_dir))
    if shards is not None:
        refuse_given("--shards writes ELBO, distortion and rate of each example, without annealing", "anneal")
        _check_settings_of_terms(overrides)
        options = InputOptions(data=data, data_dir=data_dir)
        written = _write_terms(run_path, inputs or [], shards, device, engine, overrides, options, quiet)
        if as_json:
            print_json({**asdict(written), "path": str(written.path)})
        else:
            console.print_written(written.path, written.skipped, written.notes)
        return
    if engine != "auto":
        raise UsageError("the full evaluation has no choice of --engine; give it with --shards DIR.")
    if inputs:
        raise UsageError("the full evaluation takes the run's own data; give DATA with --shards DIR.")
    with StageDisplay(quiet) as display:
        finished = reevaluate(run_path, overrides, device, Callbacks(stage=display.show), data)
    print_runs([finished], as_json, whole=True)
    if not as_json:
        print_findings(finished.results.findings or ())


def _write_terms(
    run_path: Path,
    inputs: list[str],
    shards: Path,
    device: str,
    engine: str,
    settings: dict[str, Any],
    options: "InputOptions",
    quiet: bool,
) -> "Sharded":
    """Write the terms of each input; the settings are those of the evaluation."""
    from lowerbound.inference.example_terms import write_example_terms
    from lowerbound.runs.experiment import resolve
    from lowerbound.runs.run_data import read_stored

    config = resolve(read_stored(run_path).experiment, settings).evaluation
    with StageDisplay(quiet) as display:
        return write_example_terms(
            run_path,
            inputs,
            shards,
            num_draws=config.num_draws,
            seed=config.seed,
            options=options,
            device=device,
            engine=engine,
            progress=display.show,
        )


def _check_settings_of_terms(settings: dict[str, Any]) -> None:
    """UsageError for a setting that the terms of each input do not depend on."""
    given = [f"{section}.{key}" for section, values in settings.items() for key in values]
    for name in given:
        if name not in ("evaluation.num_draws", "evaluation.seed", "data.data_dir"):
            raise UsageError(f"--shards uses evaluation.num_draws and evaluation.seed; leave out {name}.")


@app.command("fit-prior", rich_help_panel=TRAIN, epilog="Example: lowerbound fit-prior runs/conv --out runs/mixture")
def fit_prior(
    run_path: RunArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the new run.")],
    kind: Annotated[
        str,
        typer.Option(
            metavar="mixture-of-normals|flow|autoregressive", help="Prior that is fitted; 'autoregressive' to codes."
        ),
    ] = "mixture-of-normals",
    components: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Normals of a mixture; default: 10.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit a prior to the codes of the training examples after training; write a new run with it.

    The networks stay as they are. A plain autoencoder can then be sampled.
    """
    from lowerbound.runs import prior_fitting
    from lowerbound.runs.run import Callbacks

    with StageDisplay(quiet) as display:
        finished = prior_fitting.fit_prior(
            run_path,
            kind,
            components=components,
            out=out,
            seed=seed,
            data=data,
            data_dir=data_dir,
            device=device,
            command=command_line(),
            callbacks=Callbacks(message=display.message, stage=display.show),
        )
    print_runs([finished], as_json)


@app.command(rich_help_panel=TRAIN)
def diagnose(
    run_path: RunArgument,
    device: DeviceOption = "auto",
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    as_json: JsonOption = False,
) -> None:
    """Find problems with a trained model, and the settings that fix them."""
    from lowerbound.runs.reevaluation import diagnose_run

    findings = diagnose_run(run_path, data_dir, device, data)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        print_findings(findings)


@app.command(rich_help_panel=TRAIN, epilog="Example: lowerbound compare runs/conv runs/dense --out comparison.html")
def compare(
    run_paths: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories; the first is the reference.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a page with figures (.html), or differences (.png)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare runs on the same test examples: scores in common, with paired differences and their errors."""
    from lowerbound.inference import comparing

    comparison = comparing.compare(run_paths, out)
    if as_json:
        print_json(asdict(comparison))
        return
    print_comparison(comparison)
    if out is not None:
        console.print_written(out)


@app.command(rich_help_panel=TRAIN, epilog="Example: lowerbound gradients runs/conv --bound iwae --draws 16")
def gradients(
    run_path: RunArgument,
    bound: Annotated[
        str, typer.Option(metavar="NAME", help="Bound of all draws, such as elbo, iwae or renyi.")
    ] = "elbo",
    draws: Annotated[int, typer.Option(min=1, metavar="K", help="Draws from the posterior for each estimate.")] = 2,
    num: Annotated[int, typer.Option("--num", "-n", min=1, help="Number of test examples.")] = 8,
    estimates: Annotated[
        int, typer.Option(min=100, help="Independent estimates by each estimator, for each example.")
    ] = 500,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also plot the variances as a PNG.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure variance, bias and time of every estimator of the bound's gradient, at a trained model."""
    from lowerbound.inference.gradients import as_json as in_json
    from lowerbound.inference.gradients import gradients as measured

    with StageDisplay() as display:
        bench = measured(
            run_path,
            bound=bound,
            num_samples=draws,
            num_examples=num,
            num_estimates=estimates,
            seed=seed,
            device=device,
            data=data,
            data_dir=data_dir,
            out=out,
            progress=display.show,
        )
    if as_json:
        print_json(in_json(bench))
    else:
        print_gradients(bench)


@app.command(rich_help_panel=TRAIN)
def report(run_path: RunArgument) -> None:
    """Rewrite a run's report from its results, without data or model."""
    from lowerbound.runs.reevaluation import rewrite_report

    console.out.print(str(rewrite_report(run_path)), markup=False)


@app.command(rich_help_panel=TRAIN, epilog="Example: lowerbound animate runs/conv --out training.mp4")
def animate(
    run_path: RunArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .gif, or .mp4 with ffmpeg; default: RUN/training.gif.")
    ] = None,
) -> None:
    """Write an animation of a run's training: codes of test examples beside decoded images, at about twenty epochs."""
    from lowerbound.runs import finished_run

    console.print_written(finished_run.animate(run_path, out))

"""The command `lowerbound`: one command, one function, a thin face on the Python interface.

Names are checked inside the commands, where torch and matplotlib are imported: help appears without them.
"""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lowerbound import __version__, console
from lowerbound.errors import Interrupted, LowerboundError, UsageError

TRAIN, USE, LOOK = "Train and judge", "Use a trained model", "Look things up"
NUM_ANNEALED = 100  # test images, by --anneal

app = typer.Typer(
    name="lowerbound",
    help="Variational autoencoders: from the bound to the browser.",
    epilog="Start with: [bold]lowerbound train digits --recipe conv --out runs/first[/bold]",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A directory that `lowerbound train` wrote.")]
DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="auto takes a GPU if there is one.")]
DataDirOption = Annotated[str, typer.Option(metavar="DIR", help="Holds IDX files, in a subfolder for each source.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting, as training.batch_size=64. Repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print numbers as JSON.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of what is drawn.")]
OutOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write; inside RUN if not given.")]
NumOption = Annotated[int, typer.Option("--num", "-n", min=1, max=10_000, help="How many images.")]


@app.command(rich_help_panel=TRAIN, epilog="Example: lowerbound train mnist --recipe conv --out runs/conv")
def train(
    data: Annotated[str, typer.Argument(metavar="[DATA]", help="A source, file or folder; digits if not given.")] = "",
    recipe: Annotated[str, typer.Option(metavar="NAME", help="See `lowerbound recipes`, or a .toml file.")] = "",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run's directory; runs/RECIPE-DATA.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data, at most.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights, order and noise; splits have their own.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with this many seeds; report mean ± error.")] = 1,
    device: DeviceOption = "auto",
    data_dir: DataDirOption = "",
    settings: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out where it stopped.")] = False,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a model, evaluate it and write its report."""
    from lowerbound import run

    overrides = _overrides(settings, data, epochs, seed, data_dir)
    command = shlex.join(["lowerbound", *sys.argv[1:]])
    if resume and (out is None or seeds > 1):
        raise UsageError("--resume needs --out DIR, the run to continue, and goes with one seed alone.")
    path = out or run.default_path(recipe or "dense", overrides)
    with console.stopping_politely() as should_stop, console.ProgressDisplay(quiet) as display:
        audience = run.Audience(display.show, display.message, should_stop)
        if resume:
            runs = [run.resume(path, recipe=recipe, settings=overrides, device=device, audience=audience)]
        else:
            runs = run.train_seeds(seeds, recipe or "dense", path, overrides, device, command, audience)
    _print_runs(runs, as_json)


@app.command(rich_help_panel=TRAIN)
def demo(out: Annotated[Path, typer.Option(metavar="DIR", help="Where to.")] = Path("runs/demo")) -> None:
    """Train both reference architectures on the embedded digits; takes about a minute."""
    from lowerbound import run

    with console.stopping_politely() as should_stop, console.ProgressDisplay(quiet=False) as display:
        page = run.demo(out, run.Audience(display.show, display.message, should_stop))
    console.out.print(f"report: {page}", markup=False)


@app.command(rich_help_panel=TRAIN, epilog="Example: lowerbound evaluate runs/conv --set evaluation.num_draws=64")
def evaluate(
    run_path: RunArgument,
    anneal: Annotated[
        bool, typer.Option("--anneal", help="Also estimate log p(x) of 100 test images by annealing; takes minutes.")
    ] = False,
    device: DeviceOption = "auto",
    data_dir: DataDirOption = "",
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a trained model wholly, tighter bounds and gaps included, and renew its results and report."""
    from lowerbound import run
    from lowerbound.experiment import merge

    annealed = {"evaluation": {"num_annealed": NUM_ANNEALED}} if anneal else {}
    overrides = merge(annealed, _overrides(settings, data_dir=data_dir))
    with console.StageDisplay() as display:
        finished = run.reevaluate(run_path, overrides, device, run.Audience(stage=display.show))
    _print_runs([finished], as_json)
    if not as_json:
        console.print_findings(finished.results.findings or ())


@app.command(rich_help_panel=TRAIN)
def diagnose(
    run_path: RunArgument, device: DeviceOption = "auto", data_dir: DataDirOption = "", as_json: JsonOption = False
) -> None:
    """Ask the doctor: what is wrong with a trained model, and which knob to turn."""
    from lowerbound import run

    findings = run.check_up(run_path, data_dir, device)
    if as_json:
        _print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        console.print_findings(findings)


@app.command(rich_help_panel=TRAIN, epilog="Example: lowerbound compare runs/conv runs/dense --out comparison.png")
def compare(
    run_paths: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="The first is the reference.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw the differences, as a PNG.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Set runs side by side, with paired differences per image: "better" means more than noise."""
    from lowerbound import use
    from lowerbound.reporting.comparison import verdict

    comparison = use.compare(run_paths, out)
    if as_json:
        _print_json(asdict(comparison))
    else:
        verdicts = [verdict(row, comparison.quantity) for row in comparison.rows]
        console.print_comparison(comparison, verdicts)


@app.command(rich_help_panel=TRAIN)
def report(run_path: RunArgument) -> None:
    """Draw a run's report again from its results; needs neither data nor model."""
    from lowerbound.evaluation.results import read_results
    from lowerbound.reporting.report import write_report
    from lowerbound.run import read_experiment

    read_experiment(run_path)
    console.out.print(str(write_report(read_results(run_path), run_path)), markup=False)


@app.command(rich_help_panel=USE, epilog="Example: lowerbound sample runs/conv --num 64 --temperature 0.8")
def sample(
    run_path: RunArgument,
    num: NumOption = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="Scales the prior's standard deviation.")] = 1.0,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """Generate new images: decoded draws from the prior, as one PNG."""
    from lowerbound import use

    console.out.print(str(use.sample(run_path, num, temperature, seed, out)), markup=False)


@app.command(rich_help_panel=USE, epilog="Example: lowerbound reconstruct runs/conv photo.png")
def reconstruct(
    run_path: RunArgument,
    inputs: Annotated[list[str] | None, typer.Argument(metavar="[DATA|FILES]", help="Else its test images.")] = None,
    num: NumOption = 16,
    data_dir: DataDirOption = "",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encode images and decode them again: originals above, reconstructions below, as one PNG."""
    from lowerbound import use

    path, scores = use.reconstruct(run_path, inputs or [], num, data_dir, out)
    if as_json:
        _print_json({"picture": str(path), "scores": [asdict(score) for score in scores]})
    else:
        console.print_scores(scores)
        console.out.print(str(path), markup=False)


@app.command(rich_help_panel=USE, epilog="Example: lowerbound encode runs/conv mnist --out codes.npz")
def encode(
    run_path: RunArgument,
    data: Annotated[list[str], typer.Argument(metavar="DATA|FILES", help="A source, a file, a folder, or images.")],
    data_dir: DataDirOption = "",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="A .csv or .npz file; latents.csv in RUN.")] = None,
) -> None:
    """Write the posterior of each image: mean and log-variance of each latent, and labels."""
    from lowerbound import use

    console.out.print(str(use.encode(run_path, data, data_dir, out)), markup=False)


@app.command(rich_help_panel=USE, epilog="Example: lowerbound interpolate runs/conv 3 8 --num 12")
def interpolate(
    run_path: RunArgument,
    first: Annotated[str, typer.Argument(metavar="A", help="An image file, or a test image by its number.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Likewise.")],
    num: NumOption = 10,
    data_dir: DataDirOption = "",
    out: OutOption = None,
) -> None:
    """Decode the straight line in z between two images, as one PNG."""
    from lowerbound import use

    console.out.print(str(use.interpolate(run_path, first, second, num, data_dir, out)), markup=False)


@app.command(rich_help_panel=LOOK, epilog="Example: lowerbound summary conv --size 32x32 --channels 3")
def summary(
    target: Annotated[str, typer.Argument(metavar="RECIPE|RUN", help="A recipe's name, or a run's directory.")],
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Of the images, for a recipe.")] = "28x28",
    channels: Annotated[int, typer.Option(min=1, help="Of the images, for a recipe.")] = 1,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's layers with output shapes and parameter counts."""
    from lowerbound import use

    about = use.summary(target, size, channels, _overrides(settings))
    if as_json:
        _print_json(asdict(about))
        return
    console.out.print(about.title, markup=False)
    console.print_layers("encoder", about.encoder)
    console.print_layers("decoder", about.decoder)
    console.out.print(f"together {about.num_parameters:,} parameters{about.likelihood_note}", markup=False)


@app.command(rich_help_panel=LOOK)
def recipes(as_json: JsonOption = False) -> None:
    """List the recipes."""
    from lowerbound.experiment import recipe_descriptions

    if as_json:
        _print_json(recipe_descriptions())
    else:
        console.print_table(("recipe", "what it is"), list(recipe_descriptions().items()))


@app.command(rich_help_panel=LOOK)
def data(as_json: JsonOption = False) -> None:
    """List the data sources."""
    from lowerbound.data.sources import SOURCES

    if as_json:
        keys = ("name", "shape", "range", "sizes", "origin", "licence")
        _print_json({"sources": [{key: getattr(source, key) for key in keys} for source in SOURCES.values()]})
        return
    rows = [
        (
            source.name,
            console.shape_in_words(source.shape),
            " / ".join(f"{size:,}" for size in source.sizes),
            f"{source.range}; {source.origin}; {source.licence}",
        )
        for source in SOURCES.values()
    ]
    console.print_table(("source", "shape", "train / validation / test", "what it is"), rows)
    console.out.print("Or the path of a .npy or .npz array, or of a folder of PNG or JPEG images.")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if show:
        console.out.print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point: every error is one line; the exit status is 0, 1 (failed), 2 (usage) or 130 (interrupted)."""
    try:
        sys.exit(app(prog_name="lowerbound", standalone_mode=False))
    except typer.TyperException as error:
        console.fail(f"{error.format_message()} See lowerbound --help.")
        sys.exit(UsageError.exit_status)
    except LowerboundError as error:
        console.fail(error)
        sys.exit(error.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        console.fail("interrupted.")
        sys.exit(Interrupted.exit_status)
    except OSError as error:
        console.fail(f"{error.filename or 'the system'}: {error.strerror or error}.")
        sys.exit(1)


def _overrides(
    settings: list[str] | None, data: str = "", epochs: int | None = None, seed: int | None = None, data_dir: str = ""
) -> dict[str, Any]:
    """--set assignments with the flags laid over them."""
    from lowerbound.experiment import merge, parse_settings

    given: dict[str, dict[str, Any]] = {
        "data": {"source": data or None, "data_dir": data_dir or None},
        # A number of epochs that is asked for is meant, however few steps they make.
        "training": {"num_epochs": epochs, "min_steps": 0 if epochs else None, "seed": seed},
    }
    kept = {name: {key: value for key, value in keys.items() if value is not None} for name, keys in given.items()}
    flags = {name: keys for name, keys in kept.items() if keys}
    return merge(parse_settings(settings or []), flags)


def _print_runs(runs: list[Any], as_json: bool) -> None:
    from lowerbound.run import over_seeds

    scores = runs[0].results.scores if len(runs) == 1 else over_seeds(runs)
    reports = [str(run.path / "report.html") for run in runs]
    if as_json:
        _print_json({"reports": reports, "scores": [asdict(score) for score in scores]})
        return
    console.print_scores(scores)
    for path in reports:
        console.out.print(f"report: {path}", markup=False)


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, indent=2))

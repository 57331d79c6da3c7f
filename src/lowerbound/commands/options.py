"""The typer application, and the options that several commands share. Does not import torch, so help is fast."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lowerbound.commands import console
from lowerbound.commands.help_style import Group
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.text import readable

TRAIN, USE, SHARE, LOOK = "Train and evaluate", "Use a trained model", "Explore, serve, export", "Inspect and list"
PANELS = (TRAIN, USE, SHARE, LOOK)
NUM_ANNEALED = 100  # test examples, with --anneal

app = typer.Typer(
    name="lowerbound",
    cls=Group,
    help="Train, evaluate, explore and serve variational autoencoders.",
    epilog="Start with: [bold]lowerbound train digits --recipe conv --out runs/first[/bold]",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, written by `lowerbound train`.")]
DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Device; auto uses a GPU if there is one.")]
DataDirOption = Annotated[
    str, typer.Option(metavar="DIR", help="Folder of IDX files, with a subfolder for each source.")
]
OwnDataOption = Annotated[
    str,
    typer.Option("--data", metavar="PATH", help="New path of the run's own data; their checksum is verified."),
]
DataArgument = Annotated[str, typer.Argument(metavar="[DATA]", help="A source, file or folder; default: digits.")]
RecipeOption = Annotated[str, typer.Option(metavar="NAME", help="Recipe name or .toml file; default: automatic.")]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Maximum number of passes over the data.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="A setting, such as training.batch_size=64. Repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Do not show progress.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the random draws.")]
OutOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Output file; default: a file in RUN.")]
ShardsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write a folder of Parquet files instead, for inputs of any size; ranks of torchrun write it together.",
    ),
]
LogOption = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="tensorboard|wandb|mlflow|none",
        help="Also log to an experiment tracker; --resume continues its run. Repeatable.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with the access token (mode 600); default: the environment variable LOWERBOUND_TOKEN.",
    ),
]
NumOption = Annotated[int, typer.Option("--num", "-n", min=1, max=10_000, help="Number of examples.")]
SizeOption = Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Resize image files to this size.")]
ResizeOption = Annotated[
    str, typer.Option(metavar="crop|fit", help="Crop to the size, or fit within it and pad with black.")
]
SkipOption = Annotated[bool, typer.Option("--skip-broken", help="Skip unreadable examples, and list them.")]
MostOption = Annotated[
    float | None,
    typer.Option("--max-gib", metavar="GIB", help="Limit on the memory for the stored data; default: 4."),
]
LabelsOption = Annotated[
    str, typer.Option(metavar="FILE|COLUMN", help="CSV of file names and labels, or label column.")
]


def command_line() -> str:
    """The command as it was given, for the record of a run."""
    return readable(shlex.join(["lowerbound", *sys.argv[1:]]))


def given_settings(assignments: list[str] | None, data: str = "", **options: Any) -> dict[str, Any]:
    """The settings of --set, overridden by those of other options, by their keyword (see `KEYWORDS`)."""
    from lowerbound.commands.assignments import parse_settings
    from lowerbound.runs.experiment import keyword_settings, merge

    assigned = parse_settings(assignments or [])
    other = assigned.get("data", {}).get("source", data)
    if data and other != data:
        raise UsageError(f"the data are given twice, as {data!r} and as data.source={other!r}; give them once.")
    return merge(assigned, keyword_settings(data=data, **options))


def print_runs(runs: list[Any], as_json: bool) -> None:
    """Print the scores of finished runs, and the paths of their reports."""
    from lowerbound.evaluation.over_seeds import over_seeds

    scores = over_seeds([run.results for run in runs])
    reports = [str(run.path / "report.html") for run in runs]
    if as_json:
        print_json({"reports": reports, "scores": [asdict(score) for score in scores]})
        return
    console.print_scores(scores)
    for path in reports:
        console.out.print(f"report: {path}", markup=False)


def print_json(value: dict[str, Any]) -> None:
    """Print JSON for other programs."""
    print(json.dumps(value, indent=2))

"""The application, options that several commands have, and what they do with them. No torch here."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lowerbound.commands import console
from lowerbound.foundation.errors import UsageError

TRAIN, USE, SHARE, LOOK = "Train and evaluate", "Use a trained model", "Explore, serve, export", "Inspect and list"
PANELS = (TRAIN, USE, SHARE, LOOK)
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
DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="auto uses a GPU if there is one.")]
DataDirOption = Annotated[str, typer.Option(metavar="DIR", help="Folder of IDX files, a subfolder for each source.")]
OwnDataOption = Annotated[
    str,
    typer.Option("--data", metavar="PATH", help="The run's own data if they were moved; their checksum is verified."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting, such as training.batch_size=64. Repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the random draws.")]
OutOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Output file; in RUN if not given.")]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="File with the access token, of mode 600; else LOWERBOUND_TOKEN in the environment."
    ),
]
NumOption = Annotated[int, typer.Option("--num", "-n", min=1, max=10_000, help="Number of examples.")]
SizeOption = Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Resize image files to this size.")]
ResizeOption = Annotated[
    str, typer.Option(metavar="crop|fit", help="Crop to the size, or fit within it and pad with black.")
]
SkipOption = Annotated[bool, typer.Option("--skip-broken", help="Skip what cannot be read, and list it.")]
MostOption = Annotated[
    float | None,
    typer.Option("--max-gib", metavar="GIB", help="Memory that data may take as they are stored; 4 if not given."),
]
LabelsOption = Annotated[str, typer.Option(metavar="FILE|COLUMN", help="CSV of file names and labels, or a column.")]


def given_settings(
    settings: list[str] | None, data: str = "", epochs: int | None = None, seed: int | None = None, data_dir: str = ""
) -> dict[str, Any]:
    """--set assignments, overridden by the flags."""
    from lowerbound.runs.experiment import merge, parse_settings

    given: dict[str, dict[str, Any]] = {
        "data": {"source": data or None, "data_dir": data_dir or None},
        # A number of epochs that is asked for is meant, however few steps they make.
        "training": {"num_epochs": epochs, "min_steps": 0 if epochs else None, "seed": seed},
    }
    kept = {name: {key: value for key, value in keys.items() if value is not None} for name, keys in given.items()}
    flags = {name: keys for name, keys in kept.items() if keys}
    assigned = parse_settings(settings or [])
    other = assigned.get("data", {}).get("source", data)
    if data and other != data:
        raise UsageError(f"the data are given twice, as {data!r} and as data.source={other!r}; give them once.")
    return merge(assigned, flags)


def given_of_files(
    size: str, resize: str, labels: str, skip_broken: bool, max_gib: float | None
) -> dict[str, dict[str, Any]]:
    """The flags about files and folders, as settings."""
    given = {"size": size, "resize": resize, "labels": labels, "skip_broken": skip_broken}
    kept: dict[str, Any] = {key: value for key, value in given.items() if value}
    if max_gib is not None:
        kept["max_gib"] = max_gib
    return {"data": kept} if kept else {}


def print_runs(runs: list[Any], as_json: bool) -> None:
    """The scores of finished runs, and where their reports are."""
    from lowerbound.runs.repeats import over_seeds

    scores = runs[0].results.scores if len(runs) == 1 else over_seeds(runs)
    reports = [str(run.path / "report.html") for run in runs]
    if as_json:
        print_json({"reports": reports, "scores": [asdict(score) for score in scores]})
        return
    console.print_scores(scores)
    for path in reports:
        console.out.print(f"report: {path}", markup=False)


def print_json(value: dict[str, Any]) -> None:
    """A value for another program."""
    print(json.dumps(value, indent=2))

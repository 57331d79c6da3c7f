"""The typer application, and the options that several commands share. Does not import torch, so help is fast."""

import json
import shlex
import sys
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from lowerbound.commands.help_style import Group
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.keywords import KEYWORDS, meaning, option
from lowerbound.foundation.text import readable

TRAIN, USE, SHARE, LOOK = "Train and evaluate", "Use a trained model", "Explore, serve, export", "Inspect and list"
PANELS = (TRAIN, USE, SHARE, LOOK)
NUM_ANNEALED = 100  # test examples, with --anneal

app = typer.Typer(
    name="lowerbound",
    cls=Group,
    help="Train, evaluate, explore and serve variational autoencoders.",
    epilog="Start with: [bold]lowerbound train digits --recipe conv --out runs/first[/bold]",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _option(keyword: str) -> Any:
    """The option that gives a setting, with the setting's meaning as its help."""
    return typer.Option(option(keyword), metavar=KEYWORDS[keyword].value or None, help=meaning(keyword))


def _recipes_beginning_with(incomplete: str) -> list[str]:
    """Names of recipes, for the shell's completion; from the files, because importing them takes a second."""
    names = (path.name for path in (resources.files("lowerbound") / "recipes").iterdir())
    stems = (name.removesuffix(".toml") for name in names if name.endswith(".toml"))
    return sorted(stem for stem in stems if stem.startswith(incomplete))


def _set_option(example: str, section: str = "") -> Any:
    """The option --set, of all sections or of one."""
    what, command = f"A setting of {section}" if section else "Any other setting", f"lowerbound settings {section}"
    text = f"{what}, such as {example}; `{command.strip()}` lists them. Repeatable."
    return typer.Option("--set", metavar="SECTION.KEY=VALUE", help=text)


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, written by `lowerbound train`.")]
DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Device; auto uses a GPU if there is one.")]
EngineOption = Annotated[
    str, typer.Option(metavar="auto|torch|onnx", help="What computes the networks; auto uses ONNX where it saves time.")
]
DataDirOption = Annotated[str, _option("data_dir")]
OwnDataOption = Annotated[
    str,
    typer.Option("--data", metavar="PATH", help="New path of the run's own data; their checksum is verified."),
]
DataArgument = Annotated[str, typer.Argument(metavar="[DATA]", help=f"{meaning('data')} Default: digits.")]
RecipeOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Recipe name or .toml file (`lowerbound recipes`); default: automatic.",
        autocompletion=_recipes_beginning_with,
    ),
]
EpochsOption = Annotated[int | None, _option("epochs")]
LatentDimOption = Annotated[int | None, _option("latent_dim")]
LikelihoodOption = Annotated[str, _option("likelihood")]
BetaOption = Annotated[float | None, _option("beta")]
BatchSizeOption = Annotated[int | None, _option("batch_size")]
LearningRateOption = Annotated[float | None, _option("learning_rate")]
TrainingSeedOption = Annotated[int | None, _option("seed")]
SetOption = Annotated[list[str] | None, _set_option("model.hidden=[64]")]
DataSetOption = Annotated[list[str] | None, _set_option("data.channels=1", "data")]
EvaluationSetOption = Annotated[list[str] | None, _set_option("evaluation.num_draws=64", "evaluation")]
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
SizeOption = Annotated[str, _option("size")]
ResizeOption = Annotated[str, _option("resize")]
SkipOption = Annotated[bool, _option("skip_broken")]
MostOption = Annotated[float | None, _option("max_gib")]
LabelsOption = Annotated[str, _option("labels")]

LabelOption = Annotated[
    str | None,
    typer.Option("--label", metavar="LABEL", help="Label that a conditional model is given for all examples."),
]
GivenOption = Annotated[
    list[str] | None,
    typer.Option(
        "--given",
        metavar="NAME=VALUE|FILE",
        help="Value of a condition for all examples, or a table with a value for each. Repeatable.",
    ),
]


def given_values(label: str | None, given: list[str] | None) -> dict[str, str]:
    """The values of --label and --given by the names of conditions; UsageError for one given twice, or empty."""
    if label == "":
        raise UsageError("--label is empty; give the label, or leave it out.")
    found = {} if label is None else {"label": label}
    for text in given or []:
        if _is_table(text):
            continue
        name, equals, value = text.partition("=")
        if not (equals and name.strip() and value):
            accepted = f"NAME=VALUE, such as site=B, or a table ({', '.join(_readers())})"
            raise UsageError(f"--given {text!r} is neither {accepted}.")
        if name.strip() in found:
            raise UsageError(f"a value of {name.strip()!r} is given twice; give it once.")
        found[name.strip()] = value
    return found


def given_table(given: list[str] | None) -> Path | None:
    """The table among the values of --given; UsageError for a second one."""
    found = [text for text in given or [] if _is_table(text)]
    if len(found) > 1:
        raise UsageError(f"--given names two tables, {found[0]} and {found[1]}; give one with all conditions.")
    return Path(found[0]).expanduser() if found else None


def _is_table(text: str) -> bool:
    path = Path(text).expanduser()
    return path.suffix.lower() in _readers() and ("=" not in text or path.is_file())


def _readers() -> Collection[str]:
    from lowerbound.data.factor_columns import READERS  # not for --help

    return READERS


def command_line() -> str:
    """The command as it was given, for the record of a run."""
    return readable(shlex.join(["lowerbound", *sys.argv[1:]]))


def given_settings(assignments: list[str] | None, data: str = "", **options: Any) -> dict[str, Any]:
    """The settings of --set and of other options, which are given by their keyword (see `KEYWORDS`).

    UsageError for a setting that is given by both.
    """
    from lowerbound.commands.assignments import parse_settings
    from lowerbound.runs.experiment import keyword_settings, merge

    assigned = parse_settings(assignments or [])
    for keyword in options:
        section, key, *_ = KEYWORDS[keyword]
        if keyword_settings(**{keyword: options[keyword]}) and key in assigned.get(section, {}):
            raise UsageError(f"{section}.{key} is given twice, by {option(keyword)} and by --set; give it once.")
    other = assigned.get("data", {}).get("source", data)
    if data and other != data:
        raise UsageError(f"the data are given twice, as {data!r} and as data.source={other!r}; give them once.")
    return merge(keyword_settings(data=data, **options), assigned)


def print_json(value: dict[str, Any]) -> None:
    """Print JSON for other programs."""
    print(json.dumps(value, indent=2))

"""The commands of the panel "Inspect and list": summary, inspect, show, recipes, data."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lowerbound.commands import console
from lowerbound.commands.given import refuse_given
from lowerbound.commands.options import (
    LOOK,
    DataDirOption,
    JsonOption,
    LabelsOption,
    MostOption,
    ResizeOption,
    RunArgument,
    SetOption,
    SizeOption,
    SkipOption,
    app,
    given_settings,
    print_json,
)
from lowerbound.commands.printed_data import print_inspection, print_layers, print_schema, shape_in_words
from lowerbound.commands.printed_scores import print_findings, print_scores
from lowerbound.foundation.text import pluralise


@app.command(rich_help_panel=LOOK, epilog="Example: lowerbound summary conv --size 32x32 --channels 3")
def summary(
    target: Annotated[str, typer.Argument(metavar="RECIPE|RUN", help="A recipe name or a run directory.")],
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Image size, for a recipe.")] = "28x28",
    channels: Annotated[int, typer.Option(min=1, help="Number of channels, for a recipe.")] = 1,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's layers with output shapes and parameter counts."""
    from lowerbound.foundation.run_identity import is_run
    from lowerbound.inference.model_summary import summary as summary_of

    if is_run(Path(target)):
        refuse_given(f"{target} is a run, whose model has its size and settings", "size", "channels", "settings")
    about = summary_of(target, size, channels, given_settings(settings))
    if as_json:
        print_json(asdict(about))
        return
    console.out.print(about.title, markup=False)
    print_layers("encoder", about.encoder)
    print_layers("decoder", about.decoder)
    console.out.print(f"{pluralise(about.num_parameters, 'parameter')} in total{about.likelihood_note}", markup=False)


@app.command(rich_help_panel=LOOK, epilog="Example: lowerbound inspect photos/ --size 64x48")
def inspect(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A source, file or folder.")],
    size: SizeOption = "",
    resize: ResizeOption = "",
    labels: LabelsOption = "",
    skip_broken: SkipOption = False,
    max_gib: MostOption = None,
    data_dir: DataDirOption = "",
    settings: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Contact sheet of examples; default: inspected.png.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Summarise data: shape, range, labels, duplicates, broken files, and what `lowerbound train` would choose."""
    from lowerbound.foundation.run_identity import is_run
    from lowerbound.runs.experiment import resolve
    from lowerbound.runs.inspection import inspect

    if is_run(Path(data)):
        of_data = ("size", "resize", "labels", "skip_broken", "max_gib", "data_dir", "settings", "out")
        refuse_given(f"{data} is a run, of which the schema is shown", *of_data)
        _inspect_run(Path(data), as_json)
        return
    of_files = {"size": size, "resize": resize, "labels": labels, "skip_broken": skip_broken, "max_gib": max_gib}
    given = given_settings(settings, data, data_dir=data_dir, **of_files)
    found = inspect(resolve("", given).data, out or Path("inspected.png"), given)
    if out is not None and not found.sheet:
        refuse_given(f"a contact sheet shows images, and {data} contains none", "out")
    if as_json:
        print_json(asdict(found))
    else:
        print_inspection(data, found)


@app.command(rich_help_panel=LOOK, epilog="Example: lowerbound show runs/conv")
def show(run_path: RunArgument, as_json: JsonOption = False) -> None:
    """Show all scores of a finished run, of every split, and the findings of its diagnosis."""
    from lowerbound.evaluation.results import read_scores
    from lowerbound.foundation.run_identity import read_config

    read_config(run_path)  # refuses what is not a run
    results = read_scores(run_path)
    if as_json:
        print_json({"scores": [asdict(score) for score in results.scores]})
        return
    print_scores(results.scores, results.sizes)
    if not results.scores:
        print(f"not evaluated yet: lowerbound evaluate {run_path}")
    elif results.findings is None:
        print(f"not diagnosed yet: lowerbound evaluate {run_path}")
    else:
        print_findings(results.findings)


def _inspect_run(path: Path, as_json: bool) -> None:
    """Print the schema of a run's data."""
    from lowerbound.foundation.run_identity import MODEL, check_model
    from lowerbound.runs.run_data import read_stored

    schema = read_stored(path).schema
    if (path / MODEL).exists():
        check_model(path)
    if as_json:
        print_json(asdict(schema))
    else:
        print_schema(str(path), schema)


@app.command(rich_help_panel=LOOK)
def recipes(as_json: JsonOption = False) -> None:
    """List the recipes."""
    from lowerbound.runs.experiment import recipe_descriptions

    if as_json:
        print_json(recipe_descriptions())
    else:
        console.print_table(("recipe", "description"), list(recipe_descriptions().items()))


@app.command(rich_help_panel=LOOK)
def data(as_json: JsonOption = False) -> None:
    """List the data sources."""
    from lowerbound.data.sources import SOURCES

    if as_json:
        keys = ("name", "shape", "range", "sizes", "origin", "licence")
        print_json({"sources": [{key: getattr(source, key) for key in keys} for source in SOURCES.values()]})
        return
    rows = [
        (
            source.name,
            shape_in_words(source.shape),
            " / ".join(f"{size:,}" for size in source.sizes),
            f"{source.range}; {source.origin}; {source.licence}",
        )
        for source in SOURCES.values()
    ]
    console.print_table(("source", "shape", "train / validation / test", "description"), rows)
    console.out.print(
        "Your own data are given by their path: a folder or .zip of images, an array or a table (`lowerbound inspect`)."
    )

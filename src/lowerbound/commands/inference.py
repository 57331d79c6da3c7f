"""The commands of the panel "Use a trained model": sample, reconstruct, encode, score, impute, interpolate."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowerbound.commands import console
from lowerbound.commands.given import refuse_given
from lowerbound.commands.options import (
    USE,
    DataDirOption,
    DeviceOption,
    EngineOption,
    GivenOption,
    JsonOption,
    LabelOption,
    MostOption,
    NumOption,
    OutOption,
    OwnDataOption,
    RunArgument,
    SeedOption,
    ShardsOption,
    SkipOption,
    app,
    given_table,
    given_values,
    print_json,
)
from lowerbound.commands.printed_anomalies import print_anomalies, print_scored_shards
from lowerbound.commands.printed_scores import print_scores
from lowerbound.commands.progress import StageDisplay
from lowerbound.commands.ranks import join_ranks
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.text import pluralise

if TYPE_CHECKING:
    from lowerbound.runs.inputs import InputOptions

InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DATA|FILES]", help="A source, a folder or files; default: the run's test examples."),
]


@app.command(rich_help_panel=USE, epilog="Example: lowerbound sample runs/conv --num 64 --temperature 0.8")
def sample(
    run_path: RunArgument,
    num: Annotated[
        int | None, typer.Option("--num", "-n", min=1, max=10_000, help="Number of examples; default: 64.")
    ] = None,
    temperature: Annotated[
        str,
        typer.Option(
            metavar="T|T,T,...",
            help="Sampling temperature, below 1 samples vary less; or one for each level, from the one nearest x.",
        ),
    ] = "1",
    seed: SeedOption = 0,
    out: OutOption = None,
    grid: Annotated[
        str, typer.Option(metavar="COLUMNSxROWS", help="One picture of COLUMNS x ROWS images, in place of --num.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each image to a PNG file in DIR, in place of --out.")
    ] = None,
    label: LabelOption = None,
    given: GivenOption = None,
    engine: EngineOption = "auto",
) -> None:
    """Generate new examples: images as one PNG or a folder of files, rows of a table as CSV or Parquet."""
    from lowerbound.inference import tasks

    if grid:
        refuse_given("--grid is the number of images, columns times rows", "num")
    columns, rows = tasks.read_grid(grid) if grid else (0, 0)
    console.print_written(
        tasks.sample(
            run_path,
            columns * rows or num,
            _temperature(temperature),
            seed,
            out,
            folder,
            columns,
            engine,
            given=given_values(label, given),
            given_table=given_table(given),
        )
    )


@app.command(rich_help_panel=USE, epilog="Example: lowerbound reconstruct runs/conv photo.png")
def reconstruct(
    run_path: RunArgument,
    inputs: InputsArgument = None,
    num: NumOption = 16,
    skip_broken: SkipOption = False,
    max_gib: MostOption = None,
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    out: OutOption = None,
    label: LabelOption = None,
    given: GivenOption = None,
    engine: EngineOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Encode and decode examples: images above their reconstructions as PNG, rows of a table as CSV or Parquet."""
    from lowerbound.inference import tasks

    options = _input_options(data, data_dir, skip_broken, max_gib, label, given)
    found = tasks.reconstruct(run_path, inputs or [], num, options, out, engine)
    if as_json:
        print_json({**asdict(found), "path": str(found.path)})
    else:
        print_scores(found.scores)
        console.print_written(found.path, found.skipped, found.notes)


@app.command(rich_help_panel=USE, epilog="Example: lowerbound encode runs/conv mnist --out codes.npz")
def encode(
    run_path: RunArgument,
    inputs: InputsArgument = None,
    skip_broken: SkipOption = False,
    max_gib: MostOption = None,
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .csv, .npz, .parquet or .json file; default: RUN/latents.csv."),
    ] = None,
    shards: ShardsOption = None,
    label: LabelOption = None,
    given: GivenOption = None,
    engine: EngineOption = "auto",
) -> None:
    """Write the posterior of each example: mean and log-variance of each latent, or its parameters, id and label."""
    from lowerbound.inference import tasks

    options = _input_options(data, data_dir, skip_broken, max_gib, label, given)
    join_ranks()
    with StageDisplay() as display:
        encoded = tasks.encode(run_path, inputs or [], options, out, shards, display.show, engine)
    console.print_written(encoded.path, encoded.skipped, encoded.notes)


@app.command(rich_help_panel=USE, epilog="Example: lowerbound score runs/photos new-photos/ --out scores.csv")
def score(
    run_path: RunArgument,
    inputs: InputsArgument = None,
    false_alarms: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Share of normal examples to flag; default: 0.05, or the least possible."),
    ] = None,
    by: Annotated[
        str, typer.Option(metavar="SCORE", help="Score that flags anomalies; the default depends on the kind of data.")
    ] = "",
    importance: Annotated[
        bool, typer.Option("--importance/--no-importance", help="Compute the importance-weighted score, the slowest.")
    ] = False,
    skip_broken: SkipOption = False,
    max_gib: MostOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    label: LabelOption = None,
    given: GivenOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all scores to a .csv, .npz, .parquet or .json file.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with the most anomalous examples, and why.")
    ] = None,
    shards: ShardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute anomaly scores, with a threshold from held-out examples of the training data, and the reasons."""
    from lowerbound.inference import anomaly
    from lowerbound.inference.scored import as_json as as_json_of

    join_ranks()
    settings: dict[str, Any] = {
        "false_alarm_rate": false_alarms,
        "by": by,
        "importance": importance,
        "options": _input_options(data, data_dir, skip_broken, max_gib, label, given),
        "device": device,
        "engine": engine,
        "out": out,
    }
    if shards is not None:
        if page is not None:
            raise UsageError("--page shows the most anomalous of inputs in memory; leave it out with --shards.")
        with StageDisplay() as display:
            written = anomaly.score_shards(run_path, inputs or [], shards, **settings, progress=display.show)
        print_json(anomaly.shards_as_json(written)) if as_json else print_scored_shards(written)
        return
    scored = anomaly.score(run_path, inputs or None, page=page, **settings)
    if as_json:
        print_json(as_json_of(scored))
    else:
        print_anomalies(scored)
        if page is not None:
            console.print_written(page)


@app.command(rich_help_panel=USE, epilog="Example: lowerbound impute runs/passengers passengers.csv --out filled.csv")
def impute(
    run_path: RunArgument,
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE", help="A .csv, .tsv or .parquet with the training table's columns."),
    ],
    skip_broken: SkipOption = False,
    max_gib: MostOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Output file in TABLE's format; default: a file in RUN.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fill the missing cells of a table with their expected values; every known cell is copied unchanged."""
    from lowerbound.inference import imputation

    imputed = imputation.impute(run_path, table.expanduser(), out, skip_broken, max_gib)
    if as_json:
        print_json({**asdict(imputed), "path": str(imputed.path), "fills_path": str(imputed.fills_path)})
        return
    console.print_notes(imputed.notes)
    console.print_skipped(imputed.skipped)
    copied = f", {len(imputed.skipped):,} unreadable rows copied unchanged" if imputed.skipped else ""
    out_of = f"of {pluralise(imputed.num_rows, 'row')}"
    console.out.print(f"{pluralise(imputed.num_filled, 'cell')} {out_of} filled{copied}: {imputed.path}", markup=False)
    console.out.print(f"imputed values with their uncertainty: {imputed.fills_path}", markup=False)


@app.command(rich_help_panel=USE, epilog="Example: lowerbound interpolate runs/conv --from-label 3 --to-label 8")
def interpolate(
    run_path: RunArgument,
    first: Annotated[str, typer.Argument(metavar="[A]", help="A file, or the number of a test example.")] = "",
    second: Annotated[str, typer.Argument(metavar="[B]", help="A file, or the number of a test example.")] = "",
    from_label: Annotated[
        str, typer.Option(metavar="LABEL", help="Begin at the most typical test example of a label, in place of A.")
    ] = "",
    to_label: Annotated[
        str, typer.Option(metavar="LABEL", help="End at the most typical test example of a label, in place of B.")
    ] = "",
    num: NumOption = 10,
    max_gib: MostOption = None,
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    out: OutOption = None,
) -> None:
    """Decode the shortest path in z between two examples: images as one PNG, others as rows of a file."""
    from lowerbound.inference import tasks
    from lowerbound.runs.inputs import InputOptions

    options = InputOptions(data=data, data_dir=data_dir, max_gib=max_gib)
    labels = {"from_label": from_label, "to_label": to_label}
    console.print_written(tasks.interpolate(run_path, first, second, num, options, out, **labels))


def _input_options(
    data: str, data_dir: str, skip_broken: bool, max_gib: float | None, label: str | None, given: list[str] | None
) -> "InputOptions":
    from lowerbound.runs.inputs import InputOptions

    return InputOptions(
        data=data,
        data_dir=data_dir,
        skip_broken=skip_broken,
        max_gib=max_gib,
        given=given_values(label, given),
        given_table=given_table(given),
    )


def _temperature(text: str) -> float | list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 <= number < math.inf for number in numbers):
        accepted = "a finite number of at least 0, or one for each level of latents, such as 1,0.7"
        raise UsageError(f"--temperature is {text!r}; accepted: {accepted}.")
    return numbers if len(numbers) > 1 else numbers[0]

"""The command `pack`, in the panel "Train and evaluate": converts data once, to be read from disk."""

from pathlib import Path
from typing import Annotated

import typer

from lowerbound.commands.options import (
    TRAIN,
    DataDirOption,
    DataSetOption,
    JsonOption,
    LabelsOption,
    MostOption,
    QuietOption,
    ResizeOption,
    SizeOption,
    SkipOption,
    app,
    given_settings,
    print_json,
)
from lowerbound.commands.printed_data import print_packed
from lowerbound.commands.progress import StageDisplay


@app.command(rich_help_panel=TRAIN, epilog="Example: lowerbound pack photos/ packed --size 64x64")
def pack(
    data: Annotated[str, typer.Argument(metavar="PATH", help="A source, file, folder or URL.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; packing that was interrupted goes on.")],
    for_run: Annotated[
        Path | None,
        typer.Option(
            "--for", metavar="RUN", help="Read by the schema of this run, to be encoded or scored; no splits."
        ),
    ] = None,
    validation: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Validation examples; default: a tenth, at most 10,000.")
    ] = None,
    test: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Test examples; default: a tenth, at most 10,000.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; default: one for each core.")
    ] = None,
    data_dir: DataDirOption = "",
    size: SizeOption = "",
    resize: ResizeOption = "",
    labels: LabelsOption = "",
    skip_broken: SkipOption = False,
    max_gib: MostOption = None,
    settings: DataSetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Convert data of any size once, into a folder from which training and inference read.

    A small part of the data is in memory at a time; tables are read whole.
    """
    from lowerbound.runs import packing

    of_files = {"size": size, "resize": resize, "labels": labels, "skip_broken": skip_broken, "max_gib": max_gib}
    given = given_settings(settings, data, data_dir=data_dir, **of_files)
    with StageDisplay(quiet) as display:
        packed = packing.pack(
            data,
            out,
            for_run=for_run,
            settings=given,
            validation=validation,
            test=test,
            workers=workers,
            report=display.show,
        )
    if as_json:
        print_json(packing.summary(packed))
    else:
        print_packed(packing.summary(packed))

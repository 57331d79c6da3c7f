"""The command that writes portable models."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowerbound.commands import console
from lowerbound.commands.options import SHARE, DataDirOption, JsonOption, OwnDataOption, RunArgument, app, print_json

if TYPE_CHECKING:
    from lowerbound.serving.portable.export import Exported
    from lowerbound.serving.portable.parity import Parity
    from lowerbound.serving.portable.parts import Port


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound export runs/conv --format onnx")
def export(
    run_path: RunArgument,
    form: Annotated[str, typer.Option("--format", metavar="onnx|torch", help="File format.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Output directory; a folder in RUN if not given.")
    ] = None,
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    as_json: JsonOption = False,
) -> None:
    """Export encoder, decoder and their composition for other programs, verified against the model."""
    from lowerbound.serving.portable.export import export as export_run

    exported = export_run(run_path, form, out, data_dir, data)
    for note in exported.notes:
        console.err.print(note, markup=False)
    if as_json:
        print_json(_as_json(exported))
        return
    rows = [
        ("" if index else file.path.name, port.direction, port.name, _shape(port), port.about)
        for file in exported.files
        for index, port in enumerate(file.ports)
    ]
    console.print_table(("file", "", "name", "float32", "description"), rows)
    console.out.print(f"largest deviation from the model, on {exported.compared}:", markup=False)
    for file in exported.files:
        console.out.print(f"  {file.path.name}: {_in_words(file.parity)}", markup=False)
    console.print_written(exported.files[0].path.parent)


def _shape(port: "Port") -> str:
    return " × ".join(["batch", *map(str, port.event_shape)])


def _in_words(parity: "Parity") -> str:
    rounding = f", where PyTorch's own rounding is {parity.rounding:.1e}" if parity.deviation > 1e-5 else ""
    return f"{parity.deviation:.1e} in {parity.output}{rounding}"


def _as_json(exported: "Exported") -> dict[str, object]:
    return {
        "compared": exported.compared,
        "files": [
            {
                "path": str(file.path),
                **asdict(file.parity),
                "ports": [
                    {"direction": port.direction, "name": port.name, "shape": ["batch", *port.event_shape]}
                    for port in file.ports
                ],
            }
            for file in exported.files
        ],
    }

"""The commands compress and decompress, of the panel "Use a trained model"."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowerbound.commands import console
from lowerbound.commands.inference import InputsArgument
from lowerbound.commands.options import USE, DataDirOption, JsonOption, RunArgument, app, print_json
from lowerbound.commands.progress import StageDisplay
from lowerbound.foundation.text import pluralise

if TYPE_CHECKING:
    from lowerbound.compression.codec import Compressed

NEW_FILE = typer.Option("--out", metavar="FILE", help="A new file.")


@app.command(rich_help_panel=USE, epilog="Example: lowerbound compress runs/codec images/ --out images.lb")
def compress(
    run_path: RunArgument,
    inputs: InputsArgument = None,
    out: Annotated[Path | None, NEW_FILE] = None,
    lanes: Annotated[int, typer.Option(help="Examples coded together: more is faster, and takes more bits.")] = 4,
    block: Annotated[int, typer.Option(help="Examples that can be read, or be damaged, without the others.")] = 10_000,
    embed_model: Annotated[
        bool, typer.Option("--embed-model", help="Write the model into the file, which then needs no run.")
    ] = False,
    labels: Annotated[bool, typer.Option("--labels", help="Keep the labels of the examples, too.")] = False,
    against: Annotated[
        bool, typer.Option("--compare", help="Also measure what xz, brotli and PNG take; slow for large data.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw where the bits of the first images go, by pixel.")
    ] = None,
    data_dir: DataDirOption = "",
    as_json: JsonOption = False,
) -> None:
    """Compress images, arrays or tables without loss: into about as many bits as the bound says."""
    from lowerbound.compression.codec import compress, decompress
    from lowerbound.compression.other_compressors import sizes_by_others
    from lowerbound.compression.restored_files import content_of

    with StageDisplay() as display:
        found = compress(
            run_path,
            inputs or None,
            out or "",
            lanes=lanes,
            block=block,
            embed_model=embed_model,
            labels=labels,
            picture=picture or "",
            data_dir=data_dir,
            progress=lambda done, total: display.show("compressing", done, total),
        )
    others = sizes_by_others(content_of(decompress(found.path, run_path))) if against else {}
    if as_json:
        print_json({**asdict(found), "path": str(found.path), **_derived(found), "others": others})
        return
    for line in described(found, others):
        console.out.print(line, markup=False)
    if picture:
        console.out.print(str(picture), markup=False)
    console.print_written(found.path, notes=found.notes)


def _derived(found: "Compressed") -> dict[str, Any]:
    return {"bits_per_dimension": found.bits_per_dimension, "overhead": found.overhead}


def described(found: "Compressed", others: dict[str, int]) -> list[str]:
    """What a file takes, in lines."""
    per_example = 8 * found.num_bytes / found.num_examples
    direct = f"{pluralise(found.num_direct, 'example')} coded directly" if found.num_direct else "none coded directly"
    lines = [
        f"{pluralise(found.num_examples, 'example')}: {found.num_bytes:,} bytes, {found.bits_per_dimension:.4f} bits "
        f"per dimension, {per_example:,.1f} bits per example",
        f"-ELBO: {found.negative_elbo / found.num_examples:,.1f} bits per example; beyond it {found.overhead:+.3%}: "
        f"header {found.header_bytes:,} bytes, {direct}, {pluralise(found.num_exceptions, 'exception')}",
    ]
    if found.text_bytes or found.missing_bits:
        lines.append(
            f"which cells are missing: {math.ceil(found.missing_bits / 8):,} bytes; columns that the model does not "
            f"know, and cells written in an unusual way: {found.text_bytes:,} bytes"
        )
    for name, size in others.items():
        lines.append(f"{name}: {size:,} bytes, {size / found.num_bytes:.2f} times as many")
    return lines


@app.command(rich_help_panel=USE, epilog="Example: lowerbound decompress images.lb --run runs/codec --out images")
def decompress(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `lowerbound compress` wrote.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER|FILE", help="A new folder for images, or a .npy, .npz or .csv file."),
    ] = None,
    run_path: Annotated[
        Path | None, typer.Option("--run", metavar="RUN", help="The run, unless the file contains its model.")
    ] = None,
    example: Annotated[int | None, typer.Option(metavar="N", help="Read only this example, numbered from 0.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Write what is intact of a damaged file, and name what is lost.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read a compressed file: images as PNG files, arrays as .npy, tables as .csv, exactly as they were."""
    from lowerbound.compression.codec import decompress
    from lowerbound.compression.restored_files import check_is_new, write_restored
    from lowerbound.foundation.errors import UsageError

    if out is None:
        raise UsageError(
            "the output is missing: a new folder for images, a .npy file for arrays, or a .csv for a table.", hint="out"
        )
    check_is_new(out)
    with StageDisplay() as display:
        found = decompress(
            file,
            run_path or "",
            example=example,
            skip_broken=skip_broken,
            progress=lambda done, total: display.show("decompressing", done, total),
        )
    path = write_restored(found, out)
    if as_json:
        print_json({"path": str(path), "num_examples": len(found.values), "lost": list(found.lost)})
        return
    for reason in found.lost:
        console.err.print(f"lost: {reason}.", markup=False)
    console.print_written(path)

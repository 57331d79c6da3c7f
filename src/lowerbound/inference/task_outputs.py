"""Outputs of tasks: pictures of images, folders of images, and rows of files, with their default places in a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lowerbound.data.column_writers import Columns, csv_form, write_columns
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.storage import check_is_no_dangling_link, folder_atomically, write_bytes
from lowerbound.reporting.tiles import as_png, compose, displayable, fit_tiles

TILE_SIZE, GAP = 64, 2  # pixels


def in_run(run: RunPath, name: str) -> Path:
    """The default output; UsageError for a model file, which has no directory for it."""
    place = path_of(run)
    if place.is_file():
        raise UsageError(f"{place} is a model file, without a directory for results; name the output.", hint="out")
    return place / name


def write_rows(path: Path, values: np.ndarray | Columns, schema: Schema) -> Path:
    """Examples in stored units: a table's columns by their names, written as in its CSV, all others in one."""
    if isinstance(values, Mapping):
        write_columns(path, values, csv_form(schema))
    else:
        write_columns(path, {"x": values.reshape(len(values), -1)})
    return path


def save_each(folder: Path, images: Float[np.ndarray, "n height width channel"]) -> Path:
    """Every image as a PNG of its own size, numbered."""
    check_is_no_dangling_link(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; choose another folder.", hint="folder")
    digits = len(str(len(images) - 1))
    with folder_atomically(folder) as temporary:
        for index, tile in enumerate(displayable(images)):
            (temporary / f"{index:0{digits}d}.png").write_bytes(as_png(tile))
    return folder


def save_grid(
    path: Path,
    images: Float[np.ndarray, "n height width channel"],
    columns: int,
    captions: Sequence[Sequence[str]] = (),
) -> Path:
    """Images as one picture, with a caption below each column."""
    tiles = displayable(images)
    # Small images are enlarged, so that 8 x 8 digits and captions are legible; large ones are not resized.
    tiles = fit_tiles(tiles, max(TILE_SIZE, tiles.shape[2]), max(TILE_SIZE, tiles.shape[1]))
    picture = compose(tiles, columns, gap=GAP)
    if captions:
        from lowerbound.reporting.captions import with_captions  # it imports matplotlib

        picture = with_captions(picture, captions, tiles.shape[2] + GAP)
    write_bytes(path, as_png(picture))
    return path

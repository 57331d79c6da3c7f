"""Writing what was decompressed: an array as .npy or .npz, images as PNG files of their names, a table as .csv."""

import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lowerbound.compression.codec import Decompressed
from lowerbound.compression.image_names import written_names
from lowerbound.data.column_writers import CsvForm, write_columns
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.storage import check_is_no_dangling_link, folder_atomically, write_bytes

FILES = (".npy", ".npz", ".csv")
LABELS = "labels.csv"
"""The file of labels in a folder of images."""

CHANNELS = {np.dtype(np.uint8): (1, 2, 3, 4), np.dtype(np.uint16): (1,)}
"""Numbers of channels that a PNG can have, by the type of its pixels."""


def check_is_new(out: Path) -> None:
    """UsageError for an output that exists, but for an empty folder."""
    check_is_no_dangling_link(out)
    if out.exists() and not (out.is_dir() and out.suffix not in FILES and not any(out.iterdir())):
        raise UsageError(f"{out} exists already; choose another name, or remove it.", hint="out")


def write_restored(found: Decompressed, out: Path) -> Path:
    """Write examples to a new .npy or .npz file, images to a new folder, a table to a new .csv.

    UsageError if it exists or does not fit them.
    """
    check_is_new(out)
    check_fits(found, out)
    if out.suffix == ".csv":
        write_columns(
            out, {name: np.array(cells, object) for name, cells in found.columns.items()}, CsvForm(found.separator)
        )
    elif out.suffix == ".npz":
        arrays: dict[str, Any] = {"x": found.values, **({"labels": np.array(found.labels)} if found.labels else {})}
        _write_arrays(out, lambda buffer: np.savez_compressed(buffer, **arrays))
    elif out.suffix == ".npy":
        _write_arrays(out, lambda buffer: np.save(buffer, found.values, allow_pickle=False))
    else:
        _write_folder(found, out)
    return out


def check_fits(found: Decompressed, out: Path) -> None:
    """UsageError for examples of another kind than the output's."""
    if bool(found.columns) != (out.suffix == ".csv"):
        came = "the rows of a table, which are" if found.columns else "no table, which alone is"
        raise UsageError(f"{out} does not fit: the file contains {came} written to a .csv file.", hint="out")
    if found.labels and out.suffix == ".npy":
        raise UsageError(f"{out} cannot contain the labels of the examples; write to a .npz file.", hint="out")


def content_of(found: Decompressed) -> np.ndarray | bytes:
    """What other compressors are given of the same examples: their array, or a table's .csv."""
    if not found.columns:
        return found.values
    with tempfile.TemporaryDirectory() as folder:
        return write_restored(found, Path(folder) / "table.csv").read_bytes()


def _write_arrays(out: Path, save: Callable[[BytesIO], None]) -> None:
    buffer = BytesIO()
    save(buffer)
    write_bytes(out, buffer.getvalue())


def _write_folder(found: Decompressed, out: Path) -> None:
    images = _as_images(found.values)
    names = written_names(found.names) or _numbers(len(images))
    with folder_atomically(out) as temporary:
        for name, image in zip(names, images, strict=True):
            place = temporary / name
            place.parent.mkdir(parents=True, exist_ok=True)
            image.save(place, "PNG")
        if found.labels:
            write_columns(temporary / LABELS, {"file": np.array(names), "label": np.array(found.labels)})


def _as_images(values: np.ndarray) -> list[Image.Image]:
    """Images of values; UsageError for those that PNG cannot contain."""
    shaped = values[..., None] if values.ndim == 3 else values
    if shaped.ndim != 4 or shaped.shape[-1] not in CHANNELS.get(shaped.dtype, ()):
        raise UsageError(
            f"the examples are {values.dtype} of shape {'×'.join(map(str, values.shape[1:]))}, which a PNG cannot "
            "contain; write them as an array, to a .npy file.",
            hint="out",
        )
    return [Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in shaped]


def _numbers(count: int) -> list[str]:
    digits = len(str(max(0, count - 1)))
    return [f"{index:0{digits}d}.png" for index in range(count)]

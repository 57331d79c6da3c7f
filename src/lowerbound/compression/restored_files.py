"""Writing what was decompressed: an array as .npy, images as PNG files of the names that they had."""

import re
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from PIL import Image

from lowerbound.compression.codec import Decompressed
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.foundation.storage import check_is_no_dangling_link, folder_atomically, write_bytes

ARRAY = ".npy"
CHANNELS = {np.dtype(np.uint8): (1, 2, 3, 4), np.dtype(np.uint16): (1,)}
"""Numbers of channels that a PNG can have, by the type of its pixels."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_is_new(out: Path) -> None:
    """UsageError for an output that exists, but for an empty folder."""
    check_is_no_dangling_link(out)
    if out.exists() and not (out.is_dir() and out.suffix != ARRAY and not any(out.iterdir())):
        raise UsageError(f"{out} exists already; choose another name, or remove it.", hint="out")


def write_restored(found: Decompressed, out: Path) -> Path:
    """Write examples to a new .npy file, or images to a new folder; UsageError if it exists or does not fit them."""
    check_is_new(out)
    if out.suffix == ARRAY:
        buffer = BytesIO()
        np.save(buffer, found.values, allow_pickle=False)
        write_bytes(out, buffer.getvalue())
        return out
    images = _as_images(found.values)
    names = [_safe(name) for name in found.names] or _numbers(len(images))
    if len(set(names)) < len(names):
        raise DataError("the file gives several images the same name; write them as an array, to a .npy file.")
    with folder_atomically(out) as temporary:
        for name, image in zip(names, images, strict=True):
            place = temporary / name
            place.parent.mkdir(parents=True, exist_ok=True)
            image.save(place, "PNG")
    return out


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


def _safe(name: str) -> str:
    """A relative name of a PNG; DataError for one that leads out of its folder."""
    path = PurePosixPath(name)
    parts = PureWindowsPath(name).parts
    if path.is_absolute() or not parts or ".." in parts or PureWindowsPath(name).drive or CONTROL.search(name):
        raise DataError(
            f"the file names an image {name[:60]!r}, which is not a name within a folder; nothing is written."
        )
    return name if path.suffix.lower() == ".png" else f"{name}.png"


def _numbers(count: int) -> list[str]:
    digits = len(str(max(0, count - 1)))
    return [f"{index:0{digits}d}.png" for index in range(count)]

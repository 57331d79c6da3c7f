"""PIL images in memory to one array, by the same rules as image files.

    8-bit grey, bitmaps, palettes, RGB   uint8, white is 255; grey images among colour images become RGB
    transparency                         blended with white
    more bits, one channel               unchanged numbers: uint16 (white is 65535), int32, float32
    EXIF orientation                     applied

All images must have one size. For a trained model they are resized and converted like image files (`fitted`).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageOps

from lowerbound.data.images import ImageOptions, image_options, resized_note
from lowerbound.data.pixels import resized, resized_numbers
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import MAX_BYTES, format_bytes, refuse
from lowerbound.foundation.schema import Schema

ORIENTATION = 0x0112  # EXIF's tag
GREY = ("1", "L", "LA", "La")
WHITE = {"uint8": 255.0, "uint16": 65535.0}


def from_images(place: str, images: Iterable[Any]) -> RawArray:
    """Images as height x width x channel; DataError for the first that differs in size or depth."""
    pixels: list[Shaped[np.ndarray, "height width channel"]] = []
    notes: Counter[str] = Counter()
    for index, image in enumerate(images):
        if not isinstance(image, Image.Image):
            refuse(place, f"contains a {type(image).__name__} as example {index} among images; pass only images")
        part = _pixels(image, notes)
        _check_alike(place, index, pixels[0] if pixels else part, part)
        _check_size(place, (index + 1) * part.nbytes)
        pixels.append(part)
    num_channels = max(part.shape[2] for part in pixels)
    values = np.stack([np.broadcast_to(part, (*part.shape[:2], num_channels)) for part in pixels])
    return RawArray(
        place=place,
        values=values,
        is_from_images=True,
        white=WHITE.get(values.dtype.name, 0.0),
        notes=tuple(f"{count:,} of {len(values):,} {note}" for note, count in sorted(notes.items())),
    )


def _pixels(image: Image.Image, notes: Counter[str]) -> Shaped[np.ndarray, "height width channel"]:
    if image.getexif().get(ORIENTATION, 1) > 1:
        notes["rotated upright"] += 1
    upright: Image.Image = ImageOps.exif_transpose(image)
    if upright.mode == "F" or upright.mode.startswith("I"):
        pixels = np.asarray(upright)
        return np.atleast_3d(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))
    mode = "L" if upright.mode in GREY else "RGB"
    if upright.has_transparency_data:
        notes["blended with white where transparent"] += 1
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.atleast_3d(np.asarray(upright.convert(mode)))


def fitted(raw: RawArray, schema: Schema) -> RawArray:
    """Images in the size and channels of a run's, as image files are read for it; image files are so already."""
    if raw.values.ndim != 4 or raw.values.shape[1:] == schema.shape:
        return raw
    options = image_options(schema)
    total, height, width, num_channels = raw.values.shape
    assert options.size is not None
    pixels = [_fitted(image, options.size, options) for image in raw.values]
    shape = (*options.size[::-1], max(pixels[0].shape[2], 3 if options.num_channels == 3 else 1))
    notes = list(raw.notes)
    if (width, height) != options.size:
        notes.append(resized_note(total, total, options.size, options.resize, has_white=raw.white > 0))
    if num_channels == 3 and shape[2] == 1:
        notes.append(f"{total:,} of {total:,} converted to grey")
    return replace(
        raw,
        values=np.stack([np.broadcast_to(image, shape) for image in pixels]),
        notes=tuple(notes),
        resized_to=options.size,
    )


def _fitted(
    image: Shaped[np.ndarray, "height width channel"], size: tuple[int, int], options: ImageOptions
) -> Shaped[np.ndarray, "new_height new_width new_channel"]:
    plane = image[..., 0] if image.shape[2] == 1 else image
    if image.dtype != np.uint8:
        return resized_numbers(plane, size, options.resize)[..., np.newaxis]
    converted = Image.fromarray(plane).convert("L" if options.num_channels == 1 else "RGB")
    return np.atleast_3d(np.asarray(resized(converted, size, options.resize)))


def _check_alike(place: str, index: int, first: Shaped[np.ndarray, "..."], part: Shaped[np.ndarray, "..."]) -> None:
    if part.shape[:2] != first.shape[:2]:
        (height, width), (other_height, other_width) = first.shape[:2], part.shape[:2]
        refuse(
            place,
            f"contains images of several sizes: example 0 is {width}×{height}, example {index} {other_width}×"
            f"{other_height}; resize them to one size: image.resize(({width}, {height}))",
        )
    if part.dtype != first.dtype:
        refuse(
            place,
            f"contains images of several depths: example 0 is {first.dtype}, example {index} {part.dtype}; convert "
            "them to one mode",
        )


def _check_size(place: str, num_bytes: int) -> None:
    if num_bytes > MAX_BYTES:
        refuse(place, f"decodes to more than {format_bytes(MAX_BYTES)}; use fewer or smaller images")

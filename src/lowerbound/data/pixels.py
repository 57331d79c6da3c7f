"""Decoding of one image file (PNG, JPEG, WebP, TIFF, BMP, GIF): header checks, bit depth, orientation, resizing.

    8-bit grey, palettes, RGB     uint8, white is 255
    transparency                  blended with white
    more than 8 bits, one channel the stored numbers: uint16 (white is 65535, or 4095 in 12-bit TIFFs), and without a
                                  white level int8, int16, int32, uint32, float32
    more than 8 bits in colour    refused: Pillow reads only 8 bits
    EXIF orientation              applied
    several frames                the first frame

Resizing uses Lanczos; numbers stay within the range of the image, and integers stay integers.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import PurePosixPath
from threading import Lock
from typing import Literal, NoReturn

import numpy as np
from jaxtyping import Num, Shaped
from PIL import Image, ImageOps, UnidentifiedImageError

from lowerbound.data.reading import PIXEL_BYTES, STANDARD_LIMIT, Limit, reading, refuse, too_large
from lowerbound.data.split_names import Split
from lowerbound.data.tiff import check_tiff

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif")
AN_IMAGE = "a PNG, JPEG, WebP, TIFF, BMP or GIF image"
RAW_SUFFIXES = (".arw", ".cr2", ".dng", ".erf", ".nef", ".nrw", ".orf", ".pef", ".raw", ".rw2", ".srw", ".3fr")
"""Raw files of cameras: TIFFs by content, of which Pillow would read only the thumbnail."""
START = 32  # bytes used to detect a format
PNG = b"\x89PNG\r\n\x1a\n"
MAGIC = (PNG, b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF87a", b"GIF89a")
ORIENTATION = 0x0112  # EXIF's tag
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF's tags

Resize = Literal["crop", "fit"]


@dataclass(frozen=True)
class ImageFile:
    """One image file, in a folder, an archive or a data set."""

    name: PurePosixPath  # below the folder or in the archive
    shown_as: str  # in messages
    open: Callable[[], BufferedIOBase]
    label: str | None = None
    split: Split = "train"


@dataclass(frozen=True)
class Depth:
    """How pixels are stored."""

    mode: Literal["L", "RGB", "number"]
    dtype: str = "uint8"
    white: int = 255  # the white level; 0 if there is none

    def __str__(self) -> str:
        return f"{self.dtype} up to {self.white}" if self.white else self.dtype


@dataclass(frozen=True)
class Header:
    """Properties of an image that are known before its pixels are decoded."""

    size: tuple[int, int]  # width, height, upright
    depth: Depth
    notes: frozenset[str]


CONVERTED = ("CMYK", "LAB", "HSV")
"""Colour spaces other than those of screens, whose conversion loses some colours."""


def is_image_name(name: str) -> bool:
    """Whether a file has an image's suffix."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_image_content(name: str, start: bytes) -> bool:
    """Whether a file with these first bytes is an image, whatever its suffix."""
    if name.lower().endswith(RAW_SUFFIXES):
        return False
    is_bmp = start[:2] == b"BM" and start[6:10] == bytes(4) and 12 <= int.from_bytes(start[14:18], "little") <= 124
    return start.startswith(MAGIC) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP") or is_bmp


def read_header(entry: ImageFile, limit: Limit = STANDARD_LIMIT) -> Header:
    """Size and depth of an image; DataError if it cannot be read without loss, or is too large."""
    with _opened(entry, limit) as (image, start):
        width, height = image.size
        depth = _depth(entry, image, start)
        orientation = image.getexif().get(ORIENTATION, 1)
        # Pillow reports the size of TIFFs after rotation.
        if orientation >= 5 and image.format != "TIFF":
            width, height = height, width
        notes = {
            "rotated upright": orientation > 1,
            "blended with white where transparent": image.has_transparency_data and depth.mode != "number",
            f"converted from {image.mode} to colour": image.mode in CONVERTED,
            "with several frames, of which the first is read": getattr(image, "is_animated", False),
        }
        return Header((width, height), depth, frozenset(note for note, applies in notes.items() if applies))


def decode_pixels(
    entry: ImageFile, depth: Depth, size: tuple[int, int], resize: Resize, limit: Limit = STANDARD_LIMIT
) -> Shaped[np.ndarray, "height width channel"]:
    """The pixels of an image, upright and resized."""
    with _opened(entry, limit) as (opened, _):
        is_inverted = depth.mode == "number" and depth.white and _is_white_zero(opened)
        image: Image.Image = ImageOps.exif_transpose(opened)
        if depth.mode == "number" and len(image.getbands()) > 1:
            refuse(entry.shown_as, "has changed while it was read: it is now in colour; read it again")
        if depth.mode == "number":
            numbers = _numbers(image, depth)
            pixels = resized_numbers(depth.white - numbers if is_inverted else numbers, size, resize)
        else:
            pixels = np.asarray(resized(_coloured(image, depth.mode), size, resize))
        return np.atleast_3d(pixels)


def _depth(entry: ImageFile, image: Image.Image, start: bytes) -> Depth:
    bits, num_channels, sample_format = _bits(image, start)
    if bits > 8 and num_channels > 1:
        refuse(
            entry.shown_as,
            f"has {bits} bits per channel, of which only 8 could be read; save such images as one .npy array "
            "(N×H×W×C), or convert them to 8 bits per channel",
        )
    if image.mode == "F":
        return Depth("number", "float32", 0)
    if image.mode.startswith("I;16"):
        return Depth("number", "uint16", 2**bits - 1)
    if image.mode == "I" or (image.mode == "L" and sample_format == 2):
        return Depth("number", f"{'int' if sample_format == 2 else 'uint'}{bits}", 0)
    return Depth("L" if image.mode in ("1", "L", "LA", "La") else "RGB")


def _bits(image: Image.Image, start: bytes) -> tuple[int, int, int]:
    """Bits per channel, number of channels, and TIFF sample format: 1 unsigned, 2 signed, 3 float."""
    if start.startswith(PNG):
        # From IHDR, which Pillow does not expose: bit depth and colour type, 0 for grey and 3 for a palette.
        return start[24], 1 if start[25] in (0, 3) else 3, 1
    if image.format != "TIFF":
        return 8, len(image.getbands()), 1
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = np.atleast_1d(tags.get(BITS, 1))
    return int(bits.max()), len(bits), int(np.atleast_1d(tags.get(SAMPLE_FORMAT, 1))[0])


def _is_white_zero(image: Image.Image) -> bool:
    # Pillow itself inverts 8-bit images.
    return image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0  # type: ignore[attr-defined]


def _numbers(image: Image.Image, depth: Depth) -> Num[np.ndarray, "height width"]:
    pixels = np.asarray(image)
    # Pillow stores signed 16 bits in 32, and supports neither unsigned 32 bits nor signed 8 bits.
    if pixels.dtype.itemsize == np.dtype(depth.dtype).itemsize:
        pixels = pixels.astype(pixels.dtype.newbyteorder("=")).view(depth.dtype)
    return pixels.astype(depth.dtype)


def resized_numbers(
    numbers: Num[np.ndarray, "height width"], size: tuple[int, int], resize: Resize
) -> Num[np.ndarray, "new_height new_width"]:
    """Numbers as an image of width × height `size`, within their own range."""
    if numbers.shape == size[::-1]:
        return numbers
    pixels = np.asarray(resized(Image.fromarray(numbers.astype(np.float32)), size, resize), np.float64)
    # Lanczos overshoots at edges: 12 bits must not become 13. "fit" pads with zeros.
    bounds = (numbers.min(), numbers.max(), *([0] if resize == "fit" else []))
    pixels = pixels.clip(min(bounds), max(bounds))
    return (np.rint(pixels) if numbers.dtype.kind in "iu" else pixels).astype(numbers.dtype)


def _coloured(image: Image.Image, mode: str) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert(mode)
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert(mode)


def resized(image: Image.Image, size: tuple[int, int], resize: Resize) -> Image.Image:
    """An image of width × height `size`."""
    if image.size == size:
        return image
    fitted = ImageOps.fit if resize == "crop" else ImageOps.pad
    return fitted(image, size, method=Image.Resampling.LANCZOS)


@contextmanager
def _opened(entry: ImageFile, limit: Limit) -> Iterator[tuple[Image.Image, bytes]]:
    """An image and the first bytes of its file; TooLarge, before decoding, if it has too many pixels."""
    with reading(entry.shown_as, AN_IMAGE), entry.open() as file, _PIXELS.at_most(limit.max_pixels):
        start = file.read(START)
        check_tiff(entry.shown_as, file, start)
        file.seek(0)
        with _header(entry.shown_as, file, limit) as image:
            yield image, start


def _header(place: str, file: BufferedIOBase, limit: Limit) -> Image.Image:
    try:
        # Pillow reads from any binary file, but is annotated with IO[bytes].
        return Image.open(file, formats=FORMATS)  # type: ignore[arg-type]
    except UnidentifiedImageError:  # its text names the file object, not the file
        refuse(place, f"is not {AN_IMAGE}, or it is damaged")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        number = re.search(r"\((\d+) pixels\)", str(error))
        _too_many(place, int(number[1]) if number else limit.max_pixels + 1, limit)


def _too_many(place: str, num_pixels: int, limit: Limit) -> NoReturn:
    remedy = limit.remedy(PIXEL_BYTES * num_pixels, "make it smaller")
    too_large(place, f"has {num_pixels:,} pixels, but the limit is {limit.max_pixels:,} in all; {remedy}")


class _PixelLimits:
    """Pillow's limit on pixels, also of embedded images: the least of those that threads are reading under."""

    def __init__(self) -> None:
        self.lock, self.limits, self.standard = Lock(), list[int](), Image.MAX_IMAGE_PIXELS

    @contextmanager
    def at_most(self, num_pixels: int) -> Iterator[None]:
        """Within this context Pillow refuses images with more pixels."""
        with self.lock:
            if not self.limits:
                self.standard = Image.MAX_IMAGE_PIXELS
            self.limits.append(num_pixels)
            Image.MAX_IMAGE_PIXELS = min(self.limits)
        try:
            yield
        finally:
            with self.lock:
                self.limits.remove(num_pixels)
                Image.MAX_IMAGE_PIXELS = min(self.limits) if self.limits else self.standard


_PIXELS = _PixelLimits()

"""Many image files to one array: common size, common depth, resizing, skipping broken files.

Images that share one size keep it. Otherwise they are resized: "crop" covers the size and crops, "fit" fits within it
and pads with black. Grey stays one channel unless other images are in colour. Single files are decoded in pixels.py.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from math import prod
from pathlib import Path, PurePosixPath
from statistics import median
from typing import TypeVar

import numpy as np

from lowerbound.data.examples import RawArray
from lowerbound.data.pixels import AN_IMAGE as AN_IMAGE  # re-exported, like the next ones
from lowerbound.data.pixels import FORMATS as FORMATS
from lowerbound.data.pixels import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from lowerbound.data.pixels import (
    START,
    Depth,
    Header,
    ImageFile,
    decode_pixels,
    is_image_content,
    is_image_name,
    read_header,
)
from lowerbound.data.pixels import Resize as Resize
from lowerbound.data.reading import STANDARD_LIMIT, Limit, open_regular_file, printable, reading, refuse
from lowerbound.data.split_names import SPLITS, split_note
from lowerbound.foundation.errors import DataError

LARGEST_SIDE = 256  # pixels of images that are not resized
CHOSEN_SIDE = 64  # the longer side, if images have several sizes or are larger than that

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Options for reading image files."""

    size: tuple[int, int] | None = None  # width, height to resize to; None keeps a common size
    resize: Resize = "crop"
    num_channels: int = 0  # 1 converts to grey, 3 to colour; 0 keeps what the images have in common
    skip_broken: bool = False
    limit: Limit = STANDARD_LIMIT


def is_image_file(path: Path) -> bool:
    """Whether a file is an image, by its suffix or its content; DataError if it cannot be read."""
    if is_image_name(path.name):
        return True
    with reading(path, AN_IMAGE):
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return is_image_content(path.name, file.read(START))


def read_image_files(paths: Sequence[Path], options: ImageOptions) -> RawArray:
    """Image files in the order given, without labels."""
    return read_entries(paths[0].parent, [_file(path) for path in paths], options)


def read_image_bytes(name: str, content: bytes, options: ImageOptions) -> RawArray:
    """One image file in memory, called `name` in messages."""
    return read_entries(Path(name), [ImageFile(PurePosixPath(name), name, partial(BytesIO, content))], options)


def _file(path: Path) -> ImageFile:
    return ImageFile(PurePosixPath(path.as_posix()), printable(path), partial(open_regular_file, path))


def read_entries(source: Path, entries: Sequence[ImageFile], options: ImageOptions) -> RawArray:
    """Images in the order of their splits; `ids` are the names of those that could be read."""
    # With a single file, skipping it would leave nothing.
    attempt = _Attempt(options.skip_broken, can_choose=len(entries) > 1)
    seen = partial(read_header, limit=options.limit)
    ordered = sorted(entries, key=lambda entry: SPLITS.index(entry.split))
    headers = [(entry, header) for entry in ordered if (header := attempt(entry, seen)) is not None]
    attempt.need_some(source, headers)
    depth = _common_depth(source, headers, options.num_channels)
    size = options.size or _common_size([header.size for _, header in headers])
    shape = (size[1], size[0], 3 if depth.mode == "RGB" or options.num_channels == 3 else 1)
    num_bytes = len(headers) * prod(shape) * np.dtype(depth.dtype).itemsize
    options.limit.check(source, num_bytes, "decodes to", "choose a smaller data.size")
    values = np.empty((len(headers), *shape), depth.dtype)
    read: list[tuple[ImageFile, Header]] = []
    for entry, header in headers:
        pixels = attempt(entry, lambda entry: decode_pixels(entry, depth, size, options.resize, options.limit))
        if pixels is not None:
            values[len(read)] = pixels
            read.append((entry, header))
    attempt.need_some(source, read)
    raw = RawArray(
        place=printable(source),
        values=values[: len(read)],
        is_from_images=True,
        white=float(depth.white),
        skipped=tuple(attempt.skipped),
        notes=_notes([header for _, header in read], size, depth, options),
        resized_to=size if any(header.size != size for _, header in read) else None,
    )
    return _with_names(raw, [entry for entry, _ in read])


def _with_names(raw: RawArray, entries: Sequence[ImageFile]) -> RawArray:
    """Names, labels and splits of the images that were read."""
    labels = [entry.label for entry in entries]
    sizes = Counter(entry.split for entry in entries)
    notes = raw.notes if sizes["train"] == len(entries) else (split_note(sizes), *raw.notes)
    return replace(
        raw,
        ids=tuple(printable(str(entry.name)) for entry in entries),
        labels=labels if any(label is not None for label in labels) else None,
        num_validation=sizes["validation"],
        num_test=sizes["test"],
        notes=notes,
    )


class _Attempt:
    """Reads files in turn; a broken file is an error or, with skip_broken, recorded and skipped."""

    def __init__(self, skip_broken: bool, can_choose: bool) -> None:
        self.skip_broken = skip_broken
        self.hint = " Fix or remove it, or skip broken files with data.skip_broken." if can_choose else ""
        self.skipped: list[str] = []

    def __call__(self, entry: ImageFile, read: Callable[[ImageFile], Found]) -> Found | None:
        try:
            return read(entry)
        except DataError as error:
            if not self.skip_broken:
                raise type(error)(f"{error}{self.hint}") from error
            self.skipped.append(str(error))
            return None

    def need_some(self, source: Path, found: Sequence[object]) -> None:
        """DataError if nothing is left."""
        if not found:
            raise DataError(
                f"none of the images in {printable(source)} can be read; the first reason: {self.skipped[0]}"
            )


def _common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The images' common size if networks can take it, else a small size with the median aspect ratio."""
    first = sizes[0]
    if all(size == first for size in sizes) and max(first) <= LARGEST_SIDE:
        return first
    aspect = median(width / height for width, height in sizes)
    longest = min(CHOSEN_SIDE, max(max(size) for size in sizes))
    width, height = (longest, longest / aspect) if aspect >= 1 else (longest * aspect, longest)
    return max(1, round(width)), max(1, round(height))


def _common_depth(source: Path, headers: Sequence[tuple[ImageFile, Header]], num_channels: int) -> Depth:
    firsts: dict[tuple[str, int], ImageFile] = {}  # the first image of each type of number
    for entry, header in headers:
        firsts.setdefault((header.depth.dtype, header.depth.white), entry)
    if len(firsts) > 1:
        came = ", ".join(f"{Depth('number', *key)} in {printable(str(entry.name))}" for key, entry in firsts.items())
        refuse(source, f"contains images of different types ({came}); convert them to one")
    depths = {header.depth for _, header in headers}
    first = headers[0][1].depth
    if first.mode == "number":
        return first
    if num_channels:
        return Depth("L" if num_channels == 1 else "RGB")
    return first if len(depths) == 1 else Depth("RGB")


def _notes(headers: Sequence[Header], size: tuple[int, int], depth: Depth, options: ImageOptions) -> tuple[str, ...]:
    counts = Counter(note for header in headers for note in header.notes)
    notes = [f"{count:,} of {len(headers):,} {note}" for note, count in sorted(counts.items())]
    resized = sum(header.size != size for header in headers)
    if resized:
        padded = f"padded with {'black' if depth.white else 'zeros'}"
        how = "cropped" if options.resize == "crop" else padded
        notes.append(f"{resized:,} of {len(headers):,} resized to {size[0]}×{size[1]} pixels, {how}")
    is_grey = depth.mode == "L"
    if coloured := sum(is_grey and header.depth.mode == "RGB" for header in headers):
        notes.append(f"{coloured:,} of {len(headers):,} converted to grey")
    return tuple(notes)

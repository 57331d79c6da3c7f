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
from typing import NoReturn, TypeVar

import numpy as np
from jaxtyping import Int64, Shaped

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
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import OF_ANY_SIZE, STANDARD_LIMIT, Limit, open_regular_file, printable, reading, refuse
from lowerbound.data.split_names import SPLITS, split_note
from lowerbound.data.threads import in_order
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.text import pluralise

LARGEST_SIDE = 256  # pixels of images that are not resized
CHOSEN_SIDE = 64  # the longer side, if images have several sizes or are larger than that

HEADERS = 256  # read at a time by a thread

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Options for reading image files."""

    size: tuple[int, int] | None = None  # width, height to resize to; None keeps a common size
    resize: Resize = "crop"
    num_channels: int = 0  # 1 converts to grey, 3 to colour; 0 keeps what the images have in common
    skip_broken: bool = False
    partly_labelled: bool = False  # images may lack a row in labels.csv, or lie beside the folders of classes
    limit: Limit = STANDARD_LIMIT


def image_options(schema: Schema) -> ImageOptions:
    """How image files are read for a run: resized and converted to the size and channels of its examples."""
    height, width, num_channels = schema.shape
    return ImageOptions(size=(width, height), num_channels=num_channels, resize=schema.resize)


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
    place = paths[0] if len(paths) == 1 else Path(pluralise(len(paths), "image file"))
    return read_entries(place, [_file(path) for path in paths], options)


def read_image_bytes(name: str, content: bytes, options: ImageOptions) -> RawArray:
    """One image file in memory, called `name` in messages."""
    return read_entries(Path(name), [ImageFile(PurePosixPath(name), name, partial(BytesIO, content))], options)


def _file(path: Path) -> ImageFile:
    return ImageFile(PurePosixPath(path.as_posix()), printable(path), partial(open_regular_file, path))


def read_entries(source: Path, entries: Sequence[ImageFile], options: ImageOptions) -> RawArray:
    """Images in the order of their splits; `ids` are the names of those that could be read."""
    plan = plan_images(source, entries, options)
    num_bytes = len(plan.headers) * prod(plan.shape) * np.dtype(plan.depth.dtype).itemsize
    instead = f"choose a smaller data.size, or {OF_ANY_SIZE}"
    options.limit.check(source, num_bytes, "decodes to", instead)
    values = np.empty((len(plan.headers), *plan.shape), plan.depth.dtype)
    found, skipped = plan.decode(np.arange(len(plan.headers)), values, options.skip_broken)
    if not len(found):
        _refuse_all(source, skipped[0])
    raw = plan.about(found)
    labels = [plan.headers[number][0].label for number in found]
    return replace(
        raw,
        values=values[: len(found)],
        ids=plan.ids(found),
        labels=labels if any(label is not None for label in labels) else None,
        skipped=(*raw.skipped, *skipped),
    )


@dataclass(frozen=True, eq=False)
class ImagePlan:
    """Image files whose headers were read, in the order of their splits, and what their pixels are converted to."""

    source: Path
    headers: list[tuple[ImageFile, Header]]
    depth: Depth
    size: tuple[int, int]
    options: ImageOptions
    can_choose: bool  # among several files; a single broken one is never skipped
    skipped: tuple[str, ...]  # files whose header could not be read

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.size[1], self.size[0], 3 if self.depth.mode == "RGB" or self.options.num_channels == 3 else 1

    def decode(
        self, numbers: Int64[np.ndarray, " image"], into: Shaped[np.ndarray, "image height width channel"], skip: bool
    ) -> tuple[Int64[np.ndarray, " decoded"], list[str]]:
        """Decode these images to the first places of an array; the numbers of those that could be read, and why others
        could not.
        """
        attempt, found = _Attempt(skip, self.can_choose), list[int]()
        for number in numbers.tolist():
            entry, _ = self.headers[number]
            pixels = attempt(entry, self._pixels)
            if pixels is not None:
                into[len(found)] = pixels
                found.append(number)
        return np.array(found, np.int64), attempt.skipped

    def _pixels(self, entry: ImageFile) -> Shaped[np.ndarray, "height width channel"]:
        return decode_pixels(entry, self.depth, self.size, self.options.resize, self.options.limit)

    def ids(self, numbers: Int64[np.ndarray, " image"]) -> tuple[str, ...]:
        """Names of images."""
        return tuple(printable(str(self.headers[number][0].name)) for number in numbers)

    def about(self, read: Int64[np.ndarray, " image"]) -> RawArray:
        """What is known of those images that could be read, without their pixels, names and labels."""
        chosen = [self.headers[number] for number in read]
        sizes = Counter(entry.split for entry, _ in chosen)
        notes = _notes([header for _, header in chosen], self.size, self.depth, self.options)
        return RawArray(
            place=printable(self.source),
            values=np.empty((0, *self.shape), self.depth.dtype),
            is_from_images=True,
            white=float(self.depth.white),
            skipped=self.skipped,
            notes=notes if sizes["train"] == len(chosen) else (split_note(sizes), *notes),
            resized_to=self.size if any(header.size != self.size for _, header in chosen) else None,
            num_validation=sizes["validation"],
            num_test=sizes["test"],
        )


def plan_images(source: Path, entries: Sequence[ImageFile], options: ImageOptions, workers: int = 1) -> ImagePlan:
    """Read the headers of all images; DataError for one that cannot be read, unless it is skipped."""
    # With a single file, skipping it would leave nothing.
    can_choose = len(entries) > 1
    ordered = sorted(entries, key=lambda entry: SPLITS.index(entry.split))

    def headers_of(some: Sequence[ImageFile]) -> tuple[list[tuple[ImageFile, Header]], list[str]]:
        attempt, seen = _Attempt(options.skip_broken, can_choose), partial(read_header, limit=options.limit)
        return [(entry, header) for entry in some if (header := attempt(entry, seen)) is not None], attempt.skipped

    some = (ordered[first : first + HEADERS] for first in range(0, len(ordered), HEADERS))
    read = list(in_order(headers_of, some, workers))
    headers = [pair for found, _ in read for pair in found]
    skipped = tuple(reason for _, reasons in read for reason in reasons)
    if not headers:
        _refuse_all(source, skipped[0])
    depth = _common_depth(source, headers, options.num_channels)
    size = options.size or _common_size([header.size for _, header in headers])
    return ImagePlan(source, headers, depth, size, options, can_choose, skipped)


def _refuse_all(source: Path, reason: str) -> NoReturn:
    raise DataError(f"none of the images in {printable(source)} can be read; the first reason: {reason}")


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


def _common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size of most images if networks can take it, else a small size with the median aspect ratio."""
    usual, number = Counter(sizes).most_common(1)[0]
    if 2 * number > len(sizes) and max(usual) <= LARGEST_SIDE:
        return usual
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
        notes.append(resized_note(resized, len(headers), size, options.resize, has_white=depth.white > 0))
    is_grey = depth.mode == "L"
    if coloured := sum(is_grey and header.depth.mode == "RGB" for header in headers):
        notes.append(f"{coloured:,} of {len(headers):,} converted to grey")
    return tuple(notes)


def resized_note(count: int, total: int, size: tuple[int, int], resize: Resize, *, has_white: bool) -> str:
    """The note on images that were resized; black is 0 where there is white."""
    how = "cropped" if resize == "crop" else f"padded with {'black' if has_white else 'zeros'}"
    return f"{count:,} of {total:,} resized to {size[0]}×{size[1]} pixels, {how}"

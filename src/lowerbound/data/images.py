"""Image files to one array: folders and zip archives of PNG, JPEG, WebP, TIFF and BMP.

    8-bit grey, palettes, RGB     0..255; grey stays one channel unless others are in colour
    transparency                  laid on white
    16-bit grey                   held as floats in [0, 1]
    EXIF orientation              applied
    several frames                the first

Images of one size are taken as they are. Others are brought to a size: "crop" covers it and cuts what sticks out at
both sides, "fit" lies within it on black. An archive is read in memory; nothing is ever extracted.
"""

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedIOBase, BytesIO
from math import prod
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Literal, NoReturn, TypeVar

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageOps

from lowerbound.data.examples import RawArray
from lowerbound.data.reading import MAX_BYTES, gib, reading, refuse, shown
from lowerbound.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
AN_IMAGE = "a PNG, JPEG, WebP, TIFF or BMP image"
MAX_FILE_BYTES = 2**30
MAX_MEMBERS = 1_000_000
ORIENTATION = 0x0112  # EXIF's tag
LARGEST_SIDE = 256  # pixels that are taken as they are
CHOSEN_SIDE = 64  # the longer one, where images are of several sizes or larger than that

Found = TypeVar("Found")

Resize = Literal["crop", "fit"]


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What to do with image files."""

    size: tuple[int, int] | None = None  # width, height to bring all to; None takes images of one size as they are
    resize: Resize = "crop"
    num_channels: int = 0  # 1 makes colour grey, 3 the other way round; 0 takes what the images share
    skip_broken: bool = False


@dataclass(frozen=True)
class Entry:
    """One image file, in a folder or an archive."""

    name: PurePosixPath  # below the folder or in the archive
    shown_as: str  # in messages
    open: Callable[[], BufferedIOBase]


@dataclass(frozen=True)
class _Header:
    size: tuple[int, int]  # width, height, upright
    mode: str  # L, RGB, or I;16 for 16-bit grey
    notes: frozenset[str]


def read_folder(folder: Path, options: ImageOptions) -> RawArray:
    """The images below `folder`, in the order of their paths.

    Labels are the names of its subfolders, where there are at least two and every image lies directly in one.
    Hidden files and other kinds of file are passed over.
    """
    with reading(folder, "a folder of images"):
        names = [Path(base, name) for base, _, files in os.walk(folder, onerror=_fail) for name in files]
        paths = sorted(path for path in names if is_image(PurePosixPath(path.relative_to(folder).as_posix())))
    entries = [
        Entry(PurePosixPath(path.relative_to(folder).as_posix()), shown(path), partial(_opened_file, path))
        for path in paths
    ]
    return _collected(folder, entries, options)


def read_zip(path: Path, options: ImageOptions) -> RawArray:
    """The images in a zip archive, in the order of their names; labels as in a folder."""
    with reading(path, "a zip archive of images"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            refuse(path, f"holds {len(members):,} files, accepted are {MAX_MEMBERS:,}")
        chosen = [member for member in members if not member.is_dir() and is_image(PurePosixPath(member.filename))]
        entries = [
            Entry(
                PurePosixPath(member.filename),
                f"{shown(path)}:{shown(member.filename)}",
                partial(_member, path, archive, member),
            )
            for member in sorted(chosen, key=lambda member: member.filename)
        ]
        return _collected(path, entries, options)


def read_image_files(paths: Sequence[Path], options: ImageOptions) -> RawArray:
    """Image files in the order given, without labels."""
    return read_entries(paths[0].parent, [_file(path) for path in paths], options)


def read_image_bytes(name: str, content: bytes, options: ImageOptions) -> RawArray:
    """One image file that is in memory; messages call it by `name`."""
    return read_entries(Path(name), [Entry(PurePosixPath(name), name, partial(BytesIO, content))], options)


def is_image(name: PurePosixPath) -> bool:
    """Whether a file below a folder is one of its images, as its name tells."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts if part not in (".", ".."))
    return name.suffix.lower() in IMAGE_SUFFIXES and not hidden


def _file(path: Path) -> Entry:
    return Entry(PurePosixPath(path.as_posix()), shown(path), partial(_opened_file, path))


def _opened_file(path: Path) -> BufferedIOBase:
    return path.open("rb")


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BufferedIOBase:
    if member.flag_bits & 1:
        refuse(path, "is encrypted; unpack it first")
    if member.file_size > MAX_FILE_BYTES:
        refuse(path, f"claims {gib(member.file_size)} for {member.filename!r}, accepted are {gib(MAX_FILE_BYTES)}")
    with archive.open(member) as file:
        # One byte more than is claimed: zipfile then checks the checksum, and stops at what was claimed.
        return BytesIO(file.read(member.file_size + 1))


def _fail(error: OSError) -> NoReturn:
    # os.walk passes over folders that it cannot read, unless told otherwise.
    raise error


def _collected(source: Path, entries: list[Entry], options: ImageOptions) -> RawArray:
    if not entries:
        refuse(source, f"holds no {', '.join(IMAGE_SUFFIXES)} files; give a folder or zip of images")
    raw = read_entries(source, entries, options)
    return replace(raw, labels=_folder_labels([PurePosixPath(name) for name in raw.ids]))


def read_entries(source: Path, entries: list[Entry], options: ImageOptions) -> RawArray:
    """Images one after the other, without labels; `ids` are the names of those that could be read."""
    # Where there is one file alone, passing over it leaves nothing.
    attempt = _Attempt(options.skip_broken, can_choose=len(entries) > 1)
    headers = [(entry, header) for entry in entries if (header := attempt(entry, _header)) is not None]
    attempt.need_some(source, headers)
    mode = _common_mode([header for _, header in headers], options.num_channels)
    size = options.size or _common_size([header.size for _, header in headers])
    shape = (size[1], size[0], 3 if mode == "RGB" else 1)
    dtype = np.dtype(np.uint16 if mode == "I;16" else np.uint8)
    if (num_bytes := len(headers) * prod(shape) * dtype.itemsize) > MAX_BYTES:
        refuse(source, f"decodes to {gib(num_bytes)}, accepted are {gib(MAX_BYTES)}; take a smaller --size")
    values = np.empty((len(headers), *shape), dtype)
    decoded: list[tuple[Entry, _Header]] = []
    for entry, header in headers:
        pixels = attempt(entry, lambda entry: _decode(entry, mode, size, options.resize))
        if pixels is not None:
            values[len(decoded)] = pixels
            decoded.append((entry, header))
    attempt.need_some(source, decoded)
    return RawArray(
        place=shown(source),
        values=values[: len(decoded)],
        is_from_images=True,
        white=float(np.iinfo(dtype).max),
        ids=tuple(shown(str(entry.name)) for entry, _ in decoded),
        skipped=tuple(attempt.skipped),
        notes=_notes([header for _, header in decoded], size, options),
        resized_to=size if any(header.size != size for _, header in decoded) else None,
    )


class _Attempt:
    """Reads files one after the other; a broken one ends it or, where that was chosen, is noted and passed over."""

    def __init__(self, skip_broken: bool, can_choose: bool) -> None:
        self.skip_broken = skip_broken
        self.hint = " Mend or remove it, or pass over broken files with --skip-broken." if can_choose else ""
        self.skipped: list[str] = []

    def __call__(self, entry: Entry, read: Callable[[Entry], Found]) -> Found | None:
        try:
            return read(entry)
        except DataError as error:
            if not self.skip_broken:
                raise DataError(f"{error}{self.hint}") from error
            self.skipped.append(str(error))
            return None

    def need_some(self, source: Path, found: Sequence[object]) -> None:
        """DataError where nothing is left."""
        if not found:
            raise DataError(f"none of the images in {shown(source)} can be read; the first: {self.skipped[0]}")


def _header(entry: Entry) -> _Header:
    with _opened(entry) as image:
        width, height = image.size
        notes = set()
        if image.getexif().get(ORIENTATION, 1) > 1:
            notes.add("turned upright")
            if image.getexif()[ORIENTATION] >= 5:
                width, height = height, width
        if image.has_transparency_data:
            notes.add("laid on white where transparent")
        if getattr(image, "n_frames", 1) > 1:
            notes.add("taken by their first frame")
        if image.mode == "F":
            refuse(entry.shown_as, "holds floating-point pixels; save such images as one .npy array")
        return _Header((width, height), _mode(image), frozenset(notes))


def _mode(image: Image.Image) -> str:
    if image.mode.startswith("I"):  # 16-bit grey; some formats come as 32 bits
        return "I;16"
    return "L" if image.mode in ("1", "L", "LA", "La") else "RGB"


def _decode(
    entry: Entry, mode: str, size: tuple[int, int], resize: Resize
) -> Shaped[np.ndarray, "height width channel"]:
    with _opened(entry) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image, np.float32))
        elif image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert(mode)
        else:
            image = image.convert(mode)
        if image.size != size:
            bring = ImageOps.fit if resize == "crop" else ImageOps.pad
            image = bring(image, size, method=Image.Resampling.LANCZOS)
        pixels = np.atleast_3d(np.asarray(image))
        # Lanczos overshoots at edges, which 8-bit pixels clip by themselves.
        return np.rint(pixels.clip(0, 65535)) if mode == "I;16" else pixels


@contextmanager
def _opened(entry: Entry) -> Iterator[Image.Image]:
    with reading(entry.shown_as, AN_IMAGE), entry.open() as file, _image_in(file) as image:
        yield image


def _image_in(file: BufferedIOBase) -> Image.Image:
    # Pillow reads from any binary file, and says IO[bytes] for it.
    return Image.open(file, formats=FORMATS)  # type: ignore[arg-type]


def _common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The images' own size where they share one that networks can take, else one of their middle shape."""
    first = sizes[0]
    if all(size == first for size in sizes) and max(first) <= LARGEST_SIDE:
        return first
    aspect = median(width / height for width, height in sizes)
    longest = min(CHOSEN_SIDE, max(max(size) for size in sizes))
    width, height = (longest, longest / aspect) if aspect >= 1 else (longest * aspect, longest)
    return max(1, round(width)), max(1, round(height))


def _common_mode(headers: Sequence[_Header], num_channels: int) -> str:
    modes = {header.mode for header in headers}
    if "I;16" in modes and len(modes) > 1:
        raise DataError("some images have 16 bits a pixel and others 8 a channel; convert them to one depth.")
    if "I;16" in modes:
        return "I;16"
    if num_channels:
        return "L" if num_channels == 1 else "RGB"
    return modes.pop() if len(modes) == 1 else "RGB"


def _notes(headers: Sequence[_Header], size: tuple[int, int], options: ImageOptions) -> tuple[str, ...]:
    counts = Counter(note for header in headers for note in header.notes)
    notes = [f"{count:,} of {len(headers):,} {note}" for note, count in sorted(counts.items())]
    resized = sum(header.size != size for header in headers)
    if resized:
        how = "cut to shape" if options.resize == "crop" else "laid on black"
        notes.append(f"{resized:,} of {len(headers):,} resized to {size[0]} wide and {size[1]} high, {how}")
    return tuple(notes)


def _folder_labels(names: Sequence[PurePosixPath]) -> list[str | None] | None:
    parents = [name.parts[:-1] for name in names]
    # A single folder around all is how an archive was packed, not a class.
    while parents and all(parents) and len({parent[0] for parent in parents}) == 1:
        parents = [parent[1:] for parent in parents]
    if len(set(parents)) < 2 or any(len(parent) != 1 for parent in parents):
        return None
    return [name for (name,) in parents]

"""Bytes on disk to images: IDX, .npy, .npz, and folders of PNG or JPEG.

Images are N x H x W x C; an N x H x W array has one channel. What the values mean follows from their type:

    bool                  0 or 1
    integers              0..255; where none exceeds 1, they are 0 or 1 like bool
    floats                finite, in [0, 1]
    8-bit PNG, JPEG       0..255
    16-bit grey PNG       0..65535, held as floats in [0, 1]

Nothing here trusts a file. A header is compared with the bytes that are there before room is made for what
it claims, no pickle is read, and whatever a decoder raises on damage becomes a DataError of one line: which
file, what came, what is accepted.
"""

import gzip
import math
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedIOBase
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
from jaxtyping import Float32, Int64, Integer, Shaped, UInt8
from PIL import Image

from lowerbound.errors import DataError

Images = UInt8[np.ndarray, "example height width channel"] | Float32[np.ndarray, "example height width channel"]
Labels = Int64[np.ndarray, " example"]

MAX_BYTES = 8 * 2**30
"""What compressed data may expand to: a few kilobytes can claim terabytes. MNIST takes a 150th of it."""

# Two bits of deflate stand for at most 258 bytes: a member that claims more for each stored byte lies.
MAX_DEFLATE_RATIO = 1032

IMAGE_KEYS = ("images", "x", "data", "x_train")
LABEL_KEYS = ("labels", "y", "target", "y_train")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
ACCEPTED = "a .npy or .npz file of images N×H×W or N×H×W×C, or a folder of PNG or JPEG images"


@dataclass(frozen=True, eq=False)
class Examples:
    """Images and, where they are known, their labels."""

    images: Images
    max_value: float  # the value that maps to 1: 255 for 8-bit images, 16 for digits, 1 for floats
    labels: Labels | None = None
    is_redrawn: bool = False  # pixels are probabilities, from which every pass draws black and white anew

    def __len__(self) -> int:
        return len(self.images)

    @property
    def event_shape(self) -> tuple[int, int, int]:
        """Channels, height, width: the shape of one image in torch's layout."""
        _, height, width, channels = self.images.shape
        return channels, height, width

    def subset(self, indices: Integer[np.ndarray, " index"]) -> "Examples":
        """The examples at `indices`, copied, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, images=np.asarray(self.images[indices]), labels=labels)


@dataclass(frozen=True, eq=False)
class Collection:
    """All examples of one file or folder, and what their labels stand for."""

    examples: Examples
    label_names: tuple[str, ...] = ()  # empty where there are no labels


def read_images(path: Path) -> Collection:
    """The examples in a .npy or .npz file or in a folder of images; DataError if it is anything else."""
    with reading(path, ACCEPTED):
        is_folder, is_file = path.is_dir(), path.is_file()
    if is_folder:
        return read_folder(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None or not is_file:
        refuse(path, f"is not accepted; give {ACCEPTED}")
    return reader(path)


def read_idx(path: Path, num_axes: int) -> UInt8[np.ndarray, "..."]:
    """The unsigned bytes of an IDX file, plain or gzipped (as its content tells, not its name).

    The format: two zero bytes, a type code (8 for unsigned bytes), the number of axes, a big-endian 32-bit
    size for each, then the values, last axis fastest.
    """
    with reading(path, f"an IDX file of unsigned bytes with {num_axes} axes"), _open_idx(path) as file:
        shape = _idx_shape(path, file.read(4 + 4 * num_axes), num_axes)
        size = math.prod(shape)
        # One byte more than is due: gzip checks its checksum at the end, and a longer file is noticed.
        content = _read_up_to(file, size + 1)
    if len(content) != size:
        follow = f"only {len(content):,} follow" if len(content) < size else "more follow"
        refuse(path, f"claims {_times(shape)} = {size:,} bytes, but {follow}; it is damaged")
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_npy(path: Path) -> Collection:
    """Images from a .npy array. The file is mapped, not read: only what is taken from it is held."""
    with reading(path, "a .npy array"):
        with path.open("rb") as file:
            _check_npy(path, file, path.stat().st_size)
        array = np.lib.format.open_memmap(path, mode="r")
    return Collection(_as_examples(path, np.asarray(array)))


def read_npz(path: Path) -> Collection:
    """Images, and labels if there are any, from an .npz archive.

    Images are the only array, or stand under one of IMAGE_KEYS; labels stand under one of LABEL_KEYS. Other
    arrays in the file are ignored.
    """
    with reading(path, "an .npz archive of arrays"), zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        images = _read_member(path, archive, members[_image_key(path, list(members))])
        label_keys = [key for key in LABEL_KEYS if key in members and len(members) > 1]
        labels = _read_member(path, archive, members[label_keys[0]]) if label_keys else None
    examples = _as_examples(path, images)
    return Collection(examples) if labels is None else _with_labels(path, examples, labels)


def read_folder(folder: Path) -> Collection:
    """The PNG and JPEG images below `folder`, in the order of their paths.

    Labels are the names of its subfolders, where there are at least two and every image lies directly in one.
    Grey stays one channel, palettes become RGB, transparency is dropped, grey and colour together become RGB.
    Hidden files and other kinds of file are passed over; an EXIF orientation is not applied.
    """
    paths = _image_paths(folder)
    examples = read_image_files(paths)
    labels, names = _folder_labels(folder, paths)
    return Collection(replace(examples, labels=labels), names)


def read_image_files(paths: Sequence[Path]) -> Examples:
    """PNG and JPEG images of one size, in the order given, without labels."""
    headers = [_image_header(path) for path in paths]
    _check_sizes(paths, headers)
    mode = _common_mode(paths, headers)
    width, height = headers[0].size
    shape = (len(paths), height, width, 3 if mode == "RGB" else 1)
    dtype = np.dtype(np.float32 if mode == "I;16" else np.uint8)
    if (size := math.prod(shape) * dtype.itemsize) > MAX_BYTES:
        refuse(paths[0].parent, f"decodes to {_gib(size)}, accepted are {_gib(MAX_BYTES)}; save it as a .npy file")
    with reading(paths[0].parent, ACCEPTED):
        images = np.empty(shape, dtype)
        for image, path in zip(images, paths, strict=True):
            image[...] = _decode(path, mode)
    return Examples(images, 1.0 if mode == "I;16" else 255.0)


@contextmanager
def reading(path: Path, accepted: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a DataError that names the file and what is accepted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except DataError:
        raise
    # Damage makes decoders raise nearly anything: struct.error, zlib.error, SyntaxError, MemoryError.
    except Exception as error:
        # Only what concerns the file itself carries its name: a wrong offset within a file is an OSError, too.
        if isinstance(error, OSError) and error.filename is not None:
            raise DataError(f"{shown(path)} cannot be read: {error.strerror}.") from error
        reason = shown(" ".join(str(error).split())[:200].rstrip(".") or type(error).__name__)
        raise DataError(f"{shown(path)} is not {accepted}, or it is damaged ({reason}).") from error


def refuse(path: Path, sentence: str) -> NoReturn:
    """Raise the DataError "`path` `sentence`."."""
    raise DataError(f"{shown(path)} {sentence}.")


def shown(name: Path | str) -> str:
    """A file's name as one line of UTF-8: names may hold line ends, escapes and broken characters."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def _open_idx(path: Path) -> BufferedIOBase:
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if gzipped else path.open("rb")


def _idx_shape(path: Path, header: bytes, num_axes: int) -> tuple[int, ...]:
    magic = bytes([0, 0, 8, num_axes])
    if header[:4] != magic:
        came = header[:4].hex(" ") or "nothing"
        refuse(path, f"begins with {came}, an IDX file of {num_axes} axes with {magic.hex(' ')}")
    if len(header) < 4 + 4 * num_axes:
        refuse(path, "ends within its IDX header; it is damaged")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    if 0 in shape:
        refuse(path, f"is empty: its shape is {_times(shape)}")
    if math.prod(shape) > MAX_BYTES:
        refuse(path, f"claims {_times(shape)} bytes, accepted are {_gib(MAX_BYTES)}; it is damaged")
    return shape


def _read_up_to(file: BufferedIOBase, limit: int) -> bytearray:
    # By chunks: read(limit) would make room for all that the header claims.
    content = bytearray()
    while len(content) < limit and (chunk := file.read(min(limit - len(content), 2**20))):
        content += chunk
    return content


def _check_npy(path: Path, file: IO[bytes] | BufferedIOBase, size: int) -> None:
    """Refuse an array file of `size` bytes whose header claims anything else, before room is made for it."""
    # Later versions are for headers over 64 KiB or with Unicode field names: structured types, never images.
    if (version := np.lib.format.read_magic(file)) != (1, 0):
        refuse(path, f"has .npy version {version[0]}.{version[1]}, accepted is 1.0; write it with numpy.save")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        refuse(path, "holds pickled Python objects, which are never read; save a numeric array")
    if min(shape, default=1) < 1:
        refuse(path, f"is empty: its shape is {_times(shape)}")
    claimed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if claimed != there:
        refuse(path, f"claims {_times(shape)} values = {claimed:,} bytes, but {there:,} follow")


def _image_key(path: Path, keys: Sequence[str]) -> str:
    found = list(keys) if len(keys) == 1 else [key for key in IMAGE_KEYS if key in keys]
    if len(found) != 1:
        came = ", ".join(map(repr, keys[:8])) or "no arrays"
        refuse(path, f"holds {came}; accepted are one array, or images under one of {', '.join(IMAGE_KEYS)}")
    return found[0]


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Shaped[np.ndarray, "..."]:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        refuse(path, "is compressed in an unusual way; write it with numpy.savez or numpy.savez_compressed")
    possible = MAX_DEFLATE_RATIO * min(member.compress_size, path.stat().st_size)
    if member.file_size > min(possible, MAX_BYTES):
        accepted = f"{possible:,} bytes are possible and {_gib(MAX_BYTES)} accepted"
        refuse(path, f"claims {member.file_size:,} bytes for {member.filename!r}, where {accepted}")
    with archive.open(member) as file:
        _check_npy(path, file, member.file_size)
    with archive.open(member) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _as_examples(path: Path, array: Shaped[np.ndarray, "..."]) -> Examples:
    """Examples without labels from an array as it came, read as the module's docstring says."""
    array = _with_channel_axis(path, array)
    if array.dtype.kind == "b":
        return Examples(array.astype(np.uint8), 1.0)
    if array.dtype.kind not in "iuf":
        refuse(path, f"holds values of type {array.dtype}; accepted are bool, integers 0..255, floats in [0, 1]")
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        _check_unit_interval(path, float(low), float(high))
        return Examples(array.astype(np.float32, copy=False), 1.0)
    if low < 0 or high > 255:
        refuse(path, f"holds integers from {low} to {high}; accepted are 0..255, or floats in [0, 1]")
    return Examples(array.astype(np.uint8, copy=False), 1.0 if high <= 1 else 255.0)


def _with_channel_axis(
    path: Path, array: Shaped[np.ndarray, "..."]
) -> Shaped[np.ndarray, "example height width channel"]:
    shape = array.shape
    if array.ndim == 3:
        return array[..., np.newaxis]
    if array.ndim == 2:
        refuse(path, f"holds a table of {_times(shape)}; give images N×H×W or N×H×W×C")
    if array.ndim != 4:
        refuse(path, f"holds an array of {array.ndim} axes; give images N×H×W or N×H×W×C")
    if shape[1] in (1, 3) and shape[3] > 4:
        refuse(path, f"holds {_times(shape)}, it seems N×C×H×W; give N×H×W×C: array.transpose(0, 2, 3, 1)")
    return array


def _check_unit_interval(path: Path, low: float, high: float) -> None:
    # NaN anywhere makes both the minimum and the maximum NaN.
    if not (math.isfinite(low) and math.isfinite(high)):
        refuse(path, "holds NaN or infinity; accepted are floats in [0, 1]")
    if low < 0 or high > 1:
        remedy = "divide by the maximum" if low >= 0 else "shift and scale them"
        refuse(path, f"holds floats from {low} to {high}; accepted are those in [0, 1]: {remedy}")


def _with_labels(path: Path, examples: Examples, labels: Shaped[np.ndarray, "..."]) -> Collection:
    if labels.dtype.kind not in "iu" or labels.shape != (len(examples),):
        came = f"labels of type {labels.dtype} and shape {_times(labels.shape)}"
        refuse(path, f"holds {came}; accepted are {len(examples):,} integers, one for each image")
    values, positions = np.unique(labels, return_inverse=True)
    labelled = Examples(examples.images, examples.max_value, positions.astype(np.int64))
    return Collection(labelled, tuple(str(value) for value in values))


@dataclass(frozen=True)
class _ImageHeader:
    size: tuple[int, int]  # width, height
    mode: str  # L, RGB, or I;16 for 16-bit grey


def _image_paths(folder: Path) -> list[Path]:
    with reading(folder, ACCEPTED):
        names = [Path(base, name) for base, _, files in os.walk(folder, onerror=_fail) for name in files]
        paths = [path for path in names if _is_image(path.relative_to(folder))]
    if not paths:
        refuse(folder, f"holds no {', '.join(IMAGE_SUFFIXES)} files; give {ACCEPTED}")
    return sorted(paths)


def _fail(error: OSError) -> NoReturn:
    # os.walk passes over folders that it cannot read, unless told otherwise.
    raise error


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(part.startswith(".") for part in path.parts)


def _image_header(path: Path) -> _ImageHeader:
    with _opened(path) as image:
        if image.mode in ("1", "L", "LA"):
            return _ImageHeader(image.size, "L")
        # Older Pillow opens 16-bit grey as "I".
        return _ImageHeader(image.size, "I;16" if image.mode.startswith("I") else "RGB")


def _decode(path: Path, mode: str) -> Shaped[np.ndarray, "height width channel"]:
    with _opened(path) as image:
        if mode == "I;16":
            return np.asarray(image, np.float32)[..., np.newaxis] / np.float32(65535)
        return np.atleast_3d(np.asarray(image.convert(mode)))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with reading(path, "a PNG or JPEG image"), Image.open(path, formats=("PNG", "JPEG")) as image:
        yield image


def _check_sizes(paths: Sequence[Path], headers: Sequence[_ImageHeader]) -> None:
    first = headers[0].size
    for path, header in zip(paths, headers, strict=True):
        if header.size != first:
            both = f"is {_in_words(header.size)}, but {shown(paths[0])} is {_in_words(first)}"
            refuse(path, f"{both}; resize the images to one size first")


def _common_mode(paths: Sequence[Path], headers: Sequence[_ImageHeader]) -> str:
    modes = {header.mode for header in headers}
    if "I;16" in modes and len(modes) > 1:
        deep = next(path for path, header in zip(paths, headers, strict=True) if header.mode == "I;16")
        refuse(deep, "has 16 bits a pixel, where other images have 8 a channel; convert them to one depth")
    return modes.pop() if len(modes) == 1 else "RGB"


def _folder_labels(folder: Path, paths: Sequence[Path]) -> tuple[Labels | None, tuple[str, ...]]:
    parents = [path.relative_to(folder).parts[:-1] for path in paths]
    names = sorted(set(parents))
    # A single subfolder is how an archive was packed, not a class.
    if len(names) < 2 or any(len(parent) != 1 for parent in names):
        return None, ()
    positions = {name: position for position, name in enumerate(names)}
    labels = np.array([positions[parent] for parent in parents], np.int64)
    return labels, tuple(shown(name) for (name,) in names)


def _in_words(size: tuple[int, int]) -> str:
    return f"{size[0]} pixels wide and {size[1]} high"


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"


READERS = {".npy": read_npy, ".npz": read_npz}

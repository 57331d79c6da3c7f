"""Array files: IDX, .npy, .npz and .safetensors.

What an array holds follows from its axes and its values:

    N×H×W, N×H×W×C with C up to 4     images, where the values are those of images: bool, 0..255, or floats in [0, 1]
    any other shape, any other value  arrays: N×D, or N with any axes behind it

    bool, or only 0 and 1             binary
    8-bit integers                    0..255
    other integers from 0 upwards     counts
    floats                            as they are; in a table of N×D NaN is a missing cell, elsewhere it is refused
"""

import gzip
import json
import math
import struct
import zipfile
from collections.abc import Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped, UInt8

from lowerbound.data.examples import Collection, Examples
from lowerbound.data.reading import MAX_BYTES, gib, read_up_to, reading, refuse, times
from lowerbound.values import Column

# Two bits of deflate stand for at most 258 bytes: a member that claims more for each stored byte lies.
MAX_DEFLATE_RATIO = 1032

MAX_CHANNELS = 4
DATA_KEYS = ("images", "x", "data", "x_train")
LABEL_KEYS = ("labels", "y", "target", "y_train")
EXACT_IN_FLOAT32 = 2**24

SAFETENSORS_TYPES = {
    "BOOL": "?", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "I8": "i1", "I16": "<i2", "I32": "<i4",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def read_idx(path: Path, num_axes: int) -> UInt8[np.ndarray, "..."]:
    """The unsigned bytes of an IDX file, plain or gzipped (as its content tells, not its name).

    The format: two zero bytes, a type code (8 for unsigned bytes), the number of axes, a big-endian 32-bit
    size for each, then the values, last axis fastest.
    """
    with reading(path, f"an IDX file of unsigned bytes with {num_axes} axes"), _open_idx(path) as file:
        shape = _idx_shape(path, file.read(4 + 4 * num_axes), num_axes)
        size = math.prod(shape)
        # One byte more than is due: gzip checks its checksum at the end, and a longer file is noticed.
        content = read_up_to(file, size + 1)
    if len(content) != size:
        follow = f"only {len(content):,} follow" if len(content) < size else "more follow"
        refuse(path, f"claims {times(shape)} = {size:,} bytes, but {follow}; it is damaged")
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_idx_images(path: Path) -> Collection:
    """The images of an IDX file of three axes."""
    return Collection(as_examples(path, read_idx(path, 3)))


def read_npy(path: Path) -> Collection:
    """A .npy array. The file is mapped, not read: only what is taken from it is held."""
    with reading(path, "a .npy array"):
        with path.open("rb") as file:
            _check_npy(path, file, path.stat().st_size)
        array = np.lib.format.open_memmap(path, mode="r")
    return Collection(as_examples(path, np.asarray(array)))


def read_npz(path: Path) -> Collection:
    """Data, and labels if there are any, from an .npz archive.

    Data are the only array, or stand under one of DATA_KEYS; labels stand under one of LABEL_KEYS. Other
    arrays in the file are ignored.
    """
    with reading(path, "an .npz archive of arrays"), zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        data = _read_member(path, archive, members[_data_key(path, list(members))])
        label_key = _label_key(list(members))
        labels = _read_member(path, archive, members[label_key]) if label_key else None
    return with_labels(path, as_examples(path, data), labels)


def read_safetensors(path: Path) -> Collection:
    """Data and labels from a .safetensors file, under the names that an .npz has them under.

    Source of the format: https://huggingface.co/docs/safetensors: eight bytes with the header's length, the header as
    JSON, the tensors.
    """
    with reading(path, "a .safetensors file"):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size - 8:
                refuse(path, f"claims a header of {length:,} bytes, more than the file has")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        data = _safetensor(path, header, _data_key(path, list(header)), 8 + length)
        label_key = _label_key(list(header))
        labels = _safetensor(path, header, label_key, 8 + length) if label_key else None
    return with_labels(path, as_examples(path, data), labels)


def as_examples(path: Path, array: Shaped[np.ndarray, "..."]) -> Examples:
    """Examples without labels from an array as it came, read as the module's docstring says."""
    if array.ndim == 0 or len(array) == 0:
        refuse(path, f"holds {'a single number' if array.ndim == 0 else 'no examples'}; give N of them, along axis 0")
    if array.dtype.kind not in "biuf":
        refuse(path, f"holds values of type {array.dtype}; accepted are bool, integers and floats")
    if array.ndim == 1:
        array = array[:, np.newaxis]
    _check_channels_last(path, array)
    if array.dtype.kind == "b":
        return _examples(array.astype(np.uint8), 1.0, is_image=True)
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "f":
        return _of_floats(path, array, low, high)
    if low >= 0 and high <= 1:
        return _examples(array.astype(np.uint8), 1.0, is_image=True)
    is_image = array.ndim in (3, 4) and array.shape[3:] <= (MAX_CHANNELS,)
    if low >= 0 and high <= 255 and (is_image or array.dtype == np.uint8):
        return _examples(array.astype(np.uint8, copy=False), 255.0, is_image=True)
    if high > EXACT_IN_FLOAT32 or low < -EXACT_IN_FLOAT32:
        refuse(path, f"holds integers from {low:.0f} to {high:.0f}; accepted are those up to 2^24, which floats hold")
    return _examples(array.astype(np.float32), 1.0, is_image=False)


def _of_floats(path: Path, array: Shaped[np.ndarray, "example *event"], low: float, high: float) -> Examples:
    # NaN anywhere makes both the minimum and the maximum NaN.
    if math.isnan(low):
        return _with_missing_cells(path, array)
    if math.isinf(low) or math.isinf(high):
        refuse(path, "holds infinity; accepted are finite numbers")
    values = array.astype(np.float32, copy=False)
    if not np.isfinite(np.array([low, high], np.float32)).all():
        refuse(path, f"holds numbers from {low:g} to {high:g}; accepted are those that 32-bit floats hold")
    return _examples(values, 1.0, is_image=low >= 0 and high <= 1)


def _with_missing_cells(path: Path, array: Shaped[np.ndarray, "example *event"]) -> Examples:
    if array.ndim != 2:
        refuse(path, f"holds NaN in {times(array.shape)} values; missing values are accepted in tables N×D alone")
    if np.isinf(array).any():
        refuse(path, "holds infinity; accepted are finite numbers, and NaN where one is missing")
    empty = np.flatnonzero(np.isnan(array).all(axis=0))
    if len(empty):
        refuse(path, f"has no value at all in column {empty[0]}, counted from 0; leave such columns out")
    columns = tuple(Column(name=str(index), kind="numeric") for index in range(array.shape[1]))
    return Examples(array.astype(np.float32), 1.0, layout="table", columns=columns)


def _examples(values: Shaped[np.ndarray, "example *event"], max_value: float, is_image: bool) -> Examples:
    if is_image and values.ndim == 3:
        return Examples(values[..., np.newaxis], max_value)
    if is_image and values.ndim == 4 and values.shape[3] <= MAX_CHANNELS:
        return Examples(values, max_value)
    return Examples(values, max_value, layout="array")


def _check_channels_last(path: Path, array: Shaped[np.ndarray, "example *event"]) -> None:
    shape = array.shape
    if array.ndim == 4 and shape[1] in (1, 3) and shape[3] > MAX_CHANNELS:
        refuse(path, f"holds {times(shape)}, it seems N×C×H×W; give N×H×W×C: array.transpose(0, 2, 3, 1)")


def with_labels(path: Path, examples: Examples, labels: Shaped[np.ndarray, "..."] | None) -> Collection:
    """Examples with their labels, numbered in order, where there are any; DataError for labels that do not fit."""
    if labels is None:
        return Collection(examples)
    if labels.dtype.kind not in "iub" or labels.shape != (len(examples),):
        came = f"labels of type {labels.dtype} and shape {times(labels.shape)}"
        refuse(path, f"holds {came}; accepted are {len(examples):,} integers, one for each example")
    values, positions = np.unique(labels, return_inverse=True)
    labelled = Examples(
        examples.values, examples.max_value, positions.astype(np.int64), False, examples.layout, examples.columns
    )
    return Collection(labelled, tuple(str(value) for value in values))


def _data_key(path: Path, keys: Sequence[str]) -> str:
    found = list(keys) if len(keys) == 1 else [key for key in DATA_KEYS if key in keys]
    if len(found) != 1:
        came = ", ".join(map(repr, keys[:8])) or "no arrays"
        refuse(path, f"holds {came}; accepted are one array, or data under one of {', '.join(DATA_KEYS)}")
    return found[0]


def _label_key(keys: Sequence[str]) -> str:
    """The key that labels stand under; "" where there are none."""
    return next((key for key in LABEL_KEYS if key in keys and len(keys) > 1), "")


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
        refuse(path, f"is empty: its shape is {times(shape)}")
    if math.prod(shape) > MAX_BYTES:
        refuse(path, f"claims {times(shape)} bytes, accepted are {gib(MAX_BYTES)}; it is damaged")
    return shape


def _check_npy(path: Path, file: IO[bytes] | BufferedIOBase, size: int) -> None:
    """Refuse an array file of `size` bytes whose header claims anything else, before room is made for it."""
    # Later versions are for headers over 64 KiB or with Unicode field names: structured types, never images.
    if (version := np.lib.format.read_magic(file)) != (1, 0):
        refuse(path, f"has .npy version {version[0]}.{version[1]}, accepted is 1.0; write it with numpy.save")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        refuse(path, "holds pickled Python objects, which are never read; save a numeric array")
    if min(shape, default=1) < 1:
        refuse(path, f"is empty: its shape is {times(shape)}")
    claimed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if claimed != there:
        refuse(path, f"claims {times(shape)} values = {claimed:,} bytes, but {there:,} follow")


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Shaped[np.ndarray, "..."]:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        refuse(path, "is compressed in an unusual way; write it with numpy.savez or numpy.savez_compressed")
    possible = MAX_DEFLATE_RATIO * min(member.compress_size, path.stat().st_size)
    if member.file_size > min(possible, MAX_BYTES):
        accepted = f"{possible:,} bytes are possible and {gib(MAX_BYTES)} accepted"
        refuse(path, f"claims {member.file_size:,} bytes for {member.filename!r}, where {accepted}")
    with archive.open(member) as file:
        _check_npy(path, file, member.file_size)
    with archive.open(member) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _safetensor(path: Path, header: dict[str, Any], key: str, start: int) -> Shaped[np.ndarray, "..."]:
    about = header[key]
    if about["dtype"] not in SAFETENSORS_TYPES:
        refuse(path, f"holds {key!r} as {about['dtype']}; accepted are {', '.join(SAFETENSORS_TYPES)}")
    dtype, shape = np.dtype(SAFETENSORS_TYPES[about["dtype"]]), tuple(about["shape"])
    if min(shape, default=1) < 1:
        refuse(path, f"is empty: the shape of {key!r} is {times(shape)}")
    first, last = about["data_offsets"]
    size = math.prod(shape) * dtype.itemsize
    if not (0 <= first <= last <= path.stat().st_size - start and last - first == size):
        refuse(path, f"claims {times(shape)} values = {size:,} bytes for {key!r}, but has others")
    return np.asarray(np.memmap(path, dtype, "r", start + first, shape))

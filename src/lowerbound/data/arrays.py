"""Readers of array files: IDX, .npy, .npz and .safetensors to RawArray.

Layout and scale are inferred in array_schema.py. A file may contain data, data and labels, or the splits of a data set
under the names used by Keras, MedMNIST and dSprites.
"""

import gzip
import json
import math
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped, UInt8

from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import STANDARD_LIMIT, Limit, format_shape, printable, read_up_to, reading, refuse
from lowerbound.data.split_names import Split, split_note

# Two bits of deflate encode at most 258 bytes: a member that declares a higher ratio is invalid.
MAX_DEFLATE_RATIO = 1032
MAX_HEADER_BYTES = 2**24  # of a .safetensors file: a hundred thousand tensors

DATA_KEYS = ("images", "x", "data", "imgs", "x_train", "train_images")
LABEL_KEYS = ("labels", "y", "target", "y_train", "train_labels")
SPLIT_KEYS: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("train_x", "train_y"), ("train", "")),
    "validation": (
        ("x_val", "y_val"),
        ("x_valid", "y_valid"),
        ("x_validation", "y_validation"),
        ("val_images", "val_labels"),
        ("val_x", "val_y"),
        ("val", ""),
        ("valid", ""),
        ("validation", ""),
    ),
    "test": (("x_test", "y_test"), ("test_images", "test_labels"), ("test_x", "test_y"), ("test", "")),
}
"""Names of the data and labels of each split, case-insensitive, including those of Keras and MedMNIST."""

SAFETENSORS_TYPES = {
    "BOOL": "?", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "I8": "i1", "I16": "<i2", "I32": "<i4",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def read_idx(path: Path, num_axes: int, limit: Limit = STANDARD_LIMIT) -> UInt8[np.ndarray, "..."]:
    """The unsigned bytes of an IDX file, plain or gzipped (detected by content, not by name).

    The format: two zero bytes, a type code (8 for unsigned bytes), the number of axes, a big-endian 32-bit
    size for each, then the values, last axis fastest.
    """
    with reading(path, f"an IDX file of unsigned bytes with {num_axes} axes"), open_idx(path) as file:
        shape = idx_shape(path, file.read(4 + 4 * num_axes), num_axes)
        size = math.prod(shape)
        limit.check(path, size, "declares")
        # One byte more than declared: gzip checks its checksum at the end, and a longer file is detected.
        content = read_up_to(file, size + 1)
    check_idx_size(path, shape, len(content), is_longer=len(content) > size)
    return np.frombuffer(content, np.uint8).reshape(shape)


def check_idx_size(path: Path, shape: tuple[int, ...], there: int, is_longer: bool) -> None:
    """DataError if another number of bytes follows than an IDX file declares."""
    size = math.prod(shape)
    if there != size:
        follow = "more follow" if is_longer else f"only {there:,} follow"
        refuse(path, f"declares {format_shape(shape)} = {size:,} bytes, but {follow}; it is damaged")


def read_idx_images(path: Path, limit: Limit = STANDARD_LIMIT) -> RawArray:
    """The images of an IDX file of three axes."""
    return RawArray(place=printable(path), values=read_idx(path, 3, limit)[..., np.newaxis])


def read_npy(path: Path, limit: Limit = STANDARD_LIMIT) -> RawArray:
    """A .npy array. The file is memory-mapped: only the examples used are loaded."""
    with reading(path, "a .npy array"):
        with path.open("rb") as file:
            limit.check(path, npy_header(path, file, path.stat().st_size).num_bytes)
        array = np.lib.format.open_memmap(path, mode="r")
    return RawArray(place=printable(path), values=np.asarray(array))


def read_npz(path: Path, limit: Limit = STANDARD_LIMIT) -> RawArray:
    """Data, labels and splits of an .npz archive; see `_gathered`."""
    with reading(path, "an .npz archive of arrays"), zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        sizes = {key: member.file_size for key, member in members.items()}
        return _gathered(path, sizes, limit, lambda key: _read_member(path, archive, members[key]))


def read_safetensors(path: Path, limit: Limit = STANDARD_LIMIT) -> RawArray:
    """Data, labels and splits of a .safetensors file, under the same names as in an .npz.

    Source of the format: https://huggingface.co/docs/safetensors: eight bytes with the header's length, the header as
    JSON, the tensors.
    """
    with reading(path, "a .safetensors file"):
        header, start = safetensors_header(path)
        sizes = {key: about["data_offsets"][1] - about["data_offsets"][0] for key, about in header.items()}
        return _gathered(path, sizes, limit, lambda key: _safetensor(safetensor(path, header, key, start)))


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """The tensors of a .safetensors file, and where their values begin."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size - 8:
            refuse(path, f"declares a header of {length:,} bytes, more than the file has")
        if length > MAX_HEADER_BYTES:
            refuse(path, f"has a header of {length:,} bytes, but the limit is {MAX_HEADER_BYTES:,}")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length


def _gathered(path: Path, sizes: Mapping[str, int], limit: Limit, read: Callable[[str], np.ndarray]) -> RawArray:
    """The arrays of `choose_arrays`. `sizes` has the bytes of each array; TooLarge is raised before any is read if the
    arrays to read exceed the limit.
    """
    chosen = choose_arrays(path, list(sizes))
    num_bytes = sum(sizes[key] for key in chosen.keys)
    if chosen.has_splits:
        # Twice: the parts, and their concatenation.
        limit.check(path, 2 * num_bytes, "takes with its splits put together")
        parts = {name: (read(data), read(labels) if labels else None) for name, (data, labels) in chosen.parts.items()}
        return _joined(path, parts, chosen.notes)
    ((data_key, label_key),) = chosen.parts.values()
    limit.check(path, num_bytes, "unpacks to")
    values = read(data_key)
    labels = check_labels(path, read(label_key), len(values)) if label_key and values.ndim else None
    return RawArray(place=printable(path), values=values, labels=labels, notes=chosen.notes)


@dataclass(frozen=True)
class ChosenArrays:
    """The arrays of a file that are read: for each split the names of its data and labels; empty without labels."""

    parts: dict[Split, tuple[str, str]]
    has_splits: bool
    notes: tuple[str, ...]  # on arrays that are not read

    @property
    def keys(self) -> list[str]:
        """The names of all."""
        return [key for pair in self.parts.values() for key in pair if key]


def choose_arrays(path: Path, keys: Sequence[str]) -> ChosenArrays:
    """The splits that a file names; else its only array, or the one under a name of DATA_KEYS, with labels if any.

    Unused arrays are listed in the notes.
    """
    splits = _splits(keys)
    if "train" in splits and len(splits) > 1:
        return ChosenArrays(splits, True, _unused(keys, [key for pair in splits.values() for key in pair]))
    pair = _data_key(path, keys), _label_key(keys)
    return ChosenArrays({"train": pair}, False, _unused(keys, pair))


def _splits(keys: Sequence[str]) -> dict[Split, tuple[str, str]]:
    """For each split present, the names of its data and of its labels (empty where it has none)."""
    by_lower = {key.lower(): key for key in keys}
    found: dict[Split, tuple[str, str]] = {}
    for split, pairs in SPLIT_KEYS.items():
        for data, labels in pairs:
            if data in by_lower:
                found[split] = by_lower[data], by_lower.get(labels, "")
                break
    return found


def _joined(
    path: Path, parts: Mapping[Split, tuple[np.ndarray, np.ndarray | None]], notes: tuple[str, ...]
) -> RawArray:
    """Splits concatenated in the order train, validation, test."""
    arrays = {name: values for name, (values, _) in parts.items()}
    num_labelled = check_parts(
        path,
        {name: (values.dtype, values.shape[1:]) for name, values in arrays.items()},
        [name for name, (_, labels) in parts.items() if labels is None],
    )
    labels: list[str | None] | None = None
    if num_labelled:
        labels = [
            label
            for values, of_split in parts.values()
            for label in check_labels(path, np.asarray(of_split), len(values))
        ]
    sizes = {name: len(values) for name, values in arrays.items()}
    return RawArray(
        place=printable(path),
        values=np.concatenate(list(arrays.values())),
        labels=labels,
        notes=(split_note(sizes), *notes),
        num_validation=len(arrays.get("validation", ())),
        num_test=len(arrays.get("test", ())),
    )


def check_parts(
    path: Path, kinds: Mapping[Split, tuple[np.dtype[Any], tuple[int, ...]]], unlabelled: Sequence[str]
) -> int:
    """How many splits have labels: all or none; DataError, also for splits of different types or shapes."""
    if len(set(kinds.values())) > 1:
        came = "; ".join(f"{name} {dtype} {format_shape(shape)}" for name, (dtype, shape) in kinds.items())
        refuse(path, f"has splits of different types or shapes ({came}); save all splits with the same type and shape")
    if len(unlabelled) not in (0, len(kinds)):
        came = ", ".join(unlabelled)
        refuse(path, f"has no labels for its split {came}; add them, or remove those of the other splits")
    return len(kinds) - len(unlabelled)


def check_labels(path: Path | str, labels: Shaped[np.ndarray, "..."], num_examples: int) -> list[str | None]:
    """Labels as strings: integers, strings or booleans, one for each example; otherwise DataError."""
    return [str(label) for label in flat_labels(path, labels, num_examples).tolist()]


def flat_labels(
    path: Path | str, labels: Shaped[np.ndarray, "..."], num_examples: int
) -> Shaped[np.ndarray, " example"]:
    """Labels of one axis, whole numbers as integers; DataError for other types, or another number of labels."""
    flat = labels.reshape(len(labels)) if labels.ndim == 2 and labels.shape[1] == 1 else labels  # as in MedMNIST
    if flat.dtype.kind == "f" and flat.ndim == 1 and (flat == np.rint(flat)).all():
        flat = flat.astype(np.int64)
    if flat.dtype.kind not in "iubU" or flat.shape != (num_examples,):
        came = f"labels of type {labels.dtype} and shape {format_shape(labels.shape)}"
        refuse(path, f"contains {came}; accepted: {num_examples:,} integers or strings, one for each example")
    return flat


def _unused(keys: Sequence[str], used: Sequence[str]) -> tuple[str, ...]:
    others = [key for key in keys if key not in used]
    if not others:
        return ()
    more = f" and {len(others) - 8} more" if len(others) > 8 else ""
    return (f"not used: {', '.join(map(printable, others[:8]))}{more}",)


def _data_key(path: Path, keys: Sequence[str]) -> str:
    found = list(keys) if len(keys) == 1 else [key for key in keys if key.lower() in DATA_KEYS]
    if len(found) != 1:
        came = ", ".join(map(repr, keys[:8])) or "no arrays"
        refuse(path, f"contains {came}; accepted: one array, or data under one of {', '.join(DATA_KEYS)}")
    return found[0]


def _label_key(keys: Sequence[str]) -> str:
    return "" if len(keys) == 1 else next((key for key in keys if key.lower() in LABEL_KEYS), "")


def open_idx(path: Path) -> BufferedIOBase:
    """An IDX file, unpacked if it is gzipped."""
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if gzipped else path.open("rb")


def idx_shape(path: Path, header: bytes, num_axes: int) -> tuple[int, ...]:
    """The shape that an IDX header declares; DataError if it is none, or impossible."""
    magic = bytes([0, 0, 8, num_axes])
    if header[:4] != magic:
        came = header[:4].hex(" ") or "nothing"
        refuse(path, f"begins with {came}, an IDX file of {num_axes} axes with {magic.hex(' ')}")
    if len(header) < 4 + 4 * num_axes:
        refuse(path, "ends within its IDX header; it is damaged")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    if 0 in shape:
        refuse(path, f"is empty: its shape is {format_shape(shape)}")
    possible = MAX_DEFLATE_RATIO * path.stat().st_size
    if math.prod(shape) > possible:
        refuse(path, f"declares {format_shape(shape)} bytes, but its size allows at most {possible:,}; it is damaged")
    return shape


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, its values from `start` on."""

    path: Path
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_fortran: bool = False  # the first axis is the fastest

    @property
    def num_bytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def npy_header(path: Path, file: IO[bytes] | BufferedIOBase, size: int) -> StoredArray:
    """Where the values of a .npy of `size` bytes are, from its beginning; DataError if its header contradicts that."""
    # Later versions are for headers over 64 KiB or with Unicode field names: structured types, not images.
    if (version := np.lib.format.read_magic(file)) != (1, 0):
        refuse(path, f"has .npy version {version[0]}.{version[1]}; accepted: 1.0; write it with numpy.save")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        refuse(path, "contains pickled Python objects, which are never read; save a numeric array")
    if min(shape, default=1) < 1:
        refuse(path, f"is empty: its shape is {format_shape(shape)}")
    found = StoredArray(path, file.tell(), dtype, shape, is_fortran and len(shape) > 1)
    if found.num_bytes != size - found.start:
        came = f"{format_shape(shape)} values = {found.num_bytes:,} bytes"
        refuse(path, f"declares {came}, but {size - found.start:,} follow")
    return found


def check_member(path: Path, member: zipfile.ZipInfo) -> None:
    """DataError for a compression that is not read, or a size that is impossible."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        refuse(path, "uses an unsupported compression; write it with numpy.savez or numpy.savez_compressed")
    possible = MAX_DEFLATE_RATIO * min(member.compress_size, path.stat().st_size)
    if member.file_size > possible:
        refuse(
            path,
            f"declares {member.file_size:,} bytes for {member.filename!r}, but {member.compress_size:,} compressed "
            f"bytes allow at most {possible:,}",
        )


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Shaped[np.ndarray, "..."]:
    check_member(path, member)
    with archive.open(member) as file:
        npy_header(path, file, member.file_size)
    with archive.open(member) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def safetensor(path: Path, header: dict[str, Any], key: str, start: int) -> StoredArray:
    """Where the values of a tensor are; DataError if its type is not read, or its header does not match its data."""
    about = header[key]
    if about["dtype"] not in SAFETENSORS_TYPES:
        refuse(path, f"contains {key!r} as {about['dtype']}; accepted: one of {', '.join(SAFETENSORS_TYPES)}")
    dtype, shape = np.dtype(SAFETENSORS_TYPES[about["dtype"]]), tuple(about["shape"])
    if min(shape, default=1) < 1:
        refuse(path, f"is empty: the shape of {key!r} is {format_shape(shape)}")
    first, last = about["data_offsets"]
    size = math.prod(shape) * dtype.itemsize
    if not (0 <= first <= last <= path.stat().st_size - start and last - first == size):
        refuse(
            path, f"declares {format_shape(shape)} values = {size:,} bytes for {key!r}, which does not match its data"
        )
    return StoredArray(path, start + first, dtype, shape)


def _safetensor(stored: StoredArray) -> Shaped[np.ndarray, "..."]:
    return np.asarray(np.memmap(stored.path, stored.dtype, "r", stored.start, stored.shape))

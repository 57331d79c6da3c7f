"""Arrays in files as rows: .npy, .npz, .safetensors and IDX, read by positioned reads.

A file is not mapped into memory: what is read of a mapped file counts as memory of the process until the system needs
it for something else. Compressed members of an .npz and gzipped IDX files are unpacked once, to a temporary folder.
"""

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BufferedIOBase
from itertools import pairwise
from math import prod
from pathlib import Path
from shutil import disk_usage
from typing import IO

import numpy as np
from jaxtyping import Int64, Shaped

from lowerbound.data.arrays import (
    StoredArray,
    check_idx_size,
    check_member,
    check_parts,
    choose_arrays,
    flat_labels,
    idx_shape,
    npy_header,
    open_idx,
    read_npy,
    safetensor,
    safetensors_header,
)
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import Limit, format_bytes, printable, reading, refuse
from lowerbound.data.rows import Rows, coded_array, memory_rows
from lowerbound.data.split_names import Split, split_note

CHUNK = 2**20
IDX_HEADER = 16
"""Bytes before the values of an IDX file of three axes."""


def npy_rows(path: Path, limit: Limit, scratch: Callable[[], Path]) -> Rows:
    """The rows of a .npy array. One whose first axis is the fastest is read whole, within the limit."""
    with reading(path, "a .npy array"), path.open("rb") as file:
        stored = npy_header(path, file, path.stat().st_size)
    if stored.is_fortran or not stored.shape:
        return memory_rows(read_npy(path, limit))
    return stored_rows(path, {"train": (stored, None)})


def npz_rows(path: Path, limit: Limit, scratch: Callable[[], Path]) -> Rows:
    """The rows of an .npz archive, with labels and splits as `read_npz` finds them."""
    with reading(path, "an .npz archive of arrays"), zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        chosen = choose_arrays(path, list(members))
        stored = {key: _stored_member(path, archive, members[key], scratch) for key in chosen.keys}
    return _chosen_rows(path, chosen.parts, stored, chosen.notes, limit)


def safetensors_rows(path: Path, limit: Limit, scratch: Callable[[], Path]) -> Rows:
    """The rows of a .safetensors file, with labels and splits as `read_safetensors` finds them."""
    with reading(path, "a .safetensors file"):
        header, start = safetensors_header(path)
        chosen = choose_arrays(path, list(header))
        stored = {key: safetensor(path, header, key, start) for key in chosen.keys}
    return _chosen_rows(path, chosen.parts, stored, chosen.notes, limit)


def idx_rows(path: Path, limit: Limit, scratch: Callable[[], Path]) -> Rows:
    """The images of an IDX file of three axes."""
    with reading(path, "an IDX file of unsigned bytes with 3 axes"), open_idx(path) as file:
        shape = idx_shape(path, file.read(IDX_HEADER), 3)
        with path.open("rb") as plain:
            is_plain = plain.read(2) != b"\x1f\x8b"
        target, start = (path, IDX_HEADER) if is_plain else (_unpacked(path, file, prod(shape), scratch()), 0)
    there = target.stat().st_size - start
    check_idx_size(path, shape, there, is_longer=there > prod(shape))
    stored = StoredArray(target, start, np.dtype(np.uint8), (*shape, 1))
    return stored_rows(path, {"train": (stored, None)})


FILES: dict[str, Callable[[Path, Limit, Callable[[], Path]], Rows]] = {
    ".npy": npy_rows,
    ".npz": npz_rows,
    ".safetensors": safetensors_rows,
}
"""Readers by suffix."""

Labels = Shaped[np.ndarray, "..."]


def _chosen_rows(
    path: Path,
    parts: Mapping[Split, tuple[str, str]],
    stored: Mapping[str, StoredArray],
    notes: tuple[str, ...],
    limit: Limit,
) -> Rows:
    read = {}
    for name, (data, labels) in parts.items():
        if stored[data].is_fortran or not stored[data].shape:
            limit.check(path, stored[data].num_bytes, instead="save it in C order, one example after another")
            if len(parts) == 1:
                values = _whole(stored[data])
                return memory_rows(RawArray(place=printable(path), values=values, notes=notes))
            refuse(path, f"stores {data!r} in Fortran order; save it in C order, one example after another")
        read[name] = stored[data], _whole(stored[labels]) if labels else None
    return stored_rows(path, read, notes)


def stored_rows(
    path: Path, parts: Mapping[Split, tuple[StoredArray, Labels | None]], notes: tuple[str, ...] = ()
) -> Rows:
    """The rows of one array, or of the splits of a file one after another, with their labels."""
    arrays = {name: stored for name, (stored, _) in parts.items()}
    kinds = {name: (stored.dtype, stored.shape[1:]) for name, stored in arrays.items()}
    num_labelled = check_parts(path, kinds, [name for name, (_, labels) in parts.items() if labels is None])
    sizes = {name: stored.shape[0] for name, stored in arrays.items()}
    labels = [flat_labels(path, found, sizes[name]) for name, (_, found) in parts.items() if found is not None]
    ((dtype, shape), *_) = kinds.values()
    place = printable(path)
    return Rows(
        about=RawArray(
            place=place,
            values=np.empty((0, *shape), dtype),
            notes=(split_note(sizes), *notes) if len(parts) > 1 else notes,
            num_validation=sizes.get("validation", 0),
            num_test=sizes.get("test", 0),
        ),
        num_rows=sum(sizes.values()),
        fetch=partial(_fetch, place, list(arrays.values())),
        labels=coded_array(_joined(labels)) if num_labelled else None,
    )


def _joined(labels: Sequence[Labels]) -> Labels:
    kinds = {found.dtype.kind for found in labels}
    # Numbers of one split and texts of another are compared as texts.
    return np.concatenate([found if len(kinds) == 1 else found.astype(str) for found in labels])


def _fetch(
    place: str, arrays: Sequence[StoredArray], numbers: Int64[np.ndarray, " row"], skip_broken: bool
) -> RawArray:
    starts = np.cumsum([0, *(stored.shape[0] for stored in arrays)])
    cuts = np.searchsorted(numbers, starts)
    parts = [
        _read(stored, numbers[cuts[at] : cuts[at + 1]] - starts[at])
        for at, stored in enumerate(arrays)
        if cuts[at] < cuts[at + 1]
    ]
    shape, dtype = arrays[0].shape[1:], arrays[0].dtype
    values = parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, *shape), dtype), *parts])
    return RawArray(place=place, values=values, numbers=numbers)


def _read(stored: StoredArray, numbers: Int64[np.ndarray, " row"]) -> Shaped[np.ndarray, "row *event"]:
    """Rows in ascending order; those next to each other by one read."""
    values = np.empty((len(numbers), *stored.shape[1:]), stored.dtype)
    row_bytes = values.nbytes // len(numbers)
    target = values.reshape(-1).view(np.uint8).data
    edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    with reading(stored.path, "a file of an array"):
        descriptor = os.open(stored.path, os.O_RDONLY)
        try:
            for low, high in pairwise(edges):
                offset = stored.start + int(numbers[low]) * row_bytes
                _fill(stored.path, descriptor, target[low * row_bytes : high * row_bytes], offset)
        finally:
            os.close(descriptor)
    return values


def _fill(path: Path, descriptor: int, target: memoryview, offset: int) -> None:
    done = 0
    while done < len(target):
        read = os.preadv(descriptor, [target[done:]], offset + done)
        if not read:
            refuse(path, "has become shorter while it was read; pack it again")
        done += read


def _whole(stored: StoredArray) -> Shaped[np.ndarray, "..."]:
    with stored.path.open("rb") as file:
        file.seek(stored.start)
        content = np.frombuffer(file.read(stored.num_bytes), stored.dtype)
    return content.reshape(stored.shape[::-1]).T if stored.is_fortran else content.reshape(stored.shape)


def _stored_member(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, scratch: Callable[[], Path]
) -> StoredArray:
    check_member(path, member)
    with archive.open(member) as file:
        header = npy_header(path, file, member.file_size)
    if member.compress_type == zipfile.ZIP_DEFLATED:
        with archive.open(member) as file:
            unpacked = _unpacked(path, file, member.file_size, scratch())
        return StoredArray(unpacked, header.start, header.dtype, header.shape, header.is_fortran)
    with archive.open(member) as file:
        while file.read(CHUNK):  # zipfile compares the checksum at the end
            pass
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        lengths = np.frombuffer(file.read(4), "<u2").sum()  # of the name and of the extra field
    start = member.header_offset + 30 + int(lengths) + header.start
    return StoredArray(path, start, header.dtype, header.shape, header.is_fortran)


def _unpacked(path: Path, file: IO[bytes] | BufferedIOBase, most: int, folder: Path) -> Path:
    """The content of a compressed file, at most one byte more than it declares, in a file of its own."""
    if most > (free := disk_usage(folder).free):
        refuse(path, f"unpacks to {format_bytes(most)}, but {folder.parent} has {format_bytes(free)} of free space")
    target = folder / str(len(list(folder.iterdir())))
    with target.open("wb") as unpacked:
        while unpacked.tell() <= most and (chunk := file.read(min(CHUNK, most + 1 - unpacked.tell()))):
            unpacked.write(chunk)
    return target

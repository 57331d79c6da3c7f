"""Rows: stored numbers that are read in parts, so that memory holds a few parts, whatever the number of examples.

Data in memory are rows as well: what is found out about data by reading them part by part is the same for both.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from lowerbound.data.raw_array import RawArray
from lowerbound.data.threads import in_order

PART_BYTES = 2**24
"""Stored values of one part. Changing it changes the last digits of means, which are merged part by part."""

Fetch = Callable[[Int64[np.ndarray, " row"], bool], RawArray]
"""The rows of these numbers, in ascending order; whether to skip those that cannot be read, and list them."""


@dataclass(frozen=True, eq=False)
class CodedLabels:
    """A label of each row: a position in `texts`."""

    codes: Int64[np.ndarray, " row"]
    texts: tuple[str | None, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """Rows of numbers of one shape and type."""

    about: RawArray  # of no rows: place, shape, type, splits, notes
    num_rows: int
    fetch: Fetch
    labels: CodedLabels | None = None  # None: none, or they come with the parts
    about_read: Callable[[Int64[np.ndarray, " row"]], RawArray] | None = None  # if some rows are left out
    content: tuple[Any, ...] = ()  # by which the same data are recognised; empty: their values
    is_unchanged: Callable[[], bool] | None = None  # whether the content is still that; None if that cannot be known

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, and the shape of one."""
        return self.num_rows, *self.about.values.shape[1:]

    @property
    def part_rows(self) -> int:
        """Rows of a part."""
        return max(1, PART_BYTES // max(1, prod(self.shape[1:]) * self.about.values.dtype.itemsize))

    def parts(self, skip_broken: bool = False, workers: int = 1) -> Iterator[RawArray]:
        """All rows in order; `numbers` and `skipped` of each part tell what was read."""
        starts = range(0, self.num_rows, self.part_rows)
        numbers = (np.arange(start, min(start + self.part_rows, self.num_rows)) for start in starts)
        return in_order(lambda chosen: self.fetch(chosen, skip_broken), numbers, workers)

    def read(self, numbers: Int64[np.ndarray, " row"]) -> RawArray:
        """Rows in any order; their labels are not read."""
        order = np.argsort(numbers, kind="stable")
        part = self.fetch(numbers[order], False)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        ids = tuple(part.ids[index] for index in back) if part.ids else ()
        return replace(part, values=part.values[back], labels=None, ids=ids, numbers=numbers)


def memory_rows(raw: RawArray) -> Rows:
    """Rows of an array in memory."""

    def fetch(numbers: Int64[np.ndarray, " row"], skip_broken: bool) -> RawArray:
        is_slice = len(numbers) > 0 and int(numbers[-1]) - int(numbers[0]) + 1 == len(numbers)
        chosen = slice(int(numbers[0]), int(numbers[-1]) + 1) if is_slice else numbers
        ids = tuple(raw.ids[number] for number in numbers) if raw.ids else ()
        return replace(raw, values=raw.values[chosen], labels=None, ids=ids, numbers=numbers, skipped=())

    return Rows(
        about=replace(raw, values=raw.values[:0], labels=None, ids=()),
        num_rows=len(raw.values),
        fetch=fetch,
        labels=None if raw.labels is None else coded(raw.labels),
    )


def coded(labels: Sequence[str | None]) -> CodedLabels:
    """Labels by their positions in the list of different ones."""
    codes: dict[str | None, int] = {}
    found = np.fromiter((codes.setdefault(label, len(codes)) for label in labels), np.int64, len(labels))
    return CodedLabels(found, tuple(codes))


def coded_array(labels: Shaped[np.ndarray, " row"]) -> CodedLabels:
    """The same for an array of integers, booleans or texts."""
    different, codes = np.unique(labels, return_inverse=True)
    return CodedLabels(codes.reshape(-1).astype(np.int64), tuple(str(label) for label in different.tolist()))


def rows_of_files(rows: Rows, paths: Sequence[Path], below: Path | None = None) -> Rows:
    """Rows that are read from these files, whose names, sizes and times are their content."""
    content = content_of(paths, below)
    return replace(rows, content=content, is_unchanged=lambda: content_of(paths, below) == content)


def content_of(paths: Sequence[Path], below: Path | None = None) -> tuple[Any, ...]:
    """Names, sizes and times of files, by which the same content is recognised without reading it."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found.append((str(path.relative_to(below) if below else path.name), status.st_size, status.st_mtime_ns))
    return tuple(found)

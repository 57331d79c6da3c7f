"""Python sequences as rows: objects with a length whose items are read by slices or by arrays of indices."""

from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Int64

from lowerbound.data.cells import label_texts
from lowerbound.data.objects import is_read_whole
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import format_shape, refuse
from lowerbound.data.rows import Rows, coded
from lowerbound.foundation.errors import in_one_line

ACCEPTED = "accepted: an array of as many rows, or a pair of rows and labels"


def is_sequence(values: Any) -> bool:
    """Whether an object has a length and items, and is of no kind that is read as a whole."""
    return not is_read_whole(values) and hasattr(values, "__len__") and hasattr(values, "__getitem__")


def sequence_rows(values: Any, labels: Any = None, place: str = "the sequence") -> Rows:
    """Rows of an object with `__len__` and `__getitem__`, which is called with slices and with ascending arrays of
    indices, by one thread at a time.

    It returns an array of rows, or a pair of rows and labels; DataError for anything else.
    """
    read = _Reader(values, place)
    num_rows = len(values)
    first = read(np.arange(min(1, num_rows)), False)
    if labels is not None and first.labels is not None:
        refuse(place, "returns labels, and labels are given besides; leave one of them out")
    return Rows(
        about=replace(first, values=first.values[:0], labels=None, numbers=None),
        num_rows=num_rows,
        fetch=read,
        labels=None if labels is None else coded(label_texts(place, labels, num_rows)),
    )


class _Reader:
    """Reads rows, and checks what comes."""

    def __init__(self, values: Any, place: str) -> None:
        self.values, self.place = values, place
        self.lock = Lock()
        self.kind: tuple[Any, ...] = ()

    def __call__(self, numbers: Int64[np.ndarray, " row"], skip_broken: bool) -> RawArray:
        came = self._came(numbers)
        rows, labels = came if isinstance(came, tuple) and len(came) == 2 else (came, None)
        try:
            array = np.asarray(rows)
        except Exception as error:
            refuse(self.place, f"returns a {type(rows).__name__} that is no array ({in_one_line(error)}); {ACCEPTED}")
        self._check(array, labels is not None, numbers)
        texts = None if labels is None else label_texts(self.place, labels, len(numbers))
        return RawArray(place=self.place, values=array, labels=texts, numbers=numbers)

    def _came(self, numbers: Int64[np.ndarray, " row"]) -> Any:
        is_slice = not len(numbers) or int(numbers[-1]) - int(numbers[0]) + 1 == len(numbers)
        key = slice(int(numbers[0]), int(numbers[-1]) + 1) if is_slice and len(numbers) else numbers
        try:
            with self.lock:
                return self.values[key]
        except Exception as error:
            where = (
                f"rows {key.start:,} to {key.stop:,}" if isinstance(key, slice) else f"{len(numbers):,} rows by index"
            )
            refuse(self.place, f"failed to return {where} ({in_one_line(error)})")

    def _check(self, array: np.ndarray, has_labels: bool, numbers: Int64[np.ndarray, " row"]) -> None:
        if not array.ndim or len(array) != len(numbers):
            came = f"{format_shape(array.shape)} values for {len(numbers):,} rows"
            refuse(self.place, f"returns {came}; {ACCEPTED}")
        kind = array.shape[1:], array.dtype, has_labels
        self.kind = self.kind or kind
        if kind != self.kind:
            now, before = (
                f"{format_shape(shape)} {dtype}{' with labels' if labelled else ''}"
                for shape, dtype, labelled in (kind, self.kind)
            )
            refuse(self.place, f"returns {now} for row {numbers[0]} and {before} before; all rows need the same")

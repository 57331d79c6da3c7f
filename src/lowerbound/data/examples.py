"""Examples in memory: images, arrays or rows of a table, and their labels."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int64, Integer, UInt8

from lowerbound.values import Column, Support

Values = UInt8[np.ndarray, "example *event"] | Float32[np.ndarray, "example *event"]
Labels = Int64[np.ndarray, " example"]
Layout = Literal["image", "array", "table"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples and, where they are known, their labels.

    An image's values are height x width x channel; an array's have any shape, a table's row one axis of cells, NaN
    where one is missing.
    """

    values: Values
    max_value: float  # the value that maps to 1: 255 for 8-bit images, 16 for digits, 1 for what is taken as it is
    labels: Labels | None = None
    is_redrawn: bool = False  # pixels are probabilities, from which every pass draws black and white anew
    layout: Layout = "image"
    columns: tuple[Column, ...] = ()  # of a table

    def __len__(self) -> int:
        return len(self.values)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example in torch's layout: channels, height, width for an image."""
        shape = self.values.shape[1:]
        return (shape[2], *shape[:2]) if self.layout == "image" else shape

    @cached_property
    def support(self) -> Support:
        """Where the values lie once they are divided by `max_value`."""
        values, top = self.values, self.max_value
        if self.layout == "table":
            known = values[~np.isnan(values)]
            return Support(float(known.min()), float(known.max()), has_missing=known.size < values.size)
        low, high = float(values.min()) / top, float(values.max()) / top
        is_stored_in_levels = values.dtype == np.uint8
        return Support(
            low,
            high,
            num_levels=int(top) + 1 if is_stored_in_levels else _num_levels(values),
            is_binary=bool(((values == 0) | (values == top)).all()),
            is_integer=top == 1 and (is_stored_in_levels or bool((values == np.rint(values)).all())),
        )

    def subset(self, indices: Integer[np.ndarray, " index"]) -> "Examples":
        """The examples at `indices`, copied, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, values=np.asarray(self.values[indices]), labels=labels)


def _num_levels(values: Float32[np.ndarray, "example *event"]) -> int:
    """256 where floats are 8-bit values that somebody divided by 255, else 0."""
    if values.min() < 0 or values.max() > 1:
        return 0
    # By parts, most data are told by the first of which.
    for part in np.array_split(values.reshape(-1), 1 + values.size // 2**20):
        levels = part * np.float32(255)
        if np.abs(levels - np.rint(levels)).max() > 1e-3:
            return 0
    return 256


@dataclass(frozen=True, eq=False)
class Collection:
    """All examples of one file or folder, and what is known of them."""

    examples: Examples
    label_names: tuple[str, ...] = ()  # empty where there are no labels
    ids: tuple[str, ...] = ()  # of each example, such as its file; empty where it is its number
    skipped: tuple[str, ...] = ()  # files that could not be read, each with the reason
    notes: tuple[str, ...] = ()  # what was done to them: resized, turned upright, transparency laid on white
    resized_to: tuple[int, int] | None = None  # width and height that some were brought to
    num_test: int = 0  # of the last examples, where they are a test set of their own

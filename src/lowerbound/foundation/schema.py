"""What data are: layout, stored type and scale, columns. Found once, by training; every later reading goes through it.

    stored numbers   what files and arrays hold, in their own units: 0..255, 12-bit counts, a table's columns
    x                what the model sees: (stored - low) / (high - low); of tables and unscaled arrays stored - offset

A run keeps its Schema in model.safetensors and shows it in config.toml.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from lowerbound.foundation.errors import RunError

ColumnKind = Literal["numeric", "count", "binary", "categorical"]
Layout = Literal["image", "array", "table"]
Range = tuple[float, float]

UNSCALED: Range = (0.0, 1.0)
"""The range of data that the model sees as they are stored."""

LARGEST = 1e18
"""Numbers are smaller than this, in absolute value, and so is the inverse of their spread: squares of larger ones
overflow in float32.
"""

LARGEST_COUNT = 2**24
"""Counts reach to this, and so do their means: beyond it float32 leaves out whole numbers."""

MISSING_MARKERS = ("", "na", "n/a", "nan", "null", "none", "?", "-", "<na>", "#n/a", "#na", ".", "\\n")
"""Cells that are missing, in lower case: what pandas, Excel, SAS, R, Stata and databases write."""


@dataclass(frozen=True)
class Support:
    """Where the values of some data lie, as the model sees them."""

    low: float
    high: float
    num_levels: int = 0  # evenly spaced from 0 to 1, where the data are stored as such; 0 where they are not
    is_binary: bool = False  # all values are 0 or 1
    is_integer: bool = False  # all values are whole numbers
    has_missing: bool = False  # some are NaN, which low and high leave out

    def __or__(self, other: "Support") -> "Support":
        """The support of both data together."""
        return Support(
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            num_levels=self.num_levels if self.num_levels == other.num_levels else 0,
            is_binary=self.is_binary and other.is_binary,
            is_integer=self.is_integer and other.is_integer,
            has_missing=self.has_missing or other.has_missing,
        )


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. Cells are numbers: values less `offset`, whole numbers, or positions in `levels`; NaN if missing."""

    name: str
    kind: ColumnKind
    levels: tuple[str, ...] = ()  # of a categorical or binary column, as they are written
    offset: float = 0.0  # taken off numeric cells in float64 where float32 would lose their digits
    missing_markers: tuple[str, ...] = ()  # texts that are missing in this column alone, exactly as written
    decimals: int = 17  # of numeric cells: the most that a number of the training table needs

    @property
    def num_levels(self) -> int:
        """How many different values a categorical column has."""
        return len(self.levels)

    def as_written(self, cells: Float[np.ndarray, " row"]) -> np.ndarray:
        """Cells as a table has them: levels as text, counts without a fraction, numbers in float64."""
        if self.levels:
            known = np.where(np.isnan(cells), -1, cells).astype(np.int64)
            return np.array([*self.levels, ""])[known]
        if self.kind == "count":
            return np.rint(cells) if np.isnan(cells).any() else np.rint(cells).astype(np.int64)
        return cells.astype(np.float64) + self.offset if self.offset else cells

    def as_drawn(self, cells: Float[np.ndarray, " row"]) -> np.ndarray:
        """The same of new rows: numbers with no more decimals than those of the training table have."""
        if self.kind != "numeric" or self.decimals >= np.finfo(np.float32).precision:
            return self.as_written(cells)
        return np.round(cells.astype(np.float64) + self.offset, self.decimals)


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What the data of a run are."""

    layout: Layout
    shape: tuple[int, ...]  # of one example as it is stored: height, width, channels; an array's shape; columns
    dtype: str  # of the stored numbers, such as "uint8" or "float64"; empty for a table whose cells are text
    range: Range = UNSCALED  # the stored numbers that the model sees as 0 and 1
    support: Support = Support(-math.inf, math.inf)  # where all training data lie, as the model sees them
    offset: tuple[float, ...] = ()  # of each element of an unscaled array, as Column.offset; empty where there is none
    binarisation: Literal["none", "static", "dynamic"] = "none"  # of grey pixels
    binarisation_seed: int = 0
    size: str = ""  # WIDTHxHEIGHT that image files are resized to; empty for data that are not image files
    resize: Literal["crop", "fit"] = "crop"
    columns: tuple[Column, ...] = ()  # of a table
    left_out: tuple[str, ...] = ()  # columns of the training table that are not part of x
    label: str = ""  # the column that holds labels
    label_names: tuple[str, ...] = ()
    missing_markers: tuple[str, ...] = MISSING_MARKERS  # in lower case
    decimal: Literal[".", ","] = "."
    separator: str = ""  # of a CSV; empty finds it out, file by file

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example in torch's layout: channels, height, width for an image."""
        return (self.shape[2], *self.shape[:2]) if self.layout == "image" else self.shape

    @property
    def offsets(self) -> tuple[float, ...]:
        """What is taken off each element, of an array or of a table's columns; empty where there is nothing."""
        offsets = self.offset or tuple(column.offset for column in self.columns)
        return offsets if any(offsets) else ()

    @property
    def has_named_columns(self) -> bool:
        """Whether examples are rows whose cells have names; an array with missing cells is a table without."""
        return self.layout == "table" and not self.dtype

    @property
    def has_pictures(self) -> bool:
        """Whether examples are images that can be read from a file and shown as one: grey or RGB."""
        return self.layout == "image" and self.shape[2] in (1, 3)

    @property
    def is_integer(self) -> bool:
        """Whether the stored numbers are whole by their type."""
        return self.layout != "table" and np.dtype(self.dtype).kind in "biu"

    @property
    def is_scaled(self) -> bool:
        """Whether the model sees other numbers than those that are stored."""
        return self.range != UNSCALED


def check_schema(schema: Schema, event_shape: tuple[int, ...], place: str) -> None:
    """RunError where the parts of a stored schema, or the shape beside it, contradict each other."""
    axes = {"image": 3, "table": 1}.get(schema.layout, len(schema.shape))
    shape = list(schema.shape)
    if not shape or len(shape) != axes or min(shape) < 1:
        raise RunError(f"{place} is damaged (schema.shape is {shape}, which is not the shape of one {schema.layout}).")
    if event_shape != schema.event_shape:
        raise RunError(
            f"{place} is damaged (event_shape is {list(event_shape)}, that of the schema {list(schema.event_shape)})."
        )
    if schema.layout == "table" and schema.columns and len(schema.columns) != shape[0]:
        raise RunError(f"{place} is damaged (the schema has {len(schema.columns)} columns, its shape {shape[0]}).")

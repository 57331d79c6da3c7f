"""Schema: layout, stored type, range and columns of data; inferred once, at training time, and used for all later data.

    stored numbers   what files and arrays contain, in their own units: 0..255, 12-bit counts, a table's columns
    x                what the model sees: (stored - low) / (high - low); of tables and unscaled arrays stored - offset

A run stores its schema in model.safetensors, and a copy in config.toml.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from lowerbound.foundation.errors import RunError
from lowerbound.foundation.text import pluralise

ColumnKind = Literal["numeric", "count", "binary", "categorical"]
Layout = Literal["image", "array", "table"]
Range = tuple[float, float]

UNSCALED: Range = (0.0, 1.0)
"""The range of data that the model sees in stored units."""

LARGEST = 1e18
"""Limit on absolute values, and on the inverse of their spread: squares of larger numbers overflow in float32."""

LARGEST_COUNT = 2**24
"""Limit on counts and their means: float32 does not represent all larger whole numbers."""

MISSING_MARKERS = ("", "na", "n/a", "nan", "null", "none", "?", "-", "<na>", "#n/a", "#na", ".", "\\n")
"""Markers of missing cells, in lower case, as pandas, Excel, SAS, R, Stata and databases write them."""


@dataclass(frozen=True)
class Support:
    """The range and kind of data's values, as the model sees them."""

    low: float
    high: float
    num_levels: int = 0  # evenly spaced from 0 to 1, for data stored as such; 0 for other data
    is_binary: bool = False  # all values are 0 or 1
    is_integer: bool = False  # all values are whole numbers
    has_missing: bool = False  # some are NaN; low and high ignore them

    @property
    def interval(self) -> str:
        """The range, for messages."""
        return f"[{self.low:g}, {self.high:g}]"

    def __or__(self, other: "Support") -> "Support":
        """The support of the union of both."""
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
    levels: tuple[str, ...] = ()  # of a categorical or binary column, as written
    offset: float = 0.0  # subtracted in float64 from numeric cells whose digits float32 would lose
    missing_markers: tuple[str, ...] = ()  # texts that mean missing in this column only, exactly as written
    decimals: int = 17  # of numeric cells: the maximum in the training table

    @property
    def num_levels(self) -> int:
        """Number of levels of a categorical column."""
        return len(self.levels)

    def as_written(self, cells: Float[np.ndarray, " row"]) -> np.ndarray:
        """Cells as written in a table: levels as text, counts as whole numbers, numbers in float64."""
        if self.levels:
            known = np.where(np.isnan(cells), -1, cells).astype(np.int64)
            return np.array([*self.levels, ""])[known]
        if self.kind == "count":
            return np.rint(cells) if np.isnan(cells).any() else np.rint(cells).astype(np.int64)
        return cells.astype(np.float64) + self.offset if self.offset else cells

    def as_drawn(self, cells: Float[np.ndarray, " row"]) -> np.ndarray:
        """Cells of new rows: numbers are rounded to the decimals of the training table."""
        if self.kind != "numeric" or self.decimals >= np.finfo(np.float32).precision:
            return self.as_written(cells)
        return np.round(cells.astype(np.float64) + self.offset, self.decimals)


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The schema of a run's data."""

    layout: Layout
    shape: tuple[int, ...]  # of one stored example: height, width, channels; an array's shape; number of columns
    dtype: str  # of the stored numbers, such as "uint8" or "float64"; empty for a table whose cells are text
    range: Range = UNSCALED  # the stored numbers that the model sees as 0 and 1
    support: Support = Support(-math.inf, math.inf)  # of the training data, as the model sees it
    offset: tuple[float, ...] = ()  # of each element of an unscaled array, as Column.offset; empty for none
    binarisation: Literal["none", "static", "dynamic"] = "none"  # of grey pixels
    binarisation_seed: int = 0
    size: str = ""  # WIDTHxHEIGHT that image files are resized to; empty for data that are not image files
    resize: Literal["crop", "fit"] = "crop"
    columns: tuple[Column, ...] = ()  # of a table
    left_out: tuple[str, ...] = ()  # columns of the training table that are excluded from x
    conditions: tuple[Column, ...] = ()  # labels or columns that a conditional model is given, which are not part of x
    infers: bool = False  # the model has a classifier, so that the condition may be missing
    label: str = ""  # the column that contains labels
    label_names: tuple[str, ...] = ()
    missing_markers: tuple[str, ...] = MISSING_MARKERS  # in lower case
    decimal: Literal[".", ","] = "."
    separator: str = ""  # of a CSV; empty detects it for each file

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example in torch's layout: channels, height, width for an image."""
        return (self.shape[2], *self.shape[:2]) if self.layout == "image" else self.shape

    @property
    def offsets(self) -> tuple[float, ...]:
        """Offsets of an array's elements or a table's columns; empty if all are 0."""
        offsets = self.offset or tuple(column.offset for column in self.columns)
        return offsets if any(offsets) else ()

    @property
    def has_named_columns(self) -> bool:
        """Whether examples are rows with named columns; an array with missing cells is a table without names."""
        return self.layout == "table" and not self.dtype

    @property
    def has_pictures(self) -> bool:
        """Whether examples are grey or RGB images, which can be stored as image files."""
        return self.layout == "image" and self.shape[2] in (1, 3)

    @property
    def is_integer(self) -> bool:
        """Whether the stored type is an integer or boolean."""
        return self.layout != "table" and np.dtype(self.dtype).kind in "biu"

    @property
    def is_scaled(self) -> bool:
        """Whether the model sees other numbers than the stored ones."""
        return self.range != UNSCALED


def check_schema(schema: Schema, event_shape: tuple[int, ...], place: str) -> None:
    """RunError if the parts of a stored schema contradict each other, or `event_shape`."""
    axes = {"image": 3, "table": 1}.get(schema.layout, len(schema.shape))
    shape = list(schema.shape)
    if not shape or len(shape) != axes or min(shape) < 1:
        raise RunError(f"{place} is damaged (schema.shape is {shape}, which is not the shape of one {schema.layout}).")
    if event_shape != schema.event_shape:
        raise RunError(
            f"{place} is damaged (event_shape is {list(event_shape)}, that of the schema {list(schema.event_shape)})."
        )
    if schema.layout == "table" and schema.columns and len(schema.columns) != shape[0]:
        raise RunError(
            f"{place} is damaged (the schema has {pluralise(len(schema.columns), 'column')}, its shape {shape[0]})."
        )

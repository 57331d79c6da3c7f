"""The schema of an array, inferred from the training data: layout (image, array, table), scale and offsets.

    layout   image   image files; 4-D arrays whose last axis is 1, 3 or 4; 3-D arrays N x H x W with both sides at least
                     8 and neither more than 4 times the other
             table   N x D floats with NaN, which is a missing cell
             array   anything else

    range    the stored numbers that the model sees as 0 and 1
             images  8-bit files 0..255; other integers 0..1, 0..255, 1023, 4095, 16383 or 65535, the smallest that
                     contains all, or 0..max if they use less than a quarter of it, such as 0..16; bool 0..1
                     floats 0..1 or -1..1, with up to a twentieth beyond; 0..255 if they reach half of it
                     integers below 0 or above 65535: min..max; other floats: min(0, min)..max
             arrays  bytes as images; other numbers unscaled

data.layout and data.range set them explicitly.
"""

import math
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Float

from lowerbound.data.array_summary import ArraySummary, OnPart, ignored, moments_of_rows, summary_of
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import format_shape, refuse
from lowerbound.data.rows import Rows, memory_rows
from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.schema import LARGEST, LARGEST_COUNT, UNSCALED, Column, Layout, Range, Schema

CHANNELS = (1, 3, 4)
LEAST_SIDE = 8  # of N x H x W that is read as images
MOST_OBLONG = 4
FULL_SCALES = (255, 1023, 4095, 16383, 65535)
LEAST_USED = 0.25
"""The part of a full scale that integers must use to be read on it: bytes up to 16 are levels of 0..16."""

SIGNED: Range = (-1.0, 1.0)
OVERSHOOT = 0.05  # of the width of [0, 1] or [-1, 1], by which floats may exceed it, as after resampling
LEAST_WHITE = 127.5  # least maximum of floats that are read as 0..255
OFFSET_FROM = 1000.0
"""Means larger than this many standard deviations are subtracted in float64, because float32 keeps seven digits."""

LOST_FROM = 1e5
"""The same for means below OFFSET_FROM, where float32 would keep at most two digits of the spread."""


@dataclass(frozen=True)
class Inferred:
    """A schema, and notes on what was inferred with the settings that change it."""

    schema: Schema
    notes: tuple[str, ...]


def infer_array_schema(raw: RawArray, layout: str = "", scale: tuple[float, ...] = ()) -> Schema:
    """The schema of an array from its type, axes and values; `layout` and `scale` override them."""
    return infer_schema(rows_of_array(raw), layout, scale).schema


def rows_of_array(raw: RawArray) -> Rows:
    """Rows in memory; DataError for a single number."""
    if raw.values.ndim == 0:
        _refuse_number(raw.place, "a single number")
    return memory_rows(raw)


def infer_schema(
    rows: Rows,
    layout: str = "",
    scale: tuple[float, ...] = (),
    skip_broken: bool = False,
    workers: int = 1,
    on_part: OnPart = ignored,
) -> Inferred:
    """The schema of rows, read part by part. With `skip_broken`, rows that are not finite do not count."""
    if not rows.num_rows:
        _refuse_number(rows.about.place, "no examples")
    check_type(rows.about)
    seen = summary_of(rows, layout, skip_broken, workers, on_part)
    schema = _schema(rows, seen, layout, scale)
    return Inferred(schema, _notes(rows.about, seen, schema, layout, scale))


def _refuse_number(place: str, came: str) -> NoReturn:
    refuse(place, f"contains {came}; give N of them, along axis 0")


def _schema(rows: Rows, seen: ArraySummary, layout: str, scale: tuple[float, ...]) -> Schema:
    raw = rows.about
    if seen.infinite:
        raise DataError(f"{seen.infinite}; accepted: finite numbers.")
    found = _layout(rows, seen, layout)
    shape = rows.shape[1:] or (1,)
    if found == "image" and len(shape) == 2:
        shape = (*shape, 1)
    if found == "table":
        return _table(rows, seen, scale)
    chosen = checked_range(scale) or (_image_range(raw, seen) if found == "image" else _array_range(raw, seen.high))
    offset = _offsets(rows, seen) if found == "array" and chosen == UNSCALED else ()
    _check_magnitude(raw.place, seen.low, seen.high)
    _check_spread(raw.place, seen, is_unscaled=chosen == UNSCALED)
    size = f"{shape[1]}x{shape[0]}" if raw.is_from_images else ""
    return Schema(layout=found, shape=shape, dtype=raw.values.dtype.name, range=chosen, offset=offset, size=size)


def check_type(raw: RawArray) -> None:
    """DataError for an array that is not numeric."""
    if raw.values.dtype.kind not in "biuf":
        refuse(raw.place, f"contains values of type {raw.values.dtype}; accepted: bool, integers or floats")


def _notes(raw: RawArray, seen: ArraySummary, schema: Schema, layout: str, scale: tuple[float, ...]) -> tuple[str, ...]:
    is_constant = seen.low == seen.high and not seen.missing and not raw.is_from_images
    constant = (f"all numbers are {seen.low:.10g}: there is nothing to learn",) if is_constant else ()
    notes = constant if scale else (*constant, *_about_levels(raw, seen, schema))
    settings = [] if layout or raw.is_from_images else ["data.layout"]
    if schema.layout != "table" and not scale and raw.white != 255:
        settings.append("data.range")
    if not settings:
        return notes
    return (
        *notes,
        f"read as {_in_words(schema)} (change with {', '.join(settings)})",
    )


def _about_levels(raw: RawArray, seen: ArraySummary, schema: Schema) -> tuple[str, ...]:
    """A note on integers whose greatest value was taken for their full scale."""
    top = _full_scale(seen.high)
    is_constant = seen.low == seen.high
    if raw.values.dtype.kind not in "iu" or schema.range != (0.0, seen.high) or not 1 < seen.high < top or is_constant:
        return ()
    return (
        f"no value exceeds {seen.high:g}, far below {top:g}: read as levels from 0 to {seen.high:g}, and later values "
        f"above are refused; if they can reach {top:g}, set data.range=[0, {top:g}]",
    )


def notes_on_files(schema: Schema, high: float, scale: tuple[float, ...]) -> tuple[str, ...]:
    """A note on 8-bit image files, whose white is 255, if no pixel is nearly as bright; `high` is their greatest value,
    `scale` the range that was set.
    """
    top = schema.range[1]
    if scale or schema.layout != "image" or schema.range != (0.0, 255.0) or not 0 < high < LEAST_USED * top:
        return ()
    return (
        f"no pixel exceeds {high:g}, and white is {top:g}: if these are levels from 0 to {high:g} and not dark images, "
        f"set data.range=[0, {high:g}]",
    )


def _in_words(schema: Schema) -> str:
    if schema.layout == "table":
        return f"a table of {schema.shape[0]} columns, NaN where a cell is missing"
    low, high = schema.range
    if schema.layout == "image":
        return f"images of {schema.shape[1]}×{schema.shape[0]} pixels, {low:.10g} to {high:.10g}"
    scale = f"{low:.10g} to {high:.10g}" if schema.is_scaled else "unscaled"
    return f"arrays of {format_shape(schema.shape)}, {scale}"


def checked_range(scale: tuple[float, ...]) -> Range | None:
    """The range that was set, or None; ConfigError if it is not one."""
    if not scale:
        return None
    if len(scale) != 2 or not all(map(math.isfinite, scale)) or not scale[0] < scale[1]:
        raise ConfigError(f"data.range is {list(scale)}; it needs two finite numbers, the lower one first: [0, 255].")
    return float(scale[0]), float(scale[1])


def varies_too_little(values: Float[np.ndarray, "..."]) -> bool:
    """Whether numbers differ by so little that they would be constant in float32."""
    return values.size > 0 and 0 < float(values.max()) - float(values.min()) < 1 / LARGEST


def float32_offset(values: Float[np.ndarray, " n"]) -> float:
    """The offset to subtract from a column in float64 so that float32 keeps its digits; 0 where none is needed."""
    known = values[~np.isnan(values)]
    if not known.size:
        return 0.0
    mean, deviation = float(known.mean(dtype=np.float64)), float(known.std(dtype=np.float64))
    return _offset_for(mean, deviation, is_constant=not known.min() < known.max())


def _offset_for(mean: float, deviation: float, is_constant: bool) -> float:
    if abs(mean) > OFFSET_FROM:
        return mean if abs(mean) > OFFSET_FROM * deviation else 0.0
    # For smaller numbers only if hardly a digit would be left.
    return mean if abs(mean) > LOST_FROM * deviation and not is_constant else 0.0


def _float32_offsets(rows: Rows, seen: ArraySummary) -> tuple[float, ...]:
    """The same for each element, from its moments."""
    moments = moments_of_rows(rows, seen)
    is_constant = (seen.least == seen.greatest).reshape(-1).tolist()
    each = zip(moments.mean.reshape(-1).tolist(), moments.deviation.reshape(-1).tolist(), is_constant, strict=True)
    return tuple(0.0 if math.isnan(mean) else _offset_for(mean, *others) for mean, *others in each)


def _layout(rows: Rows, seen: ArraySummary, setting: str) -> Layout:
    raw, shape, has_missing = rows.about, rows.shape, bool(seen.missing)
    if setting == "table" and len(shape) != 2:
        refuse(raw.place, f"contains {format_shape(shape)} values; a table needs N×D (data.layout)")
    if setting == "image" and len(shape) not in (3, 4):
        refuse(raw.place, f"contains {format_shape(shape)} values; images need N×H×W or N×H×W×C (data.layout)")
    if has_missing and (setting not in ("", "table") or len(shape) != 2):
        accepted = "missing values are accepted only in tables N×D"
        raise DataError(f"{seen.missing}; {accepted}" + (f" (data.layout is {setting})." if setting else "."))
    if setting:
        return setting  # type: ignore[return-value]
    if has_missing:
        return "table"
    if raw.is_from_images:
        return "image"
    if len(shape) == 4 and shape[3] in CHANNELS:
        return "image"
    if len(shape) == 4 and shape[1] in CHANNELS and _are_sides(shape[2:]):
        came = f"contains {format_shape(shape)}, which looks like N×C×H×W; give N×H×W×C: array.transpose(0, 2, 3, 1)"
        refuse(raw.place, f"{came}, or set data.layout=array")
    return "image" if len(shape) == 3 and _are_sides(shape[1:]) else "array"


def _are_sides(sides: tuple[int, ...]) -> bool:
    return min(sides) >= LEAST_SIDE and max(sides) <= MOST_OBLONG * min(sides)


def _image_range(raw: RawArray, seen: ArraySummary) -> Range:
    low, high = seen.low, seen.high
    if low >= 0 and high <= 1 and not raw.white:
        return UNSCALED
    if raw.values.dtype == np.uint8 and raw.white:
        return 0.0, 255.0
    if 0 < raw.white < FULL_SCALES[-1]:  # 12 bits, as the file says
        return 0.0, raw.white
    if raw.values.dtype.kind == "f":
        return _float_range(low, high)
    if low < 0:
        return _as_range(low, high)
    return _integer_range(high)


def _integer_range(high: float) -> Range:
    """From 0 to the smallest full scale that contains all values, or to the greatest value if it is far below."""
    top = _full_scale(high)
    return 0.0, high if 0 < high < LEAST_USED * top else top


def _full_scale(high: float) -> float:
    return float(next((top for top in FULL_SCALES if high <= top), high))


def _float_range(low: float, high: float) -> Range:
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        return UNSCALED
    if -1 - 2 * OVERSHOOT <= low < -OVERSHOOT and high <= 1 + 2 * OVERSHOOT:
        return SIGNED
    if low >= 0 and LEAST_WHITE <= high <= 255:
        return 0.0, 255.0
    return _as_range(min(low, 0.0), high)


def _as_range(low: float, high: float) -> Range:
    return (low, high) if low < high else (low, low + 1)


def _array_range(raw: RawArray, high: float) -> Range:
    return _integer_range(high) if raw.values.dtype == np.uint8 and high > 1 else UNSCALED


def _offsets(rows: Rows, seen: ArraySummary) -> tuple[float, ...]:
    dtype = rows.about.values.dtype
    if max(abs(seen.low), abs(seen.high)) <= OFFSET_FROM or dtype == np.uint8:
        return ()
    if dtype.kind in "iu" and seen.low >= 0 and seen.high <= LARGEST_COUNT:
        return ()  # counts
    offsets = _float32_offsets(rows, seen)
    return offsets if any(offsets) else ()


def _check_magnitude(place: str, low: float, high: float) -> None:
    if max(abs(low), abs(high)) >= LARGEST:
        refuse(place, f"contains numbers from {low:g} to {high:g}; accepted: those below 1e18, so divide them")


def _check_spread(place: str, seen: ArraySummary, is_unscaled: bool) -> None:
    """DataError for numbers that differ but would be equal in float32."""
    came = f"vary by less than {1 / LARGEST:g}"
    if varies_too_little(np.array([seen.low, seen.high])):
        refuse(place, f"contains numbers from {seen.low:g} to {seen.high:g}, which {came}; multiply them")
    # Only unscaled numbers are standardised element by element: see GaussianPerElementLikelihood.
    if seen.least.dtype.kind != "f" or not is_unscaled or (seen.low >= 0 and seen.high <= 1):
        return
    for index in np.flatnonzero(_too_narrow(seen)).tolist():
        position = ",".join(map(str, np.unravel_index(index, seen.least.shape or (1,))))
        refuse(
            place,
            f"contains numbers that {came} in element {position} of all examples; multiply them, or set them to 0",
        )


def _too_narrow(seen: ArraySummary) -> Bool[np.ndarray, " element"]:
    """Elements whose values differ by so little that they would be constant in float32."""
    spread = (seen.greatest.astype(np.float64) - seen.least).reshape(-1)
    return (spread > 0) & (spread < 1 / LARGEST)


def _table(rows: Rows, seen: ArraySummary, scale: tuple[float, ...]) -> Schema:
    """A table of unnamed numeric columns with missing cells."""
    place = rows.about.place
    if scale:
        raise ConfigError("data.range is for images and arrays; columns of a table have their own units.")
    if seen.least.dtype.kind == "f" and len(empty := np.flatnonzero(np.isnan(seen.least))):
        refuse(place, f"has no value in column {empty[0]} (counted from 0); remove such columns")
    _check_magnitude(place, seen.low, seen.high)
    for index in np.flatnonzero(_too_narrow(seen)).tolist():
        came = f"contains numbers that vary by less than {1 / LARGEST:g} in column {index} (counted from 0)"
        refuse(place, f"{came}; multiply the column")
    columns = tuple(
        Column(name=str(index), kind="numeric", offset=offset)
        for index, offset in enumerate(_float32_offsets(rows, seen))
    )
    return Schema(layout="table", shape=rows.shape[1:], dtype=rows.about.values.dtype.name, columns=columns)

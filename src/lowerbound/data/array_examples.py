"""Arrays and image files to examples, by a schema: shape, units and value range are checked.

Training infers a schema and reads its own data with it; every later reading, from the shell, Python or the service,
goes through `conform_array` with the schema stored in the run. Neither scale nor layout is guessed from new data.
Examples that do not fit are refused with their position or, with skip_broken, skipped and listed.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Shaped

from lowerbound.data.array_schema import OVERSHOOT, SIGNED, check_type
from lowerbound.data.examples import Collection, Examples, Given, Labels
from lowerbound.data.factors import encode_factors
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import format_shape, printable, refuse_mismatch
from lowerbound.foundation.errors import SchemaError
from lowerbound.foundation.schema import LARGEST, UNSCALED, Range, Schema

CHUNK = 1024
"""Images converted to other units at a time, because float64 needs eight bytes a pixel."""
FULL_RANGES: tuple[Range, ...] = (UNSCALED, SIGNED, (0.0, 255.0))
DIVIDED = "looks like pixels divided by {high:g}: pass {dtype} from 0 to {high:g}, or multiply by {high:g}"


def conform_array(raw: RawArray, schema: Schema, skip_broken: bool = False, given: Given | None = None) -> Collection:
    """The examples of an array in the form of `schema`; DataError with the position of what does not fit.

    `given` has the context of each example, for a conditional model.
    """
    given = given or Given()
    stored, problems = fitting(raw, schema, skip_broken)
    problems = {**given.problems, **problems}
    if given.problems and not skip_broken:
        raise SchemaError(f"{next(iter(given.problems.values()))}.")
    kept = np.setdiff1d(np.arange(len(stored)), list(problems))
    if problems and not len(kept):
        refuse_all(next(iter(problems.values())))
    examples = as_examples(stored[kept] if problems else stored, schema)
    labels = None if raw.labels is None else [raw.labels[index] for index in kept]
    positions, names = encode_labels(labels) if labels is not None else (None, ())
    factors, notes = encode_factors(raw.place, raw.factors, kept.tolist(), schema.conditions)
    ids = raw.ids or (tuple(map(str, range(len(stored)))) if problems else ())
    num_learned = len(stored) - raw.num_validation - raw.num_test
    return Collection(
        replace(examples, labels=positions, factors=factors, context=given.of(kept)),
        names,
        ids=tuple(ids[index] for index in kept) if ids else (),
        skipped=(*raw.skipped, *problems.values()),
        notes=(*raw.notes, *conversion_notes(raw, schema), *notes),
        resized_to=raw.resized_to,
        num_validation=int(((kept >= num_learned) & (kept < num_learned + raw.num_validation)).sum()),
        num_test=int((kept >= num_learned + raw.num_validation).sum()),
        schema=schema,
        is_from_images=raw.is_from_images,
        place=raw.place,
    )


def fitting(
    raw: RawArray, schema: Schema, skip_broken: bool = False
) -> tuple[Shaped[np.ndarray, "example *event"], dict[int, str]]:
    """The numbers in the schema's units, and the reason for each example that does not fit; DataError for the first
    unless broken ones are skipped.
    """
    check_type(raw)
    stored = _in_stored_units(raw, _shaped(raw, schema), schema)
    return stored, _problems(raw, stored, schema, skip_broken)


def as_examples(stored: Shaped[np.ndarray, "example *event"], schema: Schema) -> Examples:
    """Examples of numbers that fit."""
    return Examples(
        _in_memory(stored, schema),
        schema.range[1],
        layout=schema.layout,
        columns=schema.columns,
        min_value=schema.range[0],
    )


def refuse_all(reason: str) -> NoReturn:
    """SchemaError: no example fits."""
    raise SchemaError(f"none of the examples can be read; the first reason: {reason}")


def encode_labels(labels: Sequence[str | None]) -> tuple[Labels, tuple[str, ...]]:
    """Labels as indices from 0, and their names in order: numbers first, then other strings.

    A missing label becomes the label "(none)", which comes last.
    """
    written = ["(none)" if label is None else label for label in labels]
    names = sorted(set(written), key=_order)
    positions = {name: position for position, name in enumerate(names)}
    return np.array([positions[name] for name in written], np.int64), tuple(printable(name) for name in names)


def _order(label: str) -> tuple[int, float, str]:
    if label == "(none)":
        return 2, 0.0, label
    try:
        number = float(label)
    except ValueError:
        return 1, 0.0, label
    return (0, number, label) if math.isfinite(number) else (1, 0.0, label)


def _shaped(raw: RawArray, schema: Schema) -> Shaped[np.ndarray, "example *event"]:
    """The array with the axes of the schema; DataError where its shape differs."""
    values, shape = raw.values, schema.shape
    if values.ndim == 1 and len(shape) == 1 and shape[0] == 1:
        values = values[:, np.newaxis]
    if schema.layout == "image" and shape[2] == 1 and values.ndim == 3:
        values = values[..., np.newaxis]
    if schema.has_named_columns:
        names = ", ".join(repr(column.name) for column in schema.columns[:8])
        refuse_mismatch(
            raw.place, f"contains an array, but the model was trained on a table; give one with the columns {names}"
        )
    if values.ndim == 0 or values.shape[1:] != shape or not len(values):
        accepted = f"N×{format_shape(shape)}" + (f" or N×{format_shape(shape[:2])}" if shape[2:] == (1,) else "")
        hint = ""
        if schema.layout == "image" and values.shape[1:] == (shape[2], *shape[:2]):
            hint = "; it looks like N×C×H×W: array.transpose(0, 2, 3, 1)"
        came = "examples are" if values.size else "no examples:"
        refuse_mismatch(
            raw.place, f"{came} {format_shape(values.shape)}, but the model was trained on {accepted}{hint}"
        )
    return values


def _in_stored_units(
    raw: RawArray, values: Shaped[np.ndarray, "example *event"], schema: Schema
) -> Shaped[np.ndarray, "example *event"]:
    """The numbers in the run's units: white of image files becomes the run's full scale."""
    if not raw.is_from_images or is_same_scale(raw, schema):
        return values
    low, high = schema.range
    in_units = np.empty(values.shape, np.float32)
    for start in range(0, len(values), CHUNK):
        part = low + values[start : start + CHUNK] * (high - low) / raw.white
        in_units[start : start + CHUNK] = np.rint(part) if _has_levels_between(schema) else part
    return in_units


def _has_levels_between(schema: Schema) -> bool:
    """Whether converted numbers are rounded to integers; black-and-white runs refuse grey values."""
    return schema.is_integer and not (schema.support.is_binary and schema.binarisation == "none")


def is_same_scale(raw: RawArray, schema: Schema) -> bool:
    """Whether image files already contain numbers in the run's units.

    Image files without a white level are treated like arrays. More than 8 bits are in the run's units if it was trained
    on the same type: 12-bit images may be stored in 16 bits, so the white level is not reliable.
    """
    if not raw.white or schema.range == (0.0, raw.white):
        return True
    is_same_type = raw.values.dtype == schema.dtype
    if schema.size and is_same_type:  # trained on image files, whose scale was set or inferred
        return True
    return raw.white > 255 and (is_same_type or schema.range[1] > 255)


def _problems(
    raw: RawArray, stored: Shaped[np.ndarray, "example *event"], schema: Schema, skip_broken: bool
) -> dict[int, str]:
    """The reason for each example that does not fit; raised for the first unless broken ones are skipped."""
    checks = (_not_finite(stored, schema), _too_large(stored), _not_whole(stored, schema), _outside(stored, schema))
    problems: dict[int, str] = {}
    for is_wrong, accepted in checks:
        if is_wrong is None or not is_wrong.any():
            continue
        for index in np.flatnonzero(is_wrong.reshape(len(stored), -1).any(axis=1)).tolist():
            if index in problems:
                continue
            position = tuple(int(axis[0]) for axis in np.nonzero(is_wrong[index]))
            problems[index] = f"{raw.element(index, position[: raw.values.ndim - 1])}; {accepted}"
            if not skip_broken:
                raise SchemaError(f"{problems[index]}.")
    return problems


Check = tuple[Bool[np.ndarray, "example *event"] | None, str]


def _not_finite(stored: np.ndarray, schema: Schema) -> Check:
    if stored.dtype.kind != "f" or math.isfinite(float(stored.min()) + float(stored.max())):
        return None, ""
    if schema.layout == "table":
        return np.isinf(stored), "accepted: finite numbers, or NaN for a missing one"
    return ~np.isfinite(stored), "accepted: finite numbers"


def _too_large(stored: np.ndarray) -> Check:
    if -LARGEST < float(stored.min()) <= float(stored.max()) < LARGEST:
        return None, ""
    numbers = stored.astype(np.float64)
    return np.abs(numbers) >= LARGEST, "accepted: numbers below 1e18"


def _not_whole(stored: np.ndarray, schema: Schema) -> Check:
    if not schema.is_integer or stored.dtype.kind != "f":
        return None, ""
    high = schema.range[1]
    accepted = f"the model was trained on {schema.dtype}, whole numbers"
    known = stored[np.isfinite(stored)]
    if schema.is_scaled and known.size and known.min() >= 0 and known.max() <= 1:
        accepted = f"{accepted}; the array {DIVIDED.format(high=high, dtype=schema.dtype)}"
    return stored != np.rint(stored), accepted


def _outside(stored: np.ndarray, schema: Schema) -> Check:
    low, high = value_limits(schema)
    if low <= stored.min() and stored.max() <= high:
        return None, ""
    bottom, top = (low, high) if schema.is_integer else schema.range
    return (stored < low) | (stored > high), f"the model was trained on {schema.dtype} from {bottom:g} to {top:g}"


def value_limits(schema: Schema) -> Range:
    """The range of stored numbers that new data may have.

    The full scale where there is one: integers from 0, and images of floats on 0..1, -1..1 or 0..255 with the margin
    allowed in training. Other numbers are unlimited: unusual values are a matter for anomaly scores.
    """
    low, high = schema.range
    has_one = schema.support.low >= -OVERSHOOT and schema.support.high <= 1 + OVERSHOOT
    if schema.is_integer and schema.is_scaled and low == 0:
        return low, high
    if schema.dtype in ("bool", "uint8"):
        return 0.0, 1.0 if schema.dtype == "bool" or has_one else 255.0
    if schema.layout == "image" and has_one and schema.range in FULL_RANGES:
        margin = 0.0 if schema.is_integer else OVERSHOOT * (high - low)
        return low - margin, high + margin
    return -math.inf, math.inf


def _in_memory(stored: Shaped[np.ndarray, "example *event"], schema: Schema) -> Shaped[np.ndarray, "example *event"]:
    """The array as examples store it: bytes where all values fit, else float32, minus the offset."""
    fits_in_bytes = schema.is_integer and schema.is_scaled and schema.range[0] == 0 and schema.range[1] <= 255
    if schema.dtype in ("uint8", "bool") or fits_in_bytes:
        return stored.astype(np.uint8, copy=False)
    if schema.offsets:
        stored = stored.astype(np.float64) - np.array(schema.offsets).reshape(stored.shape[1:])
    return stored.astype(np.float32, copy=False)


def conversion_notes(raw: RawArray, schema: Schema) -> tuple[str, ...]:
    """A note on image files whose white is another number than in training."""
    if not raw.is_from_images or is_same_scale(raw, schema):
        return ()
    levels = ", rounded to whole numbers" if _has_levels_between(schema) else ""
    return (f"white, {raw.white:g} in the files, is read as {schema.range[1]:g}{levels}",)

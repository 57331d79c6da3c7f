"""Conversion of image files, table rows and lists of numbers to examples and back, in the run's stored units.

An image file of any size is resized and converted as the run's files were; white is full scale. Rows of a table are
objects with cells by column name, levels as strings, and null or no entry for a missing cell. Examples of other runs,
and images sent as numbers, are lists of stored numbers, N x H x W x C.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.column_writers import named_columns, records
from lowerbound.data.images import image_options
from lowerbound.data.raw_array import RawArray
from lowerbound.data.tables import RawTable, table_from_columns
from lowerbound.foundation.errors import DataError, TooLarge, UsageError
from lowerbound.foundation.schema import Column
from lowerbound.reporting.tiles import as_png, compose, displayable, fit_tiles
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.http.json_bodies import JsonObject, check_known, not_accepted, parse_json, validate
from lowerbound.serving.image_decoding import limit_of_pixels
from lowerbound.serving.service.cells import checked_cell
from lowerbound.serving.service.limits import Limits, check_json_length, check_num_examples
from lowerbound.serving.service.models import ServedModel
from lowerbound.serving.service.schemas import Rows
from lowerbound.serving.service.service import Service
from lowerbound.serving.service.validation import InputExamples, numbers_of, stored_examples

BODY = "the body"
JSON_START = 64  # bytes, within which JSON has begun unless it is blank
TILE_SIZE = 56  # pixels; smaller images are enlarged when several are shown
GAP = 2


def is_image(served: ServedModel, body: memoryview) -> bool:
    """Whether a body is read as an image file; no image format starts as a JSON list does."""
    return served.schema.has_pictures and bytes(body[:JSON_START]).lstrip()[:1] != b"["


async def read_image(
    service: Service, served: ServedModel, body: memoryview, given: Mapping[str, Any]
) -> InputExamples:
    """The image in a body, as one example."""
    options = replace(image_options(served.schema), limit=limit_of_pixels(service.limits.max_pixels))
    try:
        raw = await service.decode_image(BODY, bytes(body), options)
    except TooLarge as error:
        raise RequestError(413, str(error)) from None
    except DataError as error:
        # The decoder's details, in brackets, are left out.
        raise RequestError(422, f"{str(error).partition(' (')[0].rstrip('.')}.") from None
    notes = tuple(note.removeprefix("1 of 1 ") for note in raw.notes)
    try:
        return await service.in_thread(stored_examples, served, replace(raw, ids=(), notes=notes), given)
    except (DataError, UsageError) as error:
        raise RequestError(422, str(error)) from None


def read_examples(
    served: ServedModel, body: memoryview, limits: Limits, given: Mapping[str, Any] | None = None
) -> InputExamples:
    """The examples in a JSON body: rows or arrays."""
    check_json_length(len(body), limits.max_batch * _numbers_per_example(served))
    try:
        return stored_examples(served, _raw(served, parse_json(bytes(body)), limits.max_batch), given)
    except (DataError, UsageError) as error:
        raise RequestError(400, str(error)) from None


def examples_as_json(served: ServedModel, examples: np.ndarray) -> list[Any]:
    """Examples in stored units for JSON: rows by column name, others as nested lists of numbers."""
    if served.schema.has_named_columns:
        return list(records(named_columns(examples, served.schema.columns)))
    return list(_in_stored_units(served, examples).tolist())


def examples_as_png(examples: np.ndarray, as_tiles: bool) -> bytes:
    """Images as one PNG: enlarged tiles, or a single image as it is."""
    tiles = displayable(np.nan_to_num(examples).transpose(0, 2, 3, 1))
    if not as_tiles:
        return as_png(np.ascontiguousarray(tiles[0]))
    large = fit_tiles(tiles, max(TILE_SIZE, tiles.shape[2]), max(TILE_SIZE, tiles.shape[1]))
    return as_png(compose(large, int(np.ceil(np.sqrt(len(large)))), GAP))


def _raw(served: ServedModel, content: Any, max_batch: int) -> RawArray | RawTable:
    """JSON as stored numbers or cells."""
    examples = content if isinstance(content, list) else [content]
    check_num_examples(len(examples), max_batch)
    if served.schema.has_named_columns:
        columns = (*served.schema.columns, *served.schema.conditions)
        return _table(columns, len(served.schema.columns), validate(Rows, examples).root)
    if not isinstance(content, list):
        raise not_accepted(BODY, content, "a list")
    return RawArray(place=BODY, values=numbers_of(BODY, content, with_missing=served.layout == "table"))


def _table(columns: tuple[Column, ...], num_read: int, rows: Sequence[JsonObject]) -> RawTable:
    """Rows as a table; of the columns after `num_read`, which are conditions, those that are in a row."""
    names = [column.name for column in columns]
    for row in rows:
        for name in row:
            check_known("column", name, names)
    table = table_from_columns(
        Path(BODY),
        {column.name: [checked_cell(column, row.get(column.name)) for row in rows] for column in columns},
    )
    for name in [name for name in names[num_read:] if not any(name in row for row in rows)]:
        del table.columns[name]
    absent = [repr(name) for name in names[:num_read] if not any(name in row for row in rows)]
    notes = (f"columns in no row, read as missing: {', '.join(absent)}",) if absent else ()
    return replace(table, notes=(*table.notes, *notes))


def _in_stored_units(served: ServedModel, examples: np.ndarray) -> np.ndarray:
    """As stored_units.to_stored_units, but with numpy alone: see `load_runs` in models."""
    schema = served.schema
    low, high = schema.range
    stored = low + (high - low) * examples if schema.is_scaled else examples
    if schema.offsets:
        stored = stored.astype(np.float64) + np.array(schema.offsets).reshape(schema.shape)
    return np.moveaxis(stored, 1, -1) if schema.layout == "image" else stored


def _numbers_per_example(served: ServedModel) -> int:
    """The JSON length of an example, in numbers; a cell of a table has a name, and perhaps a level."""
    return math.prod(served.model.event_shape) * (8 if served.layout == "table" else 1)

"""What people send and get: image files, rows of a table and lists of numbers, in the run's stored units.

An image file of any size is read as the run's own files were; white is the run's full scale. Rows of a table are
objects of cells by the columns' names, levels as text, null or nothing where a cell is missing. Examples of other runs,
images too, are lists of stored numbers, N x H x W x C.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.column_writers import named_columns, records
from lowerbound.data.examples import RawArray
from lowerbound.data.tables import RawTable, table_from_columns
from lowerbound.foundation.errors import DataError, TooLarge
from lowerbound.foundation.schema import Column
from lowerbound.reporting.tiles import as_png, compose, displayable, fit_tiles
from lowerbound.runs.inputs import image_options
from lowerbound.serving.image_decoding import limit_of_pixels
from lowerbound.serving.service.cells import checked_cell
from lowerbound.serving.service.fields import Fields, as_list, as_object, known, parsed
from lowerbound.serving.service.limits import Limits, RequestError, check_json_length, check_num_examples
from lowerbound.serving.service.models import ServedModel
from lowerbound.serving.service.service import Service
from lowerbound.serving.service.validation import Sent, numbers_of, stored_examples

THE_BODY = "the body"
JSON_START = 64  # bytes, by which JSON that is not blank has begun
TILE_SIZE = 56  # pixels: smaller images are enlarged where several are shown
GAP = 2


def is_image(served: ServedModel, body: memoryview) -> bool:
    """Whether a body is to be read as an image file: none begins as JSON does."""
    return served.schema.has_pictures and bytes(body[:JSON_START]).lstrip()[:1] != b"["


async def read_image(service: Service, served: ServedModel, body: memoryview) -> Sent:
    """The image in a body."""
    options = replace(image_options(served.schema), limit=limit_of_pixels(service.limits.max_pixels))
    try:
        raw = await service.decoded(THE_BODY, bytes(body), options)
    except TooLarge as error:
        raise RequestError(413, str(error)) from None
    except DataError as error:
        # What a decoder says of damage, in brackets, is for the log of a command, not for somebody far away.
        raise RequestError(422, f"{str(error).partition(' (')[0].rstrip('.')}.") from None
    notes = tuple(note.removeprefix("1 of 1 ") for note in raw.notes)
    try:
        return await service.apart(stored_examples, served, replace(raw, ids=(), notes=notes))
    except DataError as error:
        raise RequestError(422, str(error)) from None


def read_examples(served: ServedModel, body: memoryview, limits: Limits) -> Sent:
    """The examples in a body of JSON: several rows or arrays."""
    check_json_length(len(body), limits.max_batch * _num_numbers(served))
    try:
        return stored_examples(served, _raw(served, parsed(bytes(body)), limits.max_batch))
    except DataError as error:
        raise RequestError(400, str(error)) from None


def written(served: ServedModel, examples: np.ndarray) -> list[Any]:
    """Examples in stored units as JSON has them: rows by their columns' names, everything else as lists of numbers."""
    if served.schema.has_named_columns:
        return list(records(named_columns(examples, served.schema.columns)))
    return list(_in_stored_units(served, examples).tolist())


def picture(examples: np.ndarray, as_tiles: bool) -> bytes:
    """Images as one PNG: tiles that are large enough to be looked at, or a single one as it is."""
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
        return _rows(served.schema.columns, [as_object(row, "a row") for row in examples])
    values = numbers_of(THE_BODY, as_list(content, THE_BODY), with_missing=served.layout == "table")
    return RawArray(place=THE_BODY, values=values)


def _rows(columns: tuple[Column, ...], rows: list[Fields]) -> RawTable:
    names = [column.name for column in columns]
    for row in rows:
        for name in row:
            known("column", name, names)
    table = table_from_columns(
        Path(THE_BODY),
        {column.name: [checked_cell(column, row.get(column.name)) for row in rows] for column in columns},
    )
    absent = [repr(name) for name in names if not any(name in row for row in rows)]
    notes = (f"columns in no row, read as missing: {', '.join(absent)}",) if absent else ()
    return replace(table, notes=(*table.notes, *notes))


def _in_stored_units(served: ServedModel, examples: np.ndarray) -> np.ndarray:
    """As stored_units.in_stored_units, by numpy alone: see `with_one_thread` in models."""
    schema = served.schema
    low, high = schema.range
    stored = low + (high - low) * examples if schema.is_scaled else examples
    if schema.offsets:
        stored = stored.astype(np.float64) + np.array(schema.offsets).reshape(schema.shape)
    return np.moveaxis(stored, 1, -1) if schema.layout == "image" else stored


def _num_numbers(served: ServedModel) -> int:
    """How many numbers one example is as long as; a cell of a table comes with its name, and perhaps a level."""
    return math.prod(served.model.event_shape) * (8 if served.layout == "table" else 1)

"""What people send and get: image files and rows of a table, in place of tensors.

An image file of any size is brought to the run's, colours and all, as training did with the run's own files. Rows of a
table are objects of cells by the columns' names, levels as text, null or nothing where a cell is missing. Examples of
other runs are lists of numbers.
"""

import math
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lowerbound.columns import named_columns, records
from lowerbound.data.images import AN_IMAGE, FORMATS, read_image_bytes
from lowerbound.data.rows import rows_of
from lowerbound.data.tables import from_values
from lowerbound.errors import DataError
from lowerbound.reporting.tiles import as_png, compose, displayable, fitted
from lowerbound.schema import Column
from lowerbound.serving.service.cells import checked_cell, no_cell
from lowerbound.serving.service.fields import Fields, as_list, as_object, known, parsed
from lowerbound.serving.service.limits import Limits, Refused, check_json_length, check_num_examples
from lowerbound.serving.service.models import Served
from lowerbound.serving.service.values import as_array, check_examples

THE_BODY = "the body"
TILE_SIZE = 56  # pixels: smaller images are enlarged where several are shown
GAP = 2


def read_examples(served: Served, body: memoryview, limits: Limits) -> np.ndarray:
    """The examples in a body: one image file, or JSON of several rows or arrays."""
    if served.has_pictures:
        x = _image(served, bytes(body), limits.max_pixels)
    else:
        check_json_length(len(body), limits.max_batch * _num_numbers(served))
        x = _numbers(served, parsed(bytes(body)), limits.max_batch)
    check_examples(served, x)
    return x


def written(served: Served, examples: np.ndarray) -> list[Any]:
    """Examples as JSON has them: rows by their columns' names, everything else as lists of numbers."""
    columns = served.model.config.columns
    return list(records(named_columns(examples, columns))) if columns else list(examples.tolist())


def picture(examples: np.ndarray, as_tiles: bool) -> bytes:
    """Images as one PNG: tiles that are large enough to be looked at, or a single one as it is."""
    tiles = displayable(np.nan_to_num(examples).transpose(0, 2, 3, 1))
    if not as_tiles:
        return as_png(np.ascontiguousarray(tiles[0]))
    large = fitted(tiles, max(TILE_SIZE, tiles.shape[2]), max(TILE_SIZE, tiles.shape[1]))
    return as_png(compose(large, int(np.ceil(np.sqrt(len(large)))), GAP))


def _image(served: Served, content: bytes, max_pixels: int) -> np.ndarray:
    width, height = _size(content)
    if width * height > max_pixels:
        raise Refused(413, f"the image has {width:,} × {height:,} pixels, accepted are {max_pixels:,} in all.")
    try:
        examples = read_image_bytes(THE_BODY, content, served.images).examples
    except DataError as error:
        # What a decoder says of damage, in brackets, is for the log of a command, not for somebody far away.
        raise Refused(422, f"{str(error).partition(' (')[0].rstrip('.')}.") from None
    # By numpy alone: see `with_one_thread` in models.
    values = examples.values.transpose(0, 3, 1, 2).astype(np.float32)
    return np.ascontiguousarray(values / np.float32(examples.max_value))


def _size(content: bytes) -> tuple[int, int]:
    """Width and height as the head of an image file has them: nothing is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a size that is looked at here
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                return image.size
    except Image.DecompressionBombError:
        raise Refused(413, "the image claims more pixels than any that is accepted.") from None
    except Exception:  # damage makes decoders raise nearly anything
        raise Refused(422, f"{THE_BODY} is not {AN_IMAGE}, or it is damaged; send the file as it is.") from None


def _numbers(served: Served, content: Any, max_batch: int) -> np.ndarray:
    examples = content if isinstance(content, list) else [content]
    check_num_examples(len(examples), max_batch)
    if served.model.config.columns:
        return _rows(served.model.config.columns, [as_object(row, "a row") for row in examples])
    shape = (len(examples), *served.model.event_shape)
    return as_array(THE_BODY, as_list(content, THE_BODY), np.dtype(np.float32), shape, with_missing=False)


def _rows(columns: tuple[Column, ...], rows: list[Fields]) -> np.ndarray:
    names = [column.name for column in columns]
    for row in rows:
        for name in row:
            known("column", name, names)
    cells = {column.name: [checked_cell(column, row.get(column.name)) for row in rows] for column in columns}
    try:
        table = from_values(Path(THE_BODY), cells)
    except DataError as error:
        raise Refused(400, str(error)) from None
    values = rows_of(table, columns)
    for index, column in enumerate(columns):
        # In a file what a column cannot hold counts as missing; whoever sends a row wants to be told.
        for sent, cell, value in zip(cells[column.name], table.columns[column.name], values[:, index], strict=True):
            if cell is not None and np.isnan(value):
                raise no_cell(column, sent)
    return values


def _num_numbers(served: Served) -> int:
    """How many numbers one example is as long as; a cell of a table comes with its name, and perhaps a level."""
    return math.prod(served.model.event_shape) * (8 if served.model.config.columns else 1)

"""An image that someone drops on the page, as the run's model sees it."""

from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from lowerbound.data.examples import Examples
from lowerbound.data.files import ReadingOptions, as_collection
from lowerbound.data.images import AN_IMAGE, FORMATS, read_image_bytes
from lowerbound.data.reading import reading, refuse
from lowerbound.errors import DataError
from lowerbound.inputs import image_options
from lowerbound.serving.explorer.space import Space
from lowerbound.support import binarised_like

NAME = "the image"
MAX_BYTES = 20 * 2**20


@dataclass(frozen=True, eq=False)
class Upload:
    """One example, and what was done to it on the way."""

    examples: Examples
    notes: tuple[str, ...]
    problem: str = ""  # why log p(x|z) has no meaning for it; empty where it has one


def read_upload(space: Space, content: bytes) -> Upload:
    """The image in a file's bytes, resized, coloured and scaled as the run's own files were: white is its full scale.

    DataError for what is not an image, is damaged, or does not fit.
    """
    _check_format(content)
    raw = read_image_bytes(NAME, content, image_options(space.schema))
    notes = [note.removeprefix("1 of 1 ") for note in raw.notes]
    if space.model.event_shape[0] == 1 and _is_coloured(content):
        notes.append("converted to grey")
    raw = replace(raw, ids=(), notes=tuple(notes))
    collection = binarised_like(as_collection(raw, ReadingOptions(schema=space.schema)), space.schema)
    try:
        space.trained.supported(collection)
    except DataError as error:
        return Upload(collection.examples, collection.notes, str(error))
    return Upload(collection.examples, collection.notes)


def _check_format(content: bytes) -> None:
    """DataError for what is in none of the formats; Pillow's own words for that name a place in memory."""
    with reading(NAME, AN_IMAGE), suppress(UnidentifiedImageError), Image.open(BytesIO(content), formats=FORMATS):
        return
    refuse(NAME, f"is not {AN_IMAGE}")


def _is_coloured(content: bytes) -> bool:
    with Image.open(BytesIO(content)) as image:
        return image.mode not in ("1", "L", "LA", "La") and not image.mode.startswith("I")

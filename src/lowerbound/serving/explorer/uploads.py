"""An image that someone drops on the page, as the run's model sees it."""

from dataclasses import dataclass, replace

from lowerbound.data.examples import Examples, RawArray
from lowerbound.data.files import ReadingOptions, to_collection
from lowerbound.data.images import ImageOptions
from lowerbound.foundation.errors import DataError
from lowerbound.models.support import binarised_like
from lowerbound.runs.inputs import image_options
from lowerbound.serving.explorer.loaded_run import Space
from lowerbound.serving.image_decoding import MAX_PIXELS, limit_of_pixels

NAME = "the image"
MAX_BYTES = 20 * 2**20
MAX_WAIT = 30.0  # seconds until a file has had its turn


@dataclass(frozen=True, eq=False)
class Upload:
    """One example, and what was done to it on the way."""

    examples: Examples
    notes: tuple[str, ...]
    problem: str = ""  # why log p(x|z) has no meaning for it; empty where it has one


def upload_options(space: Space) -> ImageOptions:
    """How an image file is read for a run: resized and coloured as its own, within limits that no setting raises."""
    return replace(image_options(space.schema), limit=limit_of_pixels(MAX_PIXELS))


def read_upload(space: Space, raw: RawArray) -> Upload:
    """An image's pixels, resized, coloured and scaled as the run's own files were: white is its full scale.

    DataError for what does not fit.
    """
    notes = tuple(note.removeprefix("1 of 1 ") for note in raw.notes)
    collection = to_collection(replace(raw, ids=(), notes=notes), ReadingOptions(schema=space.schema))
    collection = binarised_like(collection, space.schema)
    try:
        space.trained.supported(collection)
    except DataError as error:
        return Upload(collection.examples, collection.notes, str(error))
    return Upload(collection.examples, collection.notes)

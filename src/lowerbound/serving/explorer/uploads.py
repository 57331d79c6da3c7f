"""Images uploaded on the page, read by the run's schema."""

from dataclasses import dataclass, replace

from lowerbound.data.examples import Examples
from lowerbound.data.files import ReadingOptions, to_collection
from lowerbound.data.images import ImageOptions, image_options
from lowerbound.data.raw_array import RawArray
from lowerbound.foundation.errors import DataError
from lowerbound.models.support import binarise_as_run
from lowerbound.serving.explorer.loaded_run import LoadedRun
from lowerbound.serving.image_decoding import MAX_PIXELS, limit_of_pixels
from lowerbound.serving.loaded_model import first_values

NAME = "the image"
MAX_BYTES = 20 * 2**20
MAX_WAIT = 30.0  # seconds until a file is decoded


@dataclass(frozen=True, eq=False)
class Upload:
    """One example, and notes on how it was read."""

    examples: Examples
    notes: tuple[str, ...]
    problem: str = ""  # why log p(x|z) is undefined for it; empty if it is defined


def upload_options(loaded: LoadedRun) -> ImageOptions:
    """How an image file is read for a run: resized and converted as its data were, within fixed limits."""
    return replace(image_options(loaded.schema), limit=limit_of_pixels(MAX_PIXELS))


def read_upload(loaded: LoadedRun, raw: RawArray) -> Upload:
    """An image's pixels, resized, converted and scaled as the run's files were: white is full scale.

    DataError for an image that does not fit.
    """
    notes = tuple(note.removeprefix("1 of 1 ") for note in raw.notes)
    given = first_values(loaded.model) | dict(loaded.values)
    options = ReadingOptions(schema=loaded.schema, given=given)
    collection = to_collection(replace(raw, ids=(), notes=notes), options)
    collection = binarise_as_run(collection, loaded.schema)
    try:
        loaded.trained.supported(collection)
    except DataError as error:
        return Upload(collection.examples, collection.notes, str(error))
    return Upload(collection.examples, collection.notes)

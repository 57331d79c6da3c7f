"""Numbers that someone sent, as examples of a run's model; or refused, with the place of the first that does not fit.

    stored numbers   integer tensors, image files, lists and rows: read by the run's schema, as files are
    as the model     FP32 tensors: what the bare module takes

All pass the check that every door has (support.py). A request is read while the compute thread is at work, and there
torch must not start threads of its own (see `with_one_thread` in models): numpy finds the least and the greatest
number, which decide for most likelihoods, and torch looks at the others slice by slice.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lowerbound.data.examples import Collection, Examples, RawArray, to_model_scale
from lowerbound.data.files import ReadingOptions, to_collection
from lowerbound.data.tables import RawTable
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import UNSCALED, Range, Schema, Support
from lowerbound.models.support import binarised_like, supported, unsupported
from lowerbound.probability.likelihoods import Likelihood
from lowerbound.serving.service.limits import RequestError
from lowerbound.serving.service.models import ServedModel

NUMBERS = {int, float}
MAX_CODE = 1e6
"""Of a latent's absolute value: priors reach to 6 or so, and beyond this networks overflow."""

SLICE = 2**14
"""Elements that are looked at together: torch computes fewer than 32,768 in the thread that asks."""


@dataclass(frozen=True, eq=False)
class Sent:
    """Examples of one request, their axes as torch has them, and what was done to them."""

    x: np.ndarray
    range: Range = UNSCALED  # the numbers in x that the model sees as 0 and 1
    notes: tuple[str, ...] = ()


def stored_examples(served: ServedModel, raw: RawArray | RawTable) -> Sent:
    """Stored numbers or cells as the run's schema has them; DataError for what does not fit."""
    collection = to_collection(raw, ReadingOptions(schema=served.schema))
    return _as_sent(checked(collection, served.model.likelihood, served.schema))


def stored_tensor(served: ServedModel, place: str, x: np.ndarray) -> Sent:
    """An integer tensor in torch's layout, its numbers in stored units; DataError for what does not fit."""
    if _are_bytes_as_stored(served, x):
        return Sent(x, served.schema.range)
    values = np.moveaxis(x, 1, -1) if served.layout == "image" else x
    return stored_examples(served, RawArray(place=place, values=values))


def seen_tensor(served: ServedModel, place: str, x: np.ndarray) -> Sent:
    """A tensor as the bare module takes it; DataError for values that the likelihood has no meaning for."""
    if _are_extremes_enough(Examples(x, 1.0, layout=served.layout), served.model.likelihood, served.schema):
        return Sent(x)
    is_binarised = served.schema.binarisation != "none"
    # In messages an element's place is that in the tensor; what is binarised by content has the axes of stored images.
    layout = "array" if served.layout == "image" and not is_binarised else served.layout
    schema = replace(served.schema, layout=layout, range=UNSCALED, offset=())
    values = np.moveaxis(x, 1, -1) if layout == "image" else x
    examples = Examples(values, 1.0, layout=layout, columns=schema.columns)
    return _as_sent(checked(Collection(examples, place=place), served.model.likelihood, schema))


def checked(collection: Collection, likelihood: Likelihood, schema: Schema) -> Collection:
    """The examples, grey pixels of a binarised run binarised by content; DataError for what cannot be scored."""
    if first_unsupported(collection.examples, likelihood, schema) is None:
        return collection
    collection = binarised_like(collection, schema)
    index = first_unsupported(collection.examples, likelihood, schema)
    if index is not None:
        one = collection.examples.subset(np.array([index]))
        supported(replace(collection, examples=one, ids=(f"example {index}",)), likelihood, schema)
    return collection


def first_unsupported(examples: Examples, likelihood: Likelihood, schema: Schema) -> int | None:
    """The number of the first example that log p(x|z) has no meaning for; None where it has one for all."""
    if _are_extremes_enough(examples, likelihood, schema):
        return None
    is_table = examples.layout == "table"
    # But for a table, whose columns differ, each element counts by itself.
    values = examples.values if is_table else examples.values.reshape(-1)
    num_at_once = SLICE // examples.values.shape[1] or 1 if is_table else SLICE
    for start in range(0, len(values), num_at_once):
        x = torch.from_numpy(to_model_scale(values[start : start + num_at_once], examples.range))
        is_wrong = unsupported(likelihood, schema, x).reshape(len(x), -1).any(axis=1)
        if is_wrong.any():
            place = start + int(is_wrong.argmax())
            return place if is_table else place * len(examples) // values.size
    return None


def as_array(name: str, data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], with_missing: bool) -> np.ndarray:
    """JSON numbers, flat or nested, as an array of that shape; null is NaN where cells may be missing."""
    values = numbers_of(name, data, with_missing)
    if values.shape != shape and values.shape != (int(np.prod(shape)),):
        raise RequestError(
            400, f"the data of {name!r} have the shape {values.shape}; accepted is {shape}, or that flat."
        )
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not ((values == np.rint(values)) & (values >= limits.min) & (values <= limits.max)).all():
            raise RequestError(400, f"the data of {name!r} are not whole numbers from {limits.min} to {limits.max}.")
    with np.errstate(over="ignore"):  # infinity is refused where it cannot be taken
        return values.astype(dtype).reshape(shape)


def numbers_of(name: str, data: Any, with_missing: bool = False) -> np.ndarray:
    """JSON numbers as an array in double precision; null is NaN where values may be missing."""
    if not isinstance(data, list):
        raise RequestError(400, f"the data of {name!r} are a {type(data).__name__}; accepted is a list of numbers.")
    # Looked at before numpy is: it would take texts for numbers, and make room for the longest in every cell.
    _check_numbers(name, data, NUMBERS | {type(None)} if with_missing else NUMBERS)
    try:
        return np.array(data, np.float64)
    except (ValueError, OverflowError):
        reason = "lists of different lengths, or a number too large; accepted are nested lists of equal lengths"
        raise RequestError(400, f"the data of {name!r} have {reason}.") from None


def check_codes(z: np.ndarray) -> None:
    """Refuse latents that no decoder can take."""
    if not (np.abs(z) <= MAX_CODE).all():  # so that NaN is refused, too
        raise RequestError(400, f"z has values that are not numbers between -{MAX_CODE:,.0f} and {MAX_CODE:,.0f}.")


def _as_sent(collection: Collection) -> Sent:
    examples = collection.examples
    x = examples.values
    if examples.layout == "image":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    return Sent(x, examples.range, collection.notes)


def _are_bytes_as_stored(served: ServedModel, x: np.ndarray) -> bool:
    """Whether bytes are the run's own at a glance; what is not is read by the schema, which takes longer."""
    schema = served.schema
    low, high = schema.range
    if x.dtype != np.uint8 or schema.dtype != "uint8" or low != 0 or x.max() > high:
        return False
    return _are_extremes_enough(Examples(x, high), served.model.likelihood, schema)


def _are_extremes_enough(examples: Examples, likelihood: Likelihood, schema: Schema) -> bool:
    """Whether the least and the greatest value tell that all have a meaning: so of likelihoods of an interval."""
    if schema.support.is_binary or examples.layout == "table":
        return False
    extremes = np.array([examples.values.min(), examples.values.max()])
    low, high = to_model_scale(extremes, examples.range).tolist()
    try:
        likelihood.convention(Support(low, high))
    except DataError:
        return False
    return True


def _check_numbers(name: str, data: list[Any], accepted: set[type]) -> None:
    parts = [data]
    while parts:
        part = parts.pop()
        kinds = set(map(type, part))
        if kinds == {list}:
            parts.extend(part)
        elif not kinds <= accepted:
            others = ", ".join(sorted(kind.__name__ for kind in kinds - accepted))
            raise RequestError(400, f"the data of {name!r} hold {others}; accepted are numbers.")

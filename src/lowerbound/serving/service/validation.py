"""Validation of the numbers in a request: read as examples of the model, or refused at the first invalid number.

    stored units     integer tensors, image files, lists and rows: read by the run's schema, as files are
    model scale      FP32 tensors: what the torch module takes

All pass the same check as other inputs (models/support.py). Requests are read while another thread computes, and torch
must not start threads of its own for it (see `load_runs` in models): numpy finds the minimum and maximum, which
are sufficient for most likelihoods, and torch checks the others slice by slice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lowerbound.data.conditions import context_rows, resolved
from lowerbound.data.examples import Collection, Examples, to_model_scale
from lowerbound.data.files import ReadingOptions, to_collection
from lowerbound.data.raw_array import RawArray
from lowerbound.data.tables import RawTable
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.foundation.schema import UNSCALED, Range, Schema, Support
from lowerbound.models.support import binarise_as_run, supported_examples, unsupported_values
from lowerbound.models.vae import VAE
from lowerbound.probability.likelihoods import Likelihood
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.http.json_bodies import shown, values_given
from lowerbound.serving.service.models import ServedModel

NUMBERS = {int, float}
JSON_TYPES = {str: "strings", bool: "true or false", type(None): "null", dict: "objects", list: "lists"}
MAX_LATENT = 1e6
"""Maximum of a latent's absolute value; far outside of any prior, and networks overflow beyond it."""

SLICE = 2**14
"""Elements checked at once: torch computes fewer than 32,768 in the calling thread."""


@dataclass(frozen=True, eq=False)
class InputExamples:
    """Examples of one request, with torch's axes, and notes on how they were read."""

    x: np.ndarray
    range: Range = UNSCALED  # the stored numbers in x that are 0 and 1 for the model
    notes: tuple[str, ...] = ()
    context: np.ndarray | None = None  # of a conditional model


def stored_examples(
    served: ServedModel, raw: RawArray | RawTable, given: Mapping[str, Any] | None = None
) -> InputExamples:
    """Stored numbers or cells, read by the run's schema; DataError for what does not fit.

    `given` are values of a conditional model's conditions; without them those of columns are read.
    """
    collection = to_collection(raw, ReadingOptions(schema=served.schema, given=given or {}))
    return _input_examples(checked(collection, served.model.likelihood, served.schema))


def check_context(served: ServedModel, context: np.ndarray | None, num: int) -> None:
    """Refuse a context that the model does not know, and one of another number of examples."""
    names = ", ".join(repr(column.name) for column in served.model.conditions)
    if served.model.encoding is None:
        return
    if context is None:
        raise RequestError(400, f"input 'context' is missing: the model is conditional on {names}.")
    if len(context) != num:
        raise RequestError(
            400, f"input 'context' has {len(context):,} rows; accepted: one for each of {num:,} examples."
        )
    try:
        served.model.encoding.check(torch.from_numpy(context))
    except DataError as error:
        raise RequestError(400, str(error)) from None


def context_given(served: ServedModel, text: str, num: int, in_turn: bool = False) -> np.ndarray | None:
    """The context of `num` examples from values of conditions, a JSON object as text; None for an unconditional model.

    With `in_turn` and an empty text, examples get the levels of a single condition in turn.

    RequestError for values that are missing or not known.
    """
    values = values_given(text) or (served.trained.levels_in_turn(num) if in_turn else {})
    if not (served.schema.conditions or values):
        return None
    try:
        resolved(served.schema, values)
        return context_rows(served.schema, values, num)
    except (DataError, UsageError) as error:
        raise RequestError(400, str(error)) from None


def stored_tensor(served: ServedModel, place: str, x: np.ndarray) -> InputExamples:
    """An integer tensor with torch's axes, in stored units; DataError for what does not fit."""
    if _are_bytes_as_stored(served, x):
        return InputExamples(x, served.schema.range)
    values = np.moveaxis(x, 1, -1) if served.layout == "image" else x
    schema = replace(served.schema, conditions=())  # the context is another input
    collection = to_collection(RawArray(place=place, values=values), ReadingOptions(schema=schema))
    return _input_examples(checked(collection, served.model.likelihood, schema))


def model_scale_tensor(served: ServedModel, place: str, x: np.ndarray) -> InputExamples:
    """A tensor on the model's scale; DataError for values outside the likelihood's support."""
    if _are_extremes_enough(Examples(x, 1.0, layout=served.layout), served.model.likelihood, served.schema):
        return InputExamples(x)
    is_binarised = served.schema.binarisation != "none"
    # Messages give the place in the tensor; binarisation needs the axes of stored images.
    layout = "array" if served.layout == "image" and not is_binarised else served.layout
    schema = replace(served.schema, layout=layout, range=UNSCALED, offset=())
    values = np.moveaxis(x, 1, -1) if layout == "image" else x
    examples = Examples(values, 1.0, layout=layout, columns=schema.columns)
    return _input_examples(checked(Collection(examples, place=place), served.model.likelihood, schema))


def checked(collection: Collection, likelihood: Likelihood, schema: Schema) -> Collection:
    """The examples, with grey pixels binarised if the run's are; DataError for what cannot be scored."""
    if first_unsupported(collection.examples, likelihood, schema) is None:
        return collection
    collection = binarise_as_run(collection, schema)
    index = first_unsupported(collection.examples, likelihood, schema)
    if index is not None:
        one = collection.examples.subset(np.array([index]))
        supported_examples(replace(collection, examples=one, ids=(f"example {index}",)), likelihood, schema)
    return collection


def first_unsupported(examples: Examples, likelihood: Likelihood, schema: Schema) -> int | None:
    """The index of the first example for which log p(x|z) is undefined; None if there is none."""
    if _are_extremes_enough(examples, likelihood, schema):
        return None
    is_table = examples.layout == "table"
    # Except in a table, whose columns differ, elements are checked independently.
    values = examples.values if is_table else examples.values.reshape(-1)
    num_at_once = SLICE // examples.values.shape[1] or 1 if is_table else SLICE
    for start in range(0, len(values), num_at_once):
        x = torch.from_numpy(to_model_scale(values[start : start + num_at_once], examples.range))
        is_wrong = unsupported_values(likelihood, schema, x).reshape(len(x), -1).any(axis=1)
        if is_wrong.any():
            place = start + int(is_wrong.argmax())
            return place if is_table else place * len(examples) // values.size
    return None


def as_array(name: str, data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], with_missing: bool) -> np.ndarray:
    """JSON numbers, flat or nested, as an array of a shape; null becomes NaN if cells may be missing."""
    values = numbers_of(name, data, with_missing)
    if values.shape != shape and values.shape != (int(np.prod(shape)),):
        raise RequestError(
            400,
            f"the data of {name!r} have the shape {values.shape}; accepted: {shape}, or a flat list of as many.",
        )
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not ((values == np.rint(values)) & (values >= limits.min) & (values <= limits.max)).all():
            raise RequestError(400, f"the data of {name!r} are not whole numbers from {limits.min} to {limits.max}.")
    with np.errstate(over="ignore"):  # infinity is refused later if the model does not accept it
        return values.astype(dtype).reshape(shape)


def numbers_of(name: str, data: Any, with_missing: bool = False) -> np.ndarray:
    """JSON numbers as an array in double precision; null becomes NaN if values may be missing."""
    if not isinstance(data, list):
        raise RequestError(400, f"the data of {name!r} are {shown(data)}; accepted: a list of numbers.")
    # Checked before numpy reads them, which would convert strings, and reserve the longest length for each.
    _check_numbers(name, data, NUMBERS | {type(None)} if with_missing else NUMBERS)
    try:
        return np.array(data, np.float64)
    except (ValueError, OverflowError):
        reason = "lists of different lengths, or a number too large; accepted: nested lists of equal lengths"
        raise RequestError(400, f"the data of {name!r} have {reason}.") from None


def check_latents(model: VAE, z: np.ndarray) -> None:
    """Refuse latents that are NaN or too large for a decoder, or do not lie in the model's space."""
    if not (np.abs(z) <= MAX_LATENT).all():  # so that NaN is refused, too
        raise RequestError(400, f"z has values that are not numbers between -{MAX_LATENT:,.0f} and {MAX_LATENT:,.0f}.")
    if problem := model.space.problem(torch.from_numpy(z)):
        raise RequestError(400, f"z: {problem}.")


def _input_examples(collection: Collection) -> InputExamples:
    examples = collection.examples
    x = examples.values
    if examples.layout == "image":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    return InputExamples(x, examples.range, collection.notes, examples.context)


def _are_bytes_as_stored(served: ServedModel, x: np.ndarray) -> bool:
    """A fast check whether a tensor has the run's own bytes; others are read by the schema, which takes longer."""
    schema = served.schema
    low, high = schema.range
    if x.dtype != np.uint8 or schema.dtype != "uint8" or low != 0 or x.max() > high:
        return False
    return _are_extremes_enough(Examples(x, high), served.model.likelihood, schema)


def _are_extremes_enough(examples: Examples, likelihood: Likelihood, schema: Schema) -> bool:
    """Whether minimum and maximum show that all values are supported, as for likelihoods on an interval."""
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
            others = ", ".join(sorted(JSON_TYPES.get(kind, kind.__name__) for kind in kinds - accepted))
            raise RequestError(400, f"the data of {name!r} contain {others}; accepted: numbers.")

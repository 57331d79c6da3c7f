"""The levels of examples, whole numbers from 0 on, and the way back to exactly the values that were given.

What was resized, or lies between two levels, cannot be given back, and is refused.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from lowerbound.data.examples import Collection
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import Schema
from lowerbound.models.vae import VAE
from lowerbound.probability.likelihoods import BernoulliLikelihood, CountLikelihood, LevelLikelihood

Levels = Int64[np.ndarray, "example element"]


@dataclass(frozen=True)
class Units:
    """How levels are stored: the value of level 0 and of the last, the type, and the shape of one example."""

    low: float
    high: float
    num_levels: int
    dtype: str
    shape: tuple[int, ...]  # of an example as it was given
    is_image: bool  # elements are channels first for the model, and last in what was given

    def restored(self, levels: Levels, event_shape: tuple[int, ...]) -> np.ndarray:
        """The values as they were given."""
        values = self.low + levels * (self.high - self.low) / (self.num_levels - 1)
        shaped = values.reshape(-1, *event_shape)
        if self.is_image:
            shaped = np.moveaxis(shaped, 1, -1)
        dtype = np.dtype(self.dtype)
        whole = np.rint(shaped) if dtype.kind in "iub" else shaped
        return whole.astype(dtype).reshape(-1, *self.shape)


def levels_of(collection: Collection, model: VAE, schema: Schema, given: np.ndarray | None) -> tuple[Levels, Units]:
    """The levels of examples and their units; `given` is the array that they come from, if they come from one.

    DataError for what cannot be restored from levels.
    """
    examples, likelihood = collection.examples, model.likelihood
    if collection.resized_to:
        size = "×".join(map(str, collection.resized_to))
        raise DataError(
            f"some images were resized to {size}, so that they could not be given back; compress images of that size."
        )
    if given is None and collection.notes:
        raise DataError(
            f"examples were changed when they were read ({'; '.join(collection.notes)}), so that they could not be "
            "given back; compress examples that need no conversion."
        )
    if given is not None and given.dtype.kind not in "biuf":
        raise DataError(f"the array has the type {given.dtype}; compress one of numbers or booleans.")
    stored = np.asarray(examples.values)
    if examples.is_redrawn and not np.isin(stored, examples.range).all():
        raise DataError(
            "the run draws binary pixels from grey ones, which could not be given back; give images whose pixels are "
            f"{examples.min_value:g} and {examples.max_value:g} only."
        )
    is_count = isinstance(likelihood, CountLikelihood)
    num_levels = _num_levels(model, stored)
    low, high = (0.0, float(num_levels - 1)) if is_count else examples.range
    levels = np.rint((stored.astype(np.float64) - low) / (high - low) * (num_levels - 1)).astype(np.int64)
    is_within = ((levels >= 0) & (levels < num_levels)).all()
    again = (low + levels * (high - low) / (num_levels - 1)).astype(stored.dtype)
    if not is_within or not np.array_equal(again, stored):
        raise _off_levels(low, high, num_levels)
    if schema.binarisation != "none":
        low, high = schema.range  # of the pixels that were read; the examples are 0 and 1
    is_image = examples.layout == "image"
    flat = (np.moveaxis(levels, -1, 1) if is_image else levels).reshape(len(levels), -1)
    dtype = np.dtype(schema.dtype or stored.dtype).newbyteorder("<").str
    if given is None:
        return flat, Units(low, high, num_levels, dtype, tuple(schema.shape), is_image)
    is_one = given.size == math.prod(model.event_shape) and given.ndim <= len(schema.shape)
    shape = tuple(given.shape if is_one else given.shape[1:])
    has_channels_first = shape == tuple(model.event_shape) != tuple(schema.shape)
    units = Units(low, high, num_levels, given.dtype.str, shape, is_image and not has_channels_first)
    if not np.array_equal(units.restored(flat, model.event_shape).reshape(given.shape), given):
        raise _off_levels(low, high, num_levels)
    return flat, units


def _num_levels(model: VAE, stored: np.ndarray) -> int:
    likelihood = model.likelihood
    if isinstance(likelihood, LevelLikelihood):
        return likelihood.num_levels
    if isinstance(likelihood, BernoulliLikelihood):
        return 2
    return max(2, int(stored.max(initial=0)) + 1)


def _off_levels(low: float, high: float, num_levels: int) -> DataError:
    return DataError(
        f"some values are not on the {num_levels} even levels from {low:g} to {high:g} to which the model gives "
        "probabilities, so that they could not be given back; compress values on them."
    )

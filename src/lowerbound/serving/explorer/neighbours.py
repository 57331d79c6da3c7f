"""Which examples look most alike: the least Euclidean distances between values, exactly."""

import numpy as np
from jaxtyping import Float, Float32

from lowerbound.data.examples import Examples
from lowerbound.serving.explorer.latents import NUM_NEIGHBOURS, nearest
from lowerbound.serving.explorer.points import Dataset

CHUNK_VALUES = 2**16
"""Values that are compared at once: so many stay in the processor's cache."""


def nearest_pixels(
    points: Dataset, x: Float[np.ndarray, " value"], num: int = NUM_NEIGHBOURS
) -> list[tuple[int, float]]:
    """Index and distance of the points nearest to `x`, an example as the model sees it in the data's axes."""
    squared = np.concatenate([_squared_distances(part, x) for part in points.parts])
    return [(index, float(np.sqrt(value))) for index, value in nearest(squared, num)]


def _squared_distances(part: Examples, x: Float[np.ndarray, " value"]) -> Float32[np.ndarray, " n"]:
    """Of each example to `x`, on the model's scale."""
    values = part.values.reshape(len(part), -1)
    low, high = (np.float32(end) for end in part.range)
    wanted = low + x.astype(np.float32) * (high - low)
    rows = max(1, CHUNK_VALUES // values.shape[1])
    squared = np.empty(len(values), np.float32)
    for start in range(0, len(values), rows):
        # The differences themselves: products of the two would cancel where examples are alike.
        difference = values[start : start + rows].astype(np.float32) - wanted
        squared[start : start + rows] = np.einsum("nv,nv->n", difference, difference)
    return squared / (high - low) ** 2

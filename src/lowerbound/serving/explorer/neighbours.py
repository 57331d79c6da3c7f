"""Nearest neighbours by exact Euclidean distance: in latent space, and between the values of examples."""

import numpy as np
from jaxtyping import Float, Float32

from lowerbound.data.examples import Examples
from lowerbound.serving.explorer.latents import Latents
from lowerbound.serving.explorer.points import Dataset

NUM_NEIGHBOURS = 8
CHUNK_VALUES = 2**16
"""Values compared at once: few enough to stay in the processor's cache."""


def nearest_latents(
    latents: Latents, z: Float[np.ndarray, " latent"], num: int = NUM_NEIGHBOURS
) -> list[tuple[int, float]]:
    """Index and distance of the examples whose posterior means are nearest to z, nearest first."""
    distances = np.linalg.norm(latents.mean - z.astype(np.float32), axis=1)
    return smallest(distances, num)


def nearest_pixels(
    points: Dataset, x: Float[np.ndarray, " value"], num: int = NUM_NEIGHBOURS
) -> list[tuple[int, float]]:
    """Index and distance of the examples nearest to `x`, which is on the model's scale, with the axes of the data."""
    squared = np.concatenate([_squared_distances(part, x) for part in points.parts])
    return [(index, float(np.sqrt(value))) for index, value in smallest(squared, num)]


def smallest(distances: Float[np.ndarray, " n"], num: int) -> list[tuple[int, float]]:
    """The `num` smallest distances with their indices; ties in the order of the indices."""
    num = min(num, len(distances))
    chosen = np.argpartition(distances, num - 1)[:num]
    chosen = chosen[np.lexsort((chosen, distances[chosen]))]
    return [(int(index), float(distances[index])) for index in chosen]


def _squared_distances(part: Examples, x: Float[np.ndarray, " value"]) -> Float32[np.ndarray, " n"]:
    """The squared distance of each example to `x`, on the model's scale."""
    values = part.values.reshape(len(part), -1)
    low, high = (np.float32(end) for end in part.range)
    stored = low + x.astype(np.float32) * (high - low)
    rows = max(1, CHUNK_VALUES // values.shape[1])
    squared = np.empty(len(values), np.float32)
    for start in range(0, len(values), rows):
        # Differences, not the expanded square, whose terms would cancel for similar examples.
        difference = values[start : start + rows].astype(np.float32) - stored
        squared[start : start + rows] = np.einsum("nv,nv->n", difference, difference)
    return squared / (high - low) ** 2

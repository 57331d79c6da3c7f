"""Binarisation of grey images: each pixel is drawn as 1 with its grey value as the probability.

"static" draws once. "dynamic" draws the training images again on every pass, as Burda et al. (arXiv:1509.00519) and
Salakhutdinov and Murray (2008) do, and the other splits once, seeded from their positions, so that scores are
reproducible. Both use a seed of this package: "static" is not the file of Larochelle and Murray.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8

from lowerbound.data.examples import Examples, to_model_scale
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.seeding import content_streams

Binarisation = Literal["none", "static", "dynamic"]

CHUNK = 4096
"""Images drawn at a time, because uniform numbers need eight bytes a pixel."""


def binarise(examples: Examples, seed: int, stream: int) -> Examples:
    """The examples with every pixel drawn; the first n do not depend on how many follow."""
    images = np.empty(examples.values.shape, np.uint8)
    low, high = examples.range
    bits = np.random.Generator(np.random.PCG64([seed, stream]))
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        images[part] = draw_pixels((examples.values[part] - low) / (high - low), bits)
    return replace(examples, stored=images, min_value=0.0, max_value=1.0)


def binarise_by_content(examples: Examples, seed: int) -> Examples:
    """Every pixel drawn from a stream seeded from the image's values, so that the draw does not depend on the batch.

    Black and white images stay unchanged; if all are, the examples themselves are returned.
    """
    values, top = examples.values, examples.max_value
    is_grey = ((values != 0) & (values != top)).reshape(len(values), -1).any(axis=1)
    images = (values == top).astype(np.uint8)
    if not is_grey.any():
        return examples
    for index in np.flatnonzero(is_grey).tolist():
        seen = to_model_scale(values[index], examples.range)
        (stream,) = content_streams(torch.from_numpy(seen[None]), seed, "binarisation")
        images[index] = draw_pixels(seen, stream)
    return replace(examples, stored=images, max_value=1.0)


def draw_pixels(probability: np.ndarray, bits: np.random.Generator) -> UInt8[np.ndarray, "..."]:
    """One draw of each pixel."""
    if np.isnan(probability).any():
        raise DataError("values are missing; binarisation needs all of them, in [0, 1].")
    if probability.size and not 0 <= probability.min() <= probability.max() <= 1:
        raise DataError(f"pixels lie in [{probability.min():g}, {probability.max():g}]; binarisation needs [0, 1].")
    uniform: np.ndarray = bits.random(probability.shape)
    return (uniform < probability).astype(np.uint8)

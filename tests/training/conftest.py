"""Data and models small enough that a whole training takes a tenth of a second."""

import numpy as np
import pytest

from lowerbound.data.sources import Examples, Splits


def blobs(num_images: int, seed: int) -> Examples:
    """Bright squares at random places on 6 x 5 images."""
    generator = np.random.default_rng(seed)
    images = np.zeros((num_images, 6, 5, 1), np.uint8)
    for image, (row, column) in zip(images, generator.integers(0, 3, (num_images, 2)), strict=True):
        image[row : row + 3, column : column + 2] = generator.integers(150, 256)
    return Examples(images, 255.0)


@pytest.fixture(scope="session")
def splits() -> Splits:
    return Splits(
        name="blobs",
        train=blobs(43, 0),  # with batches of 8 the last holds 3
        validation=blobs(16, 1),
        test=blobs(16, 2),
        label_names=(),
        monitored="validation",
        source="made here",
        binarisation="",
        checksum="0",
    )

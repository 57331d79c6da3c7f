"""PIL images in memory, by the rules of image files."""

import numpy as np
import pytest
from PIL import Image

from lowerbound.data.pil_images import from_images
from lowerbound.foundation.errors import DataError

GREY = Image.new("L", (5, 4), 7)
RED = Image.new("RGB", (5, 4), (255, 0, 0))


def test_grey_images_among_colour_images_become_colour():
    raw = from_images("here", [GREY, RED])
    assert raw.values.shape == (2, 4, 5, 3) and raw.values.dtype == np.uint8
    assert raw.values[0, 0, 0].tolist() == [7, 7, 7] and raw.values[1, 0, 0].tolist() == [255, 0, 0]


def test_sixteen_bits_keep_their_numbers_and_their_white():
    numbers = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    raw = from_images("here", [Image.fromarray(numbers)])
    assert raw.white == 65535
    np.testing.assert_array_equal(raw.values[0, ..., 0], numbers)


def test_an_image_of_another_size_or_depth_is_refused_with_its_number():
    with pytest.raises(DataError, match=r"example 0 is 5×4, example 1 6×4; .*image\.resize\(\(5, 4\)\)"):
        from_images("here", [GREY, Image.new("L", (6, 4))])
    with pytest.raises(DataError, match="several depths: example 0 is uint8, example 1 float32"):
        from_images("here", [GREY, Image.new("F", (5, 4))])

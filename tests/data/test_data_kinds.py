"""The kind of data, and shapes in words."""

import numpy as np
import pytest

from lowerbound.data.data_kinds import describe_columns, describe_examples, describe_shape, kind_of
from lowerbound.data.examples import Examples
from lowerbound.foundation.schema import Column


@pytest.mark.parametrize(
    ("values", "scale", "layout", "kind"),
    [
        ([[0, 1], [1, 1]], 1, "array", "binary"),
        ([[0, 7], [3, 5]], 7, "array", "levels"),
        ([[0.25, 0.5]], 1, "array", "unit"),
        ([[0, 300], [17, 5]], 1, "array", "counts"),
        ([[-0.5, 1e6]], 1, "array", "real"),
        ([[0.5, np.nan]], 1, "table", "table"),
    ],
)
def test_the_kind_follows_from_the_values(values, scale, layout, kind):
    assert kind_of(Examples(np.array(values, np.float32), float(scale), layout=layout)) == kind


@pytest.mark.parametrize(("channels", "kind"), [(1, "grey"), (3, "colour")])
def test_images_on_levels_are_grey_or_in_colour(channels, kind):
    image = np.arange(12 * channels, dtype=np.uint8).reshape(1, 3, 4, channels)
    assert kind_of(Examples(image, 255.0)) == kind
    assert describe_examples(1, Examples(image, 255.0)).startswith("1 example of 4×3 pixels with")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1,), "of 1 value"),
        ((7,), "of 7 values"),
        ((1024,), "of 1,024 values"),
        ((2, 3), "of shape 2×3"),
        ((1, 3, 4), "of 4×3 pixels with 1 channel"),
    ],
)
def test_shapes_are_described(shape, words):
    assert describe_shape(shape) == words


def test_only_the_first_columns_are_described():
    columns = [Column(name=f"c{index}", kind="numeric") for index in range(25)]
    assert describe_columns(columns).endswith("c19 numeric, and 5 more")

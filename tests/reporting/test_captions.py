"""Captions below the columns of a picture."""

import numpy as np
import pytest

from lowerbound.reporting.captions import with_captions

PICTURE = np.zeros((30, 200, 3), np.uint8)


def inked(band, first, last):
    """Whether a band of a picture has dark pixels between two columns of pixels."""
    return bool((band[:, first:last] < 128).any())


def test_each_caption_stands_below_its_own_column_and_stays_within_it():
    found = with_captions(PICTURE, [("one",), ("",), ("a name that is much wider than its column.png",), ("",)], 50)
    assert found.shape[1] == 200 and (found[:30] == 0).all()
    band = found[30:]
    assert inked(band, 0, 50) and inked(band, 100, 150)
    assert not inked(band, 50, 100) and not inked(band, 150, 200)


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_picture_grows_by_the_lines_of_its_captions(lines):
    found = with_captions(PICTURE, [("x",) * lines], 200)
    assert len(found) > len(PICTURE) + 10 * lines
    assert len(with_captions(PICTURE, [], 200)) == len(PICTURE)


def test_long_names_differ_where_they_end():
    one, other = (with_captions(PICTURE, [(f"photographs-of-this-year-{number}.png",)], 200) for number in (1, 2))
    assert (one != other).any()


def test_control_characters_and_line_breaks_of_a_name_are_no_lines_of_the_picture():
    found = with_captions(PICTURE, [("a\nb\x1b[31m",)], 200)
    assert found.shape == with_captions(PICTURE, [("ab",)], 200).shape

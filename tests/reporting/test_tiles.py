"""Tiles: composing, resizing, displayable channels."""

import numpy as np
import pytest

from lowerbound.reporting.tiles import centres, compose, displayable, fit_tiles


def test_tile_k_stands_in_row_k_by_columns_and_column_k_modulo_columns():
    tiles = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), dtype=np.uint8)
    picture = compose(tiles, columns=3, gap=1)
    assert picture.shape == (2 * 2 + 1, 3 * 3 + 2, 3)
    for k in range(6):
        top, left = (k // 3) * 3, (k % 3) * 4
        assert (picture[top : top + 2, left : left + 3] == k).all()
    assert (picture[2] == 255).all()
    assert (picture[:, [3, 7]] == 255).all()


def test_a_short_last_row_is_made_up_with_white():
    picture = compose(np.zeros((5, 2, 2, 3), dtype=np.uint8), columns=3)
    assert (picture[2:, 4:] == 255).all()
    assert picture.sum() == 255 * 2 * 2 * 3


def test_centres_are_the_middles_of_the_composed_tiles():
    tiles = np.zeros((4, 5, 5, 3), dtype=np.uint8)
    tiles[:, 2, 2] = 9
    rows, columns, _ = np.nonzero(compose(tiles, columns=4, gap=2) == 9)
    assert set(rows) == {2}
    np.testing.assert_array_equal(np.unique(columns), centres(4, 5, gap=2))


def test_fitted_tiles_are_enlarged_without_new_values_and_shrunk_to_averages():
    tiles = np.array([0, 60, 120, 240], dtype=np.uint8).reshape(1, 2, 2, 1).repeat(3, axis=3)
    large = fit_tiles(tiles, 6, 10)
    np.testing.assert_array_equal(large, tiles.repeat(3, axis=1).repeat(3, axis=2))
    np.testing.assert_array_equal(fit_tiles(large, 2, 2), tiles)
    assert fit_tiles(tiles, 1, 1).ravel().tolist() == [105] * 3


@pytest.mark.parametrize(("shape", "box"), [((8, 8), (37, 37)), ((30, 10), (50, 20)), ((3, 40), (25, 100))])
def test_fitted_tiles_fill_the_box_in_one_direction_and_keep_their_proportions(shape, box):
    height, width = fit_tiles(np.zeros((2, *shape, 3), dtype=np.uint8), *box).shape[1:3]
    assert width == box[0] or height == box[1]
    assert width <= box[0] and height <= box[1]
    assert abs(height * shape[1] - width * shape[0]) <= max(shape)


def test_one_channel_is_shown_grey_three_as_colours_and_of_five_the_first():
    images = np.random.default_rng(0).uniform(size=(2, 4, 4, 5)).astype(np.float32)
    first = np.rint(images[..., 0] * 255)
    for channels in (1, 5):
        shown = displayable(images[..., :channels])
        assert all((shown[..., channel] == first).all() for channel in range(3))
    np.testing.assert_array_equal(displayable(images[..., :3]), np.rint(images[..., :3] * 255))

"""Tiles: composing, resizing, displayable channels."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lowerbound.reporting.tiles import centres, compose, displayable, encoded, fit_tiles, opaque


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


def test_gaps_between_opaque_tiles_are_transparent():
    picture = compose(opaque(np.zeros((3, 2, 2, 3), dtype=np.uint8)), columns=2, gap=1)
    assert (picture[:2, :2, 3] == 255).all() and (picture[3:, :2, 3] == 255).all()
    assert picture[2, :, 3].sum() == picture[:, 2, 3].sum() == picture[3:, 3:, 3].sum() == 0


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kind", ["tiny", "grey", "colour"])
def test_a_picture_for_a_page_is_exact_where_that_is_small_and_close_where_it_is_not(kind, channels):
    noise = np.random.default_rng(0)
    size = 20 if kind == "tiny" else 256
    waves = np.sin(np.arange(size)[:, None, None] / 20 + np.arange(size)[:, None] / 30 + np.arange(3))
    picture = (128 + 90 * waves + noise.normal(0, 2, (size, size, 3))).astype(np.uint8)
    if kind == "grey":
        picture = picture[..., :1].repeat(3, axis=2)
    picture = np.concatenate([picture, np.full((size, size, 1), 255, np.uint8)], axis=2)[..., :channels]
    content, media_type = encoded(picture)
    with Image.open(BytesIO(content)) as image:
        shown = np.asarray(image.convert("RGB")).astype(float)
    error = np.abs(shown - picture[..., :3]).mean()
    assert (error == 0) if media_type == "image/png" else error < 3
    assert media_type == ("image/png" if kind == "tiny" else "image/webp")
    assert len(content) < picture.size

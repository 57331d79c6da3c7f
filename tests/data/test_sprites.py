"""Sprites: what is drawn is where and as large as its factors say, whatever the image's side."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from lowerbound.data.sources import SOURCES, DataConfig, load
from lowerbound.data.sprites import GRID, NUM_IMAGES, SCALES, SHAPES, SIDE, SIDES, factors_of, index_of, sprites

SHAPE_NUMBERS = range(len(SHAPES))


def drawn(side, **levels):
    """Images of all combinations of the given levels, the others in the middle."""
    usual = {"shape": [0], "scale": [5], "orientation": [3], "x": [16], "y": [16]}
    codes = np.array(list(itertools.product(*(usual | levels).values())))
    return sprites(index_of(codes), side).astype(float)


def centroids(images):
    """Row and column of the mean white pixel, in pixels from the corner."""
    places = np.arange(images.shape[1]) + 0.5
    area = images.sum((1, 2))
    return (images.sum(2) @ places) / area, (images.sum(1) @ places) / area


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("shape", SHAPE_NUMBERS)
def test_areas_are_those_of_a_square_of_the_scale_for_every_shape(side, shape):
    for level, scale in enumerate(SCALES):
        area = drawn(side, shape=[shape], scale=[level], orientation=range(40)).sum((1, 2)).mean()
        assert area == pytest.approx((scale * SIDE * side) ** 2, rel=0.05)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("shape", SHAPE_NUMBERS)
def test_centres_move_right_with_x_and_down_with_y_by_one_64th_of_the_side(side, shape):
    step = side / 64
    down, right = centroids(drawn(side, shape=[shape], x=range(32), orientation=[0]))
    assert right == pytest.approx(side / 2 + (np.arange(32) - 15.5) * step, abs=0.5)
    assert down == pytest.approx(down[0], abs=0.5 - 0.5 * (side == 64))
    down, right = centroids(drawn(side, shape=[shape], y=range(32), orientation=[0]))
    assert down == pytest.approx(side / 2 + (np.arange(32) - 15.5) * step, abs=0.5)
    assert right == pytest.approx(right[0], abs=0.5 - 0.5 * (side == 64))


def test_at_64_pixels_a_step_is_a_shift_by_one_pixel():
    first, second = drawn(64, shape=[2], x=[4, 5])
    assert np.array_equal(np.roll(first, 1, axis=1), second)


@pytest.mark.parametrize("side", SIDES)
def test_a_square_repeats_every_quarter_turn_an_ellipse_every_half_and_a_heart_never(side):
    squares, ellipses, hearts = (drawn(side, shape=[shape], orientation=range(40)) for shape in SHAPE_NUMBERS)
    assert np.array_equal(squares, np.roll(squares, 10, axis=0))
    assert np.array_equal(ellipses, np.roll(ellipses, 20, axis=0))
    assert len({image.tobytes() for image in squares}) == 10
    assert len({image.tobytes() for image in ellipses}) == 20
    assert len({image.tobytes() for image in hearts}) == 40


def test_a_quarter_turn_is_counterclockwise():
    heart, turned = drawn(64, shape=[2], orientation=[0, 10])
    centred = heart[0:64, 0:64]
    around = np.rot90(np.roll(centred, (-1, -1), (0, 1)))  # the centre of this position is half a pixel off the middle
    assert np.abs(np.roll(around, (0, 1), (0, 1)) - turned).sum() <= 0.05 * heart.sum()


@pytest.mark.parametrize("side", SIDES)
def test_no_sprite_touches_the_border_and_pixels_are_0_or_1(side):
    images = drawn(side, shape=SHAPE_NUMBERS, orientation=range(40), x=[0, 31], y=[0, 31])
    assert set(np.unique(images)) == {0.0, 1.0}
    assert not any(edge.any() for edge in (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]))


def test_indices_run_through_the_grid_with_y_fastest():
    assert NUM_IMAGES == 737_280
    assert factors_of(np.array([0, 1, 32, NUM_IMAGES - 1])).codes.tolist() == [
        [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [size - 1 for size in GRID],
    ]  # fmt: skip
    some = np.arange(0, NUM_IMAGES, 10_007)
    assert np.array_equal(index_of(factors_of(some).codes), some)


def test_examples_of_the_source_keep_their_factors_through_splitting(monkeypatch):
    monkeypatch.setitem(SOURCES, "sprites-32", few := _few())
    splits = load(DataConfig(source="sprites-32"))
    for part, size in zip((splits.train, splits.validation, splits.test), few.sizes, strict=True):
        assert len(part) == len(part.factors) == size
        assert np.array_equal(sprites(index_of(part.factors.codes), 32), part.values[..., 0])
        assert np.array_equal(part.labels, part.factors.codes[:, 0])
        chosen = part.subset(np.array([3, 1]))
        assert np.array_equal(chosen.factors.codes, part.factors.codes[[3, 1]])
    assert splits.label_names == SHAPES
    assert splits.schema.support.is_binary


def _few():
    return replace(SOURCES["sprites-32"], sizes=(60, 10, 20))

"""Sprites with known factors of variation, like dSprites, but drawn by this program: white shapes on black.

The grid has every combination of shape (square, ellipse, heart), scale (6), orientation (40), x and y (32 each):
737,280 binary images, as in dSprites (Matthey et al., 2017, https://github.com/deepmind/dsprites-dataset), whose pixels
differ. All shapes of a scale have the same area; orientations are 9 degrees apart, and the last does not repeat the
first. A pixel is white if more than half of it is covered. A sprite that moves by whole pixels is the same picture in
another window, so each is drawn once, on a canvas that is large enough for every position.
"""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, UInt8

from lowerbound.data.factors import Factors

SHAPES = ("square", "ellipse", "heart")
SCALES = tuple(np.linspace(0.5, 1, 6).round(3).tolist())
ORIENTATIONS = tuple((2 * math.pi * np.arange(40) / 40).tolist())
POSITIONS = tuple((np.arange(32) / 31).tolist())

NAMES = ("shape", "scale", "orientation", "x", "y")
LEVELS: tuple[tuple[str | float, ...], ...] = (SHAPES, SCALES, ORIENTATIONS, POSITIONS, POSITIONS)
GRID = tuple(map(len, LEVELS))
NUM_IMAGES = math.prod(GRID)

SIDES = (32, 64)
"""Sides of an image in pixels. A step along x or y is a pixel at 64, and half a pixel at 32."""

SIDE = 21 / 64
"""Side of the largest square, as a share of the image's; every shape of that scale has its area."""

REACH = 16 / 64
"""What every sprite fits in: a circle of this radius, as a share of the image's side, which is the margin as well."""

ELLIPSE_RATIO = 1.6
HEART_AREA = 3.661944
"""Area inside of (x² + y² - 1)³ = x² y³."""
HEART_CENTRE = 0.293479
"""Height of its centroid."""

SUBPIXELS = 8
"""Points along each axis of a pixel at which it is tested whether the shape covers it; with 8, none is on an edge of an
upright square, where rounding would decide.
"""


def sprites(indices: Integer[np.ndarray, " n"], side: int = 64) -> UInt8[np.ndarray, "n side side"]:
    """Images of the grid, 0 or 1, by their indices, of which y varies fastest and the shape slowest.

    `side` is one of SIDES. Deterministic; about a million images of 32×32 a second once the canvases are drawn.
    """
    shape, scale, orientation, x, y = factors_of(indices).codes.T
    steps = 64 // side  # along an axis until the sprite has moved by a pixel
    num_pixels = len(POSITIONS) // steps
    windows = np.lib.stride_tricks.sliding_window_view(_canvases(side), (side, side), axis=(5, 6))
    images = windows[
        shape, scale, orientation, y % steps, x % steps, num_pixels - 1 - y // steps, num_pixels - 1 - x // steps
    ]
    return np.ascontiguousarray(images)


def factors_of(indices: Integer[np.ndarray, " n"]) -> Factors:
    """The factors of images of the grid, by their indices."""
    codes = np.stack(np.unravel_index(np.asarray(indices, np.int64), GRID), axis=1)
    return Factors(NAMES, LEVELS, codes.astype(np.int64))


def index_of(codes: Int64[np.ndarray, "n factor"]) -> Int64[np.ndarray, " n"]:
    """Indices of images of the grid, by the codes of their factors."""
    return np.ravel_multi_index(tuple(codes.T), GRID).astype(np.int64)


@lru_cache(maxsize=2)
def _canvases(side: int) -> UInt8[np.ndarray, "shape scale orientation y_phase x_phase height width"]:
    """Every sprite on a canvas of which a window is an image; at each of the sub-pixel offsets that positions have."""
    steps = 64 // side
    num_pixels = len(POSITIONS) // steps
    canvas_side = side + num_pixels - 1
    canvases = np.zeros((*GRID[:3], steps, steps, canvas_side, canvas_side), np.uint8)
    for y_phase in range(steps):
        for x_phase in range(steps):
            _draw(canvases[:, :, :, y_phase, x_phase], side, _centre(side, y_phase), _centre(side, x_phase))
    return canvases


def _centre(side: int, phase: int) -> float:
    """Where the sprite's centre is on its canvas, in pixels: the last window begins there at zero."""
    num_pixels = len(POSITIONS) * side // 64
    first = side / 2 - (len(POSITIONS) - 1) / 2 * side / 64  # of the leftmost position in an image
    return num_pixels - 1 + first + phase * side / 64


def _draw(
    canvases: UInt8[np.ndarray, "shape scale orientation height width"], side: int, y_centre: float, x_centre: float
) -> None:
    """Draw every shape, scale and orientation about a centre, in pixels."""
    for size, scale in enumerate(SCALES):
        rows, columns = (_pixels_around(centre, scale * REACH * side) for centre in (y_centre, x_centre))
        unit = scale * SIDE * side  # the side of the square
        y = (y_centre - _points(rows)[:, None]) / unit  # upwards
        x = (_points(columns)[None, :] - x_centre) / unit
        for turn, angle in enumerate(ORIENTATIONS):
            along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
            for number, covers in enumerate((_in_square, _in_ellipse, _in_heart)):
                blocks = covers(along, across).reshape(len(rows), SUBPIXELS, len(columns), SUBPIXELS)
                canvases[number, size, turn, rows[:, None], columns] = blocks.mean((1, 3)) > 0.5


def _pixels_around(centre: float, reach: float) -> Int64[np.ndarray, " pixel"]:
    return np.arange(math.floor(centre - reach), math.ceil(centre + reach))


def _points(pixels: Int64[np.ndarray, " pixel"]) -> Float64[np.ndarray, " point"]:
    """The middles of the parts of pixels."""
    return (pixels[:, None] + (np.arange(SUBPIXELS) + 0.5) / SUBPIXELS).reshape(-1)


# Shapes of area 1 about their centroids; the x axis points to the right, the y axis upwards.


def _in_square(x: Float64[np.ndarray, "*point"], y: Float64[np.ndarray, "*point"]) -> Bool[np.ndarray, "*point"]:
    return np.maximum(np.abs(x), np.abs(y)) < 0.5


def _in_ellipse(x: Float64[np.ndarray, "*point"], y: Float64[np.ndarray, "*point"]) -> Bool[np.ndarray, "*point"]:
    return x**2 / ELLIPSE_RATIO + y**2 * ELLIPSE_RATIO < 1 / math.pi


def _in_heart(x: Float64[np.ndarray, "*point"], y: Float64[np.ndarray, "*point"]) -> Bool[np.ndarray, "*point"]:
    size = math.sqrt(HEART_AREA)
    x, y = x * size, y * size + HEART_CENTRE
    return (x * x + y * y - 1) ** 3 < x * x * y**3

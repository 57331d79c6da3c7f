"""Many images as one picture: channels to show, sizes that fit, tiles laid row by row from the top."""

import math
from io import BytesIO

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

WHITE = 255


def displayable(images: Float[np.ndarray, "n height width channel"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Images in [0, 1] as RGB bytes: one channel becomes grey, and of other numbers but three the first is shown."""
    shown = images if images.shape[-1] == 3 else images[..., :1]
    levels = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return np.broadcast_to(levels, (*images.shape[:3], 3))


def channel_note(images: Float[np.ndarray, "n height width channel"]) -> str:
    """What a reader must be told of the channels that are not shown; empty if all are."""
    num_channels = images.shape[-1]
    return "" if num_channels in (1, 3) else f"shown is the first of {num_channels} channels, in grey"


def fit_tiles(
    tiles: UInt8[np.ndarray, "n height width 3"], width: int, height: int
) -> UInt8[np.ndarray, "n new_height new_width 3"]:
    """Tiles resized to just fit `width` by `height`, in their own proportions, their pixels staying squares."""
    zoom = min(width / tiles.shape[2], height / tiles.shape[1])
    size = (max(1, round(tiles.shape[2] * zoom)), max(1, round(tiles.shape[1] * zoom)))
    # Enlarged by repetition and shrunk by averaging, never interpolated: what a model draws is shown, not smoothed.
    enlarged = tiles.repeat(math.ceil(zoom), axis=1).repeat(math.ceil(zoom), axis=2)
    return np.stack([_shrunk(tile, size) for tile in enlarged])


def compose(
    tiles: UInt8[np.ndarray, "n height width 3"], columns: int, gap: int = 0
) -> UInt8[np.ndarray, "total_height total_width 3"]:
    """One image: tile k stands in row k // columns and column k % columns, `gap` white pixels from the next."""
    number, height, width, _ = tiles.shape
    rows = math.ceil(number / columns)
    cells = np.full((rows * columns, height + gap, width + gap, 3), WHITE, dtype=np.uint8)
    cells[:number, :height, :width] = tiles
    picture = cells.reshape(rows, columns, height + gap, width + gap, 3).swapaxes(1, 2)
    picture = picture.reshape(rows * (height + gap), columns * (width + gap), 3)
    return picture[: picture.shape[0] - gap, : picture.shape[1] - gap]


def as_png(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """A picture as a PNG file."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def centres(count: int, size: int, gap: int = 0) -> Float[np.ndarray, " count"]:
    """Where the middles of `count` tiles of `size` pixels lie along an axis of the composed image."""
    # Pixel 0 of an image spans -0.5 to 0.5.
    return np.arange(count) * (size + gap) + (size - 1) / 2


def columns_for(tiles_shape: tuple[int, ...], most: int) -> int:
    """Columns in which tiles of that height and width are easy to see: `most` for squares, fewer for wide ones."""
    _, height, width, *_ = tiles_shape
    return max(1, min(most, round(most * math.sqrt(height / width))))


def _shrunk(
    tile: UInt8[np.ndarray, "height width 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(tile)).resize(size, Image.Resampling.BOX))

"""Image tiles: displayable channels, resizing without interpolation, composing tiles into one picture, PNG bytes."""

import base64
import math
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, features

WHITE = 255

SMALL = 30_000  # bytes, up to which a page has a picture without loss
QUALITY = 75  # of WebP, beyond that


def displayable(images: Float[np.ndarray, "n height width channel"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Images in [0, 1] as RGB bytes: one channel becomes grey; of any number other than three the first is shown."""
    shown = images if images.shape[-1] == 3 else images[..., :1]
    levels = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return np.broadcast_to(levels, (*images.shape[:3], 3))


def channel_note(images: Float[np.ndarray, "n height width channel"]) -> str:
    """A note on channels that are not shown; empty if all are."""
    num_channels = images.shape[-1]
    return "" if num_channels in (1, 3) else f"showing the first of {num_channels} channels, in grey"


def fit_tiles(
    tiles: UInt8[np.ndarray, "n height width 3"], width: int, height: int
) -> UInt8[np.ndarray, "n new_height new_width 3"]:
    """Tiles resized to fit within `width` by `height`, aspect ratio kept, pixels staying square."""
    zoom = min(width / tiles.shape[2], height / tiles.shape[1])
    size = (max(1, round(tiles.shape[2] * zoom)), max(1, round(tiles.shape[1] * zoom)))
    # Enlarged by repetition and shrunk by averaging, never interpolated, so that the model's own pixels are shown.
    enlarged = tiles.repeat(math.ceil(zoom), axis=1).repeat(math.ceil(zoom), axis=2)
    return np.stack([_shrunk(tile, size) for tile in enlarged])


def opaque(tiles: UInt8[np.ndarray, "n height width 3"]) -> UInt8[np.ndarray, "n height width 4"]:
    """Tiles with a fourth channel for their opacity, which they have and the gaps between them do not."""
    return np.concatenate([tiles, np.full_like(tiles[..., :1], WHITE)], axis=-1)


def compose(
    tiles: UInt8[np.ndarray, "n height width channel"], columns: int, gap: int = 0
) -> UInt8[np.ndarray, "total_height total_width channel"]:
    """One image with tile k in row k // columns and column k % columns; the `gap` pixels between tiles are white, or
    transparent between tiles that are opaque.
    """
    number, height, width, channels = tiles.shape
    rows = math.ceil(number / columns)
    cells = np.full((rows * columns, height + gap, width + gap, channels), WHITE, dtype=np.uint8)
    cells[..., 3:] = 0
    cells[:number, :height, :width] = tiles
    picture = cells.reshape(rows, columns, height + gap, width + gap, channels).swapaxes(1, 2)
    picture = picture.reshape(rows * (height + gap), columns * (width + gap), channels)
    return picture[: picture.shape[0] - gap, : picture.shape[1] - gap]


def as_png(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """A picture as a PNG file."""
    return _saved(Image.fromarray(picture), format="PNG")


def encoded(
    picture: UInt8[np.ndarray, "height width channel"], small: int = SMALL, quality: int = QUALITY
) -> tuple[bytes, str]:
    """A picture for a page and its media type: without loss up to `small` bytes, otherwise with a loss that is hard to
    see.
    """
    image = _with_fewest_channels(Image.fromarray(picture))
    exact = _saved(image, format="PNG", optimize=True)
    if len(exact) <= small or not features.check("webp"):
        return exact, "image/png"
    lossy = _saved(image, format="WEBP", quality=quality, method=4)
    return (lossy, "image/webp") if len(lossy) < len(exact) else (exact, "image/png")


def data_url(content: bytes, kind: str) -> str:
    """Content as a URL that loads nothing."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _with_fewest_channels(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    is_grey = bool((values[..., :3] == values[..., :1]).all())
    is_opaque = values.shape[-1] == 3 or bool((values[..., 3] == WHITE).all())
    return image.convert(("L" if is_grey else "RGB") if is_opaque else ("LA" if is_grey else "RGBA"))


def _saved(image: Image.Image, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def centres(count: int, size: int, gap: int = 0) -> Float[np.ndarray, " count"]:
    """Pixel positions of the centres of `count` tiles of `size` pixels along an axis of the composed image."""
    # Pixel 0 of an image spans -0.5 to 0.5.
    return np.arange(count) * (size + gap) + (size - 1) / 2


def evenly(number: int, most: int) -> np.ndarray:
    """At most `most` of the indices below `number`, evenly spaced and as symmetric as possible."""
    step = -(-number // most)
    return np.arange((number - 1) % step // 2, number, step)


def columns_for(tiles_shape: tuple[int, ...], most: int) -> int:
    """Number of columns for tiles of this shape: `most` for square tiles, fewer for wide ones."""
    _, height, width, *_ = tiles_shape
    return max(1, min(most, round(most * math.sqrt(height / width))))


def _shrunk(
    tile: UInt8[np.ndarray, "height width 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(tile)).resize(size, Image.Resampling.BOX))

"""Files as bytes, for tests of what reads them."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowerbound.data.examples import Examples
from lowerbound.data.files import read
from lowerbound.data.sources import DataConfig, Splits, load
from lowerbound.foundation.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 4, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (4, 5, 3), np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def saved(save: Callable[..., None], *args: object, **kwargs: object) -> bytes:
    """What `save` writes when it is given a file first."""
    file = io.BytesIO()
    save(file, *args, **kwargs)
    return file.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def refusal(path: Path, named: Path | None = None, read: Callable[[Path], object] = read) -> str:
    """The one line with which `path` is refused; it begins with the name of the file to blame."""
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(named or path)) and message.endswith(".") and "\n" not in message
    return message


def save_images(folder: Path, images: dict[str, Image.Image]) -> Path:
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
    return folder


def grey(value: int, size: tuple[int, int] = (5, 4)) -> Image.Image:
    return Image.new("L", size, value)


def parts(splits: Splits) -> tuple[Examples, ...]:
    return splits.train, splits.validation, splits.test


def numbered_images(path: Path, number: int) -> Path:
    """`number` images, each filled with its own position."""
    np.save(path, np.broadcast_to(np.arange(number, dtype=np.uint8)[:, None, None, None], (number, 2, 2, 1)))
    return path


def positions(examples: Examples) -> list[int]:
    return examples.values[:, 0, 0, 0].tolist()


def message_of(error: type[Exception], config: DataConfig) -> str:
    with pytest.raises(error) as caught:
        load(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)

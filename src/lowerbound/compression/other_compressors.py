"""sizes_by_others: how many bytes ordinary compressors take for the same examples."""

import lzma
from importlib import import_module
from io import BytesIO

import numpy as np
from PIL import Image

BINARY = 2  # values, of which eight fit into a byte


def sizes_by_others(values: np.ndarray | bytes) -> dict[str, int]:
    """Bytes of all examples as one block, or of a file's content: xz, brotli if it is installed, and for pictures PNG
    of one large picture.
    """
    content = values if isinstance(values, bytes) else _packed(values)
    sizes = {"xz": len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))}
    try:
        brotli = import_module("brotli")
    except ImportError:
        pass
    else:
        sizes["brotli"] = len(brotli.compress(content, quality=11, lgwin=24))
    if (
        isinstance(values, np.ndarray)
        and values.dtype == np.uint8
        and values.ndim >= 3
        and values.shape[3:] in ((), (1,), (3,))
    ):
        sizes["png"] = _png(values)
    return sizes


def _packed(values: np.ndarray) -> bytes:
    """The bytes of the values; of values that are only two, the bits."""
    different = np.unique(values[:BINARY] if len(values) > BINARY else values)
    if len(different) <= BINARY and len(different := np.unique(values)) <= BINARY:
        return np.packbits(values == different[-1]).tobytes()
    return np.ascontiguousarray(values).tobytes()


def _png(values: np.ndarray) -> int:
    """Bytes of the images below each other, as one picture."""
    buffer = BytesIO()
    rows = values.reshape(-1, *values.shape[2:])
    Image.fromarray(rows[..., 0] if rows.shape[2:] == (1,) else rows).save(buffer, "PNG", optimize=True)
    return buffer.tell()

"""Arrays as the bytes of a safetensors file, which the page reads without copying."""

from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save

MEDIA_TYPE = "application/octet-stream"


def as_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Named arrays in one piece: the length of a JSON header, the header, the numbers, all little-endian."""
    # The file holds memory as it lies: what is a view of something else must be laid out first.
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})

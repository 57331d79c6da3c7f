"""Arrays in the safetensors format, which the page reads without copying."""

from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save

MEDIA_TYPE = "application/octet-stream"


def as_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Named arrays as bytes: the length of a JSON header, the header, the numbers, all little-endian."""
    # The format stores memory as it is, so views have to be made contiguous.
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})

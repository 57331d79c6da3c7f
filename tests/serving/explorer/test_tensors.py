"""Arrays as the page reads them."""

import numpy as np
import pytest
from safetensors.numpy import load

from lowerbound.serving.explorer.tensors import as_bytes

NUMBERS = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize("view", [NUMBERS, NUMBERS.T, NUMBERS[::2, 1:], NUMBERS[:, ::-1], NUMBERS[:0]])
def test_a_view_is_what_it_shows(view):
    arrays = {"view": view, "bytes": np.uint8([1, 2])}
    found = load(as_bytes(arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)

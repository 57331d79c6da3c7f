"""The stack of bits, and what happens without the library or with words that no stack returns."""

import sys

import numpy as np
import pytest

from lowerbound.coding.entropy_coder import decision, normal, refusing_nonsense, stack
from lowerbound.foundation.errors import DataError, UsageError


def test_popping_and_pushing_changes_nothing():
    bits = stack()
    bits.encode_reverse(np.array([1, 0, 1], np.int32), decision(), np.array([0.9, 0.5, 0.1]))
    before = bits.get_compressed()
    z = bits.decode(normal(-50, 50, 3.0, 4.0), 2)
    bits.encode_reverse(z, normal(-50, 50, 3.0, 4.0))
    np.testing.assert_array_equal(bits.get_compressed(), before)


def test_a_normal_costs_its_density():
    bits, z = stack(np.arange(1, 9, dtype=np.uint32)), np.arange(-200, 201, dtype=np.int32)
    before = bits.num_valid_bits()
    bits.encode_reverse(z, normal(-1000, 1000, 0.0, 64.0))
    expected = (z / 64.0) ** 2 / 2 + np.log(64 * np.sqrt(2 * np.pi))
    assert abs(bits.num_valid_bits() - before - expected.sum() / np.log(2)) < 1


def test_words_that_no_stack_returns_are_a_data_error():
    with pytest.raises(DataError, match="not those of any examples"), refusing_nonsense():
        stack(np.array([1, 0], np.uint32))
    with pytest.raises(KeyboardInterrupt), refusing_nonsense():
        raise KeyboardInterrupt


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(UsageError, match=r"pip install 'lowerbound\[codec\]'"):
        stack()

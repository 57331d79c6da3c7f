"""Sizes by ordinary compressors are those of their own output."""

import lzma
import sys

import numpy as np

from lowerbound.compression.other_compressors import sizes_by_others

STREAM = np.random.default_rng(0)


def test_bytes_are_those_of_xz_and_of_bits_for_two_values(monkeypatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    counts = STREAM.integers(0, 9, (20, 5)).astype(np.int64)
    assert sizes_by_others(counts) == {"xz": len(lzma.compress(counts.tobytes(), preset=9 | lzma.PRESET_EXTREME))}
    binary = STREAM.integers(0, 2, (100, 8, 8)).astype(np.uint8) * 255
    found = sizes_by_others(binary)
    assert found.keys() == {"xz", "png"}
    assert found["xz"] == len(lzma.compress(np.packbits(binary > 0).tobytes(), preset=9 | lzma.PRESET_EXTREME))


def test_noise_is_not_compressed():
    noise = STREAM.integers(0, 256, (10, 16, 16, 3)).astype(np.uint8)
    assert all(size > noise.nbytes for size in sizes_by_others(noise).values())

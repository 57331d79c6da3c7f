"""Moments of parts, merged, are those of the whole."""

import numpy as np
import pytest

from data_files import RNG
from lowerbound.data.moments import moments_of


@pytest.mark.parametrize("mean", [0.0, 1e9])
def test_merged_moments_are_those_of_all_values(mean):
    values = mean + RNG.normal(size=(500, 3, 2))
    found = moments_of(values[:7]) | moments_of(values[7:400]) | moments_of(values[400:])
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, values.std(axis=0), rtol=1e-6 if mean else 1e-12)


def test_missing_cells_are_skipped_and_columns_without_values_have_no_mean():
    values = RNG.normal(size=(90, 3))
    values[::2, 0], values[:50, 1], values[:, 2] = np.nan, np.nan, np.nan
    found = moments_of(values[:20]) | moments_of(values[20:60]) | moments_of(values[60:])
    np.testing.assert_allclose(found.mean[:2], np.nanmean(values[:, :2], axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.deviation[:2], np.nanstd(values[:, :2], axis=0), rtol=1e-12)
    assert np.isnan(found.mean[2]) and np.isnan(found.deviation[2])


def test_bytes_have_the_moments_of_floats():
    values = RNG.integers(0, 256, (300, 5), np.uint8)
    values[:, 0] = 255
    found, expected = moments_of(values), moments_of(values.astype(np.float64))
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-14)
    np.testing.assert_allclose(found.squares, expected.squares, rtol=1e-12, atol=1e-9)

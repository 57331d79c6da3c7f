"""Standardised rows agree with scikit-learn's and with exact fractions, in units where squares overflow as well."""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler

from lowerbound.data.standardisation import standardisation_of, unchanged

ROWS = np.random.default_rng(0).normal(3.0, 2.0, (50, 4))


def test_rows_are_standardised_as_scikit_learn_does_it():
    rows = np.where(np.random.default_rng(1).random(ROWS.shape) < 0.2, np.nan, ROWS)
    ours, theirs = standardisation_of(rows), StandardScaler().fit(rows)
    assert_allclose(ours.location, theirs.mean_, rtol=1e-12)
    assert_allclose(ours.scale, theirs.scale_, rtol=1e-12)
    assert_allclose(ours.standardised(rows), theirs.transform(rows), rtol=1e-10)
    assert_allclose(ours.restored(ours.standardised(rows)), rows, rtol=1e-12)


@pytest.mark.parametrize(("unit", "offset"), [(1e-300, 0.0), (1e300, 0.0), (1.0, 1.7e9), (1e-3, 1e12)])
def test_mean_and_deviation_are_exact_to_rounding_at_any_size(unit, offset):
    column = ROWS[:, :1] * unit + offset
    exact = [Fraction(float(value)) for value in column[:, 0]]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    found = standardisation_of(column)
    assert found.location[0] == pytest.approx(float(mean), rel=1e-15)
    # The root of a fraction that no float may hold, by integers.
    root = Fraction(math.isqrt(variance.numerator * variance.denominator * 10**60), variance.denominator * 10**30)
    assert found.scale[0] == pytest.approx(float(root), rel=1e-9)


def test_a_constant_feature_has_scale_1_and_one_without_values_stays_missing():
    rows = np.c_[np.full(3, 0.1), np.full(3, np.nan), [np.nan, 5.0, np.nan]]
    found = standardisation_of(rows)
    assert_array_equal(found.scale, [1, 1, 1])
    assert_array_equal(found.location, [0.1, np.nan, 5.0])
    assert_array_equal(found.standardised(np.ones((1, 3))), [[0.9, np.nan, -4.0]])
    assert np.isnan(found.restored(np.ones((1, 3)))[0, 1])


def test_the_volume_counts_the_cells_that_are_there():
    found = standardisation_of(ROWS)
    rows = found.standardised(ROWS[:2])
    rows[0, 1] = np.nan
    logs = np.log(ROWS.std(axis=0))
    assert_allclose(found.log_volume(rows), [logs[[0, 2, 3]].sum(), logs.sum()], rtol=1e-12)
    assert_array_equal(unchanged(4).log_volume(rows), [0, 0])
    assert_array_equal(unchanged(4).standardised(ROWS), ROWS)

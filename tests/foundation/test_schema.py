"""Columns are written as tables have them."""

import numpy as np

from lowerbound.foundation.schema import Column


def test_draws_have_no_more_decimals_than_the_training_table_and_expected_values_keep_theirs():
    column = Column(name="height", kind="numeric", offset=170.0, decimals=1)
    cells = np.array([3.14159, -0.04, 20.0], np.float32)
    np.testing.assert_array_equal(column.as_drawn(cells), [173.1, 170.0, 190.0])
    np.testing.assert_allclose(column.as_written(cells), [173.14159, 169.96, 190.0], rtol=1e-7)


def test_an_offset_is_added_back_in_double_precision():
    column = Column(name="time", kind="numeric", offset=1_700_000_000.123)
    assert column.as_written(np.array([0.5], np.float32))[0] == 1_700_000_000.623


def test_counts_are_whole_and_missing_levels_are_empty():
    counts = Column(name="visits", kind="count").as_written(np.array([2.2, 0.4], np.float32))
    assert counts.tolist() == [2, 0] and counts.dtype == np.int64
    levels = Column(name="city", kind="categorical", levels=("Ulm", "Köln")).as_written(np.array([1.0, np.nan]))
    assert levels.tolist() == ["Köln", ""]

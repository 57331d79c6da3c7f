"""Cells that are not missing, as numbers and texts."""

import numpy as np
import pytest

from lowerbound.data.known_cells import known_cells, lower_case
from lowerbound.data.tables import RawTable
from lowerbound.foundation.errors import DataError


def known(cells, levels=(), markers=("na", "none"), **options):
    return known_cells(RawTable("x.csv", {"x": cells}, is_text=True), "x", markers, ".", levels, **options)


def test_markers_are_missing_unless_they_are_levels():
    cells = ["1", "", None, "NA", "None"]
    assert list(known(cells).rows) == [0]
    assert known(cells, levels=("None",)).texts == ["1", "None"]
    assert known(cells).markers == {"NA": 1, "None": 1}


def test_ambiguous_texts_are_numbers_only_where_they_are_asked_for():
    cells = known(["1.5", "3e2", "inf", "a"])
    assert cells.plain == [1.5, None, None, None]
    assert cells.numbers == [1.5, 300.0, None, None]
    np.testing.assert_array_equal(cells.values, [1.5, 300.0, np.inf, np.nan])


def test_invalid_cells_are_refused_or_skipped_with_their_row():
    cells, is_wrong = ["1", "x", "3"], np.array([False, True, False])
    with pytest.raises(DataError, match=r"row 1, column 'x' is 'x'; no number, or exclude the column"):
        known(cells).valid_only(is_wrong, "no number")
    assert list(known(cells, skip_broken=True).valid_only(is_wrong, "no number").rows) == [0, 2]


def test_markers_are_compared_in_lower_case_without_spaces():
    assert lower_case([" NA", "na", "-"]) == ("na", "-")

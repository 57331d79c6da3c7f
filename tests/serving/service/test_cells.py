"""Cells of rows that come as JSON."""

import pytest

from lowerbound.foundation.schema import Column
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.service.cells import checked_cell


@pytest.mark.parametrize("levels", [("false", "true"), ("False", "True"), ("no", "TRUE", "FALSE")])
def test_a_truth_value_is_the_level_that_says_so(levels):
    column = Column(name="smoker", kind="categorical", levels=levels)
    assert checked_cell(column, True) == next(level for level in levels if level.lower() == "true")
    assert checked_cell(column, False) == next(level for level in levels if level.lower() == "false")


def test_a_number_is_the_level_that_is_written_so_and_a_truth_value_is_not():
    column = Column(name="flag", kind="binary", levels=("0", "1"))
    assert checked_cell(column, 1) == 1
    with pytest.raises(RequestError, match="cannot be true; accepted: one of 0, 1"):
        checked_cell(column, True)

"""The decimal sign of a CSV follows from its cells."""

import pytest

from lowerbound.data.decimal_signs import infer_decimal_sign, thousands_notes
from lowerbound.data.tables import RawTable
from lowerbound.foundation.errors import DataError


def table(separator=";", **columns):
    return RawTable("x.csv", columns, is_text=True, separator=separator)


@pytest.mark.parametrize(
    ("separator", "cells", "sign"),
    [(";", ["1,5", "2,25"], ","), (";", ["1.5", "2"], "."), (";", ["1,100", "0,125"], ","), (",", ["1,5"], ".")],
)
def test_the_sign_is_the_comma_only_where_it_does_not_separate_cells(separator, cells, sign):
    assert infer_decimal_sign(table(separator, x=cells), ["x"]) == sign


def test_two_signs_in_one_table_are_refused_with_their_columns():
    with pytest.raises(DataError, match="decimal commas in column 'a' and decimal points in column 'b'"):
        infer_decimal_sign(table(a=["1,5", "2,5"], b=["1.5", "2.5"]), ["a", "b"])


def test_a_point_that_might_separate_thousands_is_noted():
    (note,) = thousands_notes(table(x=["1.100", "2.107"]), ["x"], ".")
    assert "'1.100' is read as 1.1" in note
    assert thousands_notes(table(x=["1.100", "2.5"]), ["x"], ".") == ()

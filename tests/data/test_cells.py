"""Columns of any library become Python's values, None where one is missing."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from lowerbound.data.cells import column_cells, label_texts, python_scalar
from lowerbound.foundation.errors import DataError


@pytest.mark.parametrize(
    "column",
    [
        [1.5, 2.5],
        np.array([1.5, 2.5]),
        np.array([[1.5], [2.5]]),
        torch.tensor([1.5, 2.5]),
        pd.Series([1.5, 2.5]),
        pa.array([1.5, 2.5]),
    ],
    ids=["list", "array", "array of one column", "tensor", "pandas", "arrow"],
)
def test_a_column_of_any_library_is_a_list_of_pythons_numbers(column):
    cells = column_cells("here", column, "column 'x'")
    assert cells == [1.5, 2.5] and all(type(cell) is float for cell in cells)


@pytest.mark.parametrize(
    "column", [pd.Series([1, 2, None], dtype="category"), pa.array([1, 2, None]).dictionary_encode()]
)
def test_categories_are_texts_even_where_they_are_numbers(column):
    assert column_cells("here", column, "column 'x'") == ["1", "2", None]


def test_one_hot_labels_are_refused_with_the_way_to_make_labels_of_them():
    with pytest.raises(DataError, match=r"has 3×4 values as labels.*\.argmax\(1\)"):
        label_texts("here", np.zeros((3, 4)), 3)


def test_labels_are_whole_numbers_or_texts():
    assert label_texts("here", [1, 2.0, "b", None, float("nan"), True], 6) == ["1", "2", "b", None, None, "True"]
    with pytest.raises(DataError, match="a fraction as the label of example 0"):
        label_texts("here", [0.5], 1)


def test_an_array_of_one_number_is_that_number_and_longer_ones_stay():
    assert python_scalar(np.array([3])) == 3
    assert python_scalar(longer := np.arange(2)) is longer

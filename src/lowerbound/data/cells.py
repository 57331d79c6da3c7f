"""A column or labels of any library (list, numpy, pandas, Arrow, torch) as a list of Python values, None if missing."""

import sys
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Shaped

from lowerbound.data.reading import format_shape, refuse


def column_cells(place: str, column: Any, what: str) -> list[Any]:
    """The cells of a column of any library, categories as text; DataError if it has more than one axis."""
    if hasattr(column, "to_pylist"):  # Arrow
        return _from_arrow(column)
    if hasattr(column, "isna") and hasattr(column, "dtype"):  # pandas
        return _from_pandas(column)
    if isinstance(column, str | bytes) or not hasattr(column, "__len__"):
        refuse(place, f"has a {type(column).__name__} as {what}; pass a list or an array")
    if isinstance(column, list | tuple | range):
        return [python_scalar(cell) for cell in column]
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(column, torch.Tensor):
        column = column.detach().cpu().numpy()
    return _from_array(place, column if isinstance(column, np.ma.MaskedArray) else np.asarray(column), what)


def label_texts(place: str, labels: Any, num_examples: int) -> list[str | None]:
    """Labels as strings, one for each example; DataError for a wrong number of labels or an unsupported type."""
    cells = column_cells(place, labels, "labels")
    if len(cells) != num_examples:
        refuse(place, f"has {num_examples:,} examples and {len(cells):,} labels; pass one label for each")
    return [_label(place, index, cell) for index, cell in enumerate(cells)]


def python_scalar(cell: Any) -> Any:
    """A scalar of numpy or torch, or an array with one element, as a Python value; anything else unchanged."""
    return cell.item() if hasattr(cell, "item") and prod(getattr(cell, "shape", (0,))) == 1 else cell


def _label(place: str, index: int, label: Any) -> str | None:
    if label is None or isinstance(label, str):
        return label
    if isinstance(label, float) and label != label:
        return None
    if isinstance(label, int) or (isinstance(label, float) and label.is_integer()):
        return str(label) if isinstance(label, bool) else str(int(label))
    came = "a fraction" if isinstance(label, float) else f"a {type(label).__name__}"
    refuse(place, f"has {came} as the label of example {index}; accepted: integers, strings or booleans")


def _from_array(place: str, column: Shaped[np.ndarray, "..."], what: str) -> list[Any]:
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        hint = "; for one-hot labels pass .argmax(1)" if what == "labels" and column.ndim == 2 else ""
        refuse(place, f"has {format_shape(column.shape)} values as {what}; pass one for each example{hint}")
    if column.dtype.kind == "M":  # numpy gives nanoseconds as integers
        return [None if np.isnat(date) else str(date) for date in column]
    return [python_scalar(cell) for cell in column.tolist()]


def _from_pandas(column: Any) -> list[Any]:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return [None if cell != cell else cell for cell in np.asarray(column).tolist()]  # NaN differs from itself
    is_category = column.dtype.name == "category"
    cells = np.asarray(column.astype(object), object).tolist()
    is_missing = np.asarray(column.isna()).tolist()
    return [
        None if missing else (_as_text(cell) if is_category else python_scalar(cell))
        for cell, missing in zip(cells, is_missing, strict=True)
    ]


def _from_arrow(column: Any) -> list[Any]:
    cells = column.to_pylist()
    is_category = hasattr(column.type, "value_type") and hasattr(column.type, "index_type")  # a dictionary
    return [None if cell is None else _as_text(cell) for cell in cells] if is_category else cells


def _as_text(cell: Any) -> str:
    """A category as text, so that a numeric category is not read as a number."""
    cell = python_scalar(cell)
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)

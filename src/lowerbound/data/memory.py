"""Data that a Python program holds, as stored numbers or cells."""

from typing import Any

import numpy as np

from lowerbound.data.arrays import labels_of
from lowerbound.data.examples import RawArray
from lowerbound.data.splits import Splits
from lowerbound.data.tables import RawTable


def raw_of(values: Any, labels: Any = None, place: str = "the array") -> RawArray | RawTable | Splits:
    """Numbers or cells from an array, a tensor or a table."""
    array = np.asarray(values)
    return RawArray(
        place=place, values=array, labels=None if labels is None else labels_of(place, np.asarray(labels), len(array))
    )

"""Cells of rows as JSON has them: numbers for numeric columns, levels for others, true and false only as levels.

In Python true is the number 1, so cells are checked before they become a table; how a table's cells are read is in
data/rows.py.
"""

from typing import Any

import numpy as np

from lowerbound.foundation.schema import Column
from lowerbound.serving.service.fields import shown
from lowerbound.serving.service.limits import RequestError

LEVELS_SHOWN = 8
LARGEST = float(np.finfo(np.float32).max)


def checked_cell(column: Column, cell: Any) -> Any:
    """The cell as a table is read from it, true and false as the column's levels; RequestError for any other."""
    if isinstance(cell, bool):
        return _level_of(column, cell)
    if isinstance(cell, int | float) and abs(cell) > LARGEST:
        raise no_cell(column, cell)
    return cell


def no_cell(column: Column, cell: Any) -> RequestError:
    """What came in place of a cell, and what is accepted."""
    came = repr(cell) if isinstance(cell, str) else shown(cell)
    return RequestError(400, f"column {column.name!r} cannot be {came}; it is {_accepted(column)}.")


def _level_of(column: Column, cell: bool) -> str:
    """The level that says true or false, however the data write it."""
    levels = [level for level in column.levels if level.lower() == str(cell).lower()]
    if not levels:
        raise no_cell(column, cell)
    return levels[0]


def _accepted(column: Column) -> str:
    if not column.levels:
        return "a number"
    more = ", ..." if column.num_levels > LEVELS_SHOWN else ""
    return f"one of {', '.join(column.levels[:LEVELS_SHOWN])}{more}"

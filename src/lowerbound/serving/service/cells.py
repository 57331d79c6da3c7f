"""Cells of table rows as JSON: numbers in numeric columns, levels in others, true and false only as levels.

In Python, True equals 1, so cells are checked before they become a table. How a table's cells are read is in
data/table_examples.py.
"""

from typing import Any

import numpy as np

from lowerbound.foundation.schema import Column
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.http.json_bodies import shown

LEVELS_SHOWN = 8
MAX_NUMBER = float(np.finfo(np.float32).max)


def checked_cell(column: Column, cell: Any) -> Any:
    """The cell as the table reader takes it, true and false as levels; RequestError for an invalid one."""
    if isinstance(cell, bool):
        return _level_of(column, cell)
    if isinstance(cell, int | float) and abs(cell) > MAX_NUMBER:
        raise invalid_cell(column, cell)
    return cell


def invalid_cell(column: Column, cell: Any) -> RequestError:
    """The cell that was sent, and what the column accepts."""
    sent = repr(cell) if isinstance(cell, str) else shown(cell)
    return RequestError(400, f"column {column.name!r} cannot be {sent}; accepted: {_accepted(column)}.")


def _level_of(column: Column, cell: bool) -> str:
    """The level that stands for true or false, in any capitalisation."""
    levels = [level for level in column.levels if level.lower() == str(cell).lower()]
    if not levels:
        raise invalid_cell(column, cell)
    return levels[0]


def _accepted(column: Column) -> str:
    if not column.levels:
        return "a number"
    more = ", ..." if column.num_levels > LEVELS_SHOWN else ""
    return f"one of {', '.join(column.levels[:LEVELS_SHOWN])}{more}"

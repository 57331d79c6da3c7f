"""Numbers such as -999 that may mean a missing cell: pointed out, never changed.

Suspected are the least and the greatest number of a column if they consist of nines, occur more than once, and lie
further from all other numbers than these lie from one another.
"""

import json
import re

import numpy as np

from lowerbound.data.known_cells import KnownCells
from lowerbound.data.number_parsing import as_text
from lowerbound.foundation.text import pluralise

NINES = re.compile(r"-?99+")
LEAST_GAP = 50  # below which 99 is a number like 98
LEAST_CELLS = 2  # with the number, to suspect it


def about_number_markers(known: KnownCells) -> str:
    """A note on numbers of a column that may be markers of missing cells; empty if there are none."""
    values = known.values[~np.isnan(known.values)]
    different, counts = np.unique(values, return_counts=True)
    if len(different) < 2:
        return ""
    ends = ((0, different[1:]), (-1, different[:-1]))
    suspected = [different[end] for end, others in ends if _is_suspect(different[end], counts[end], others)]
    if not suspected:
        return ""
    is_one = np.isin(known.values, suspected)
    written = sorted({known.texts[index] for index in np.flatnonzero(is_one).tolist()})
    others = values[~np.isin(values, suspected)]
    where = f"from {others.min():g} to {others.max():g}" if others.size else "different"
    come = f"has {', '.join(map(as_text, suspected))} in {pluralise(int(is_one.sum()), 'cell')}; the others are {where}"
    remedy = (
        f"set data.missing_markers={json.dumps(written)}, which replaces the list of markers"
        if known.table.is_text
        else "replace such cells with NaN"
    )
    return f"{come}: if it means missing, {remedy}"


def _is_suspect(number: float, count: int, others: np.ndarray) -> bool:
    gap = float(np.abs(others - number).min())
    return (
        count >= LEAST_CELLS and bool(NINES.fullmatch(as_text(number))) and gap > max(LEAST_GAP, float(np.ptp(others)))
    )

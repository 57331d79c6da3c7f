"""The decimal sign of a CSV, inferred from its cells.

It is the comma if the separator is another character and numbers have commas, else the point. `1,100` and `1.100` are
ambiguous: a comma is refused and a point noted, unless another cell settles the sign.
"""

from collections.abc import Sequence
from itertools import islice

from lowerbound.data import number_parsing
from lowerbound.data.known_cells import is_missing
from lowerbound.data.reading import refuse
from lowerbound.data.tables import RawTable
from lowerbound.foundation.schema import MISSING_MARKERS

SAMPLE = 10_000  # cells of a column used to infer the decimal sign
LEAST_NUMBERS = 0.95  # of a column's known cells, for it to be numeric


def infer_decimal_sign(table: RawTable, names: Sequence[str]) -> number_parsing.Decimal:
    """The decimal sign of a CSV: a comma if numbers have one and the separator is another character."""
    if table.decimal:
        return table.decimal
    if not table.is_text or table.separator == ",":
        return "."
    with_comma = [name for name in names if _is_written_with(table, name, ",")]
    with_point = [name for name in names if _is_written_with(table, name, ".")]
    if with_comma and with_point:
        refuse(
            table.place,
            f"has decimal commas in column {with_comma[0]!r} and decimal points in column {with_point[0]!r}; set "
            "data.decimal, or exclude one of them (data.exclude)",
        )
    if with_comma and _all_may_be_thousands(table, with_comma, ","):
        name = with_comma[0]
        text = _first(table, name, ",")
        refuse(
            table.place,
            f"has numbers such as {text!r} in column {name!r}, whose comma is ambiguous (thousands or decimal); "
            'for a decimal comma set data.decimal=",", otherwise write them without the comma',
        )
    return "," if with_comma else "."


def thousands_notes(table: RawTable, names: Sequence[str], decimal: number_parsing.Decimal) -> tuple[str, ...]:
    """A note on each column whose points are read as decimal signs but might separate thousands."""
    if not table.is_text or table.decimal or table.separator == "," or decimal == ",":
        return ()
    with_point = [name for name in names if _is_written_with(table, name, ".")]
    if not _all_may_be_thousands(table, with_point, "."):
        return ()
    texts = [_first(table, name, ".") for name in with_point]
    return tuple(
        f"column {name!r} has three digits after each point: {text!r} is read as {float(text):g} (if the point "
        'separates thousands, write the numbers without it; data.decimal="." confirms it)'
        for name, text in zip(with_point, texts, strict=True)
    )


def _all_may_be_thousands(table: RawTable, names: Sequence[str], sign: number_parsing.Decimal) -> bool:
    """Whether every number of these columns could use `sign` for thousands; 1,5 and 0,125 could not."""
    cells = [cell for name in names for cell in islice(filter(None, table.columns[name]), SAMPLE) if sign in cell]
    return all(
        number_parsing.may_have_thousands(cell, sign)
        for cell in cells
        if number_parsing.parse_number(cell, sign) is not None
    )


def _first(table: RawTable, name: str, sign: number_parsing.Decimal) -> str:
    return next(cell for cell in table.columns[name] if cell and number_parsing.may_have_thousands(cell, sign))


def _is_written_with(table: RawTable, name: str, decimal: number_parsing.Decimal) -> bool:
    cells = list(islice(filter(None, table.columns[name]), SAMPLE))
    cells = [cell for cell in cells if not is_missing(cell, frozenset(MISSING_MARKERS))]
    has_sign = any(decimal in cell for cell in cells)
    return has_sign and _share([number_parsing.parse_plain_number(cell, decimal) for cell in cells]) >= LEAST_NUMBERS


def _share(found: Sequence[float | None]) -> float:
    return 1 - found.count(None) / len(found) if found else 0.0

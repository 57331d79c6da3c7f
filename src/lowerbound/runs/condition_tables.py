"""Conditions of new data in a file of their own: a table or an array with a column for each condition."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowerbound.data.conditions import check_one_for_each
from lowerbound.data.factor_columns import columns_of_file
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import printable
from lowerbound.data.tables import RawTable, quoted_list
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.schema import Schema


def with_conditions_of(path: Path, raw: RawArray | RawTable, schema: Schema) -> RawArray | RawTable:
    """Data with the conditions in a file: rows by the names of images if it has a column of these, else in order.

    Other columns are not used. UsageError for a file without any of the conditions, or with another number of rows.
    """
    return replace(raw, factors={**(raw.factors or {}), **_conditions(path, raw, schema, raw.num_rows)})


def values_of(path: Path, schema: Schema, num: int | None = None) -> dict[str, Sequence[Any]]:
    """The values of conditions in a file, a row for each of `num` examples, if that is given; UsageError as above."""
    return _conditions(path, RawTable("", {}), schema, num)


def _conditions(path: Path, raw: RawArray | RawTable, schema: Schema, num: int | None) -> dict[str, Sequence[Any]]:
    columns, names = columns_of_file(path, raw), [column.name for column in schema.conditions]
    found = {name: columns[name] for name in names if name in columns}
    if not found:
        about = f"it is conditional on {quoted_list(names)}" if names else "it is not conditional"
        raise UsageError(f"{printable(path)} has {quoted_list(columns)}, which the model does not take: {about}.")
    for name, values in found.items():
        check_one_for_each(name, values, len(values) if num is None else num)
    return found

"""Writers of named columns, one row for each example: .csv, .npz, .parquet and .json; checks of output paths.

Non-finite numbers become null in JSON and Parquet and empty in CSV; .npz keeps them.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from lowerbound.data.reading import pyarrow_for
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.schema import Column, Schema
from lowerbound.foundation.storage import write_bytes, write_text

Columns = Mapping[str, np.ndarray]
"""For each name, one value or one row of values per example."""


@dataclass(frozen=True)
class CsvForm:
    """The signs of a CSV."""

    separator: str = ","
    decimal: str = "."


STANDARD = CsvForm()

WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")  # a label that is an integer in canonical form


def check_suffix(path: Path) -> None:
    """UsageError for a suffix without a writer, raised before anything is computed."""
    if path.suffix not in WRITERS:
        raise UsageError(f"{path} ends in {path.suffix or 'nothing'!r}; accepted: {', '.join(WRITERS)}.")
    if path.suffix == ".parquet":
        needed_pyarrow()


def check_output(path: Path, inputs: Sequence[str], is_table: bool = True) -> None:
    """UsageError, before anything is computed, for an output that is an input, lies in one, or has an unsupported
    format. Images are written as PNG. An empty name is no input.
    """
    written = path.expanduser().resolve()
    for name in filter(None, inputs):
        given = Path(name).expanduser()
        if given.exists() and (
            given.resolve() == written or (path.exists() and written.is_relative_to(given.resolve()))
        ):
            raise UsageError(f"{path} is the input, or part of it; choose another output.", hint="out")
    if is_table:
        check_suffix(path)
    elif path.suffix.lower() != ".png":
        raise UsageError(f"{path} ends in {path.suffix or 'nothing'!r}; images are written as .png.")


def csv_form(schema: Schema) -> CsvForm:
    """The signs with which rows are written that a run's schema reads again, as those of its own table."""
    return CsvForm(schema.separator or (";" if schema.decimal == "," else ","), schema.decimal)


def write_columns(path: Path, columns: Columns, form: CsvForm = STANDARD) -> None:
    """Write columns in the format of the file's suffix; UsageError for an unsupported one. `form` is that of a CSV."""
    check_suffix(path)
    if path.suffix == ".csv":
        _write_csv(path, columns, form)
    else:
        WRITERS[path.suffix](path, columns)


def named_columns(rows: Float[np.ndarray, "row column"], columns: Sequence[Column]) -> Columns:
    """The cells of a table under its columns' names, levels as text."""
    return {column.name: column.as_written(rows[:, index]) for index, column in enumerate(columns)}


def drawn_columns(rows: Float[np.ndarray, "row column"], columns: Sequence[Column]) -> Columns:
    """The same for rows sampled from a model, with the precision of the training table."""
    return {column.name: column.as_drawn(rows[:, index]) for index, column in enumerate(columns)}


def flat(columns: Columns) -> dict[str, np.ndarray]:
    """Columns with one value per example: mean becomes mean_1, mean_2, ..."""
    single: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        if values.ndim == 1:
            single[name] = values
        else:
            single |= {f"{name}_{index + 1}": column for index, column in enumerate(values.T)}
    return single


def labels_column(names: Sequence[str], positions: Integer[np.ndarray, " example"]) -> np.ndarray:
    """The labels of examples: integers if all labels are integers, else texts."""
    are_whole = bool(names) and all(WHOLE.fullmatch(name) for name in names)
    values = np.array([int(name) for name in names], np.int64) if are_whole else np.array(names, dtype=str)
    return values[positions]


def records(columns: Columns) -> list[dict[str, Any]]:
    """One mapping of names to values for each example; None for a number that is not finite."""
    single = {name: _finite_or_none(values) for name, values in flat(columns).items()}
    return [dict(zip(single, row, strict=True)) for row in zip(*single.values(), strict=True)]


def _write_csv(path: Path, columns: Columns, form: CsvForm = STANDARD) -> None:
    single = flat(columns)
    text = StringIO()
    writer = csv.writer(text, delimiter=form.separator, lineterminator="\n")
    writer.writerow(single)
    # A lone carriage return ends a line for most readers, and is not quoted by itself.
    quoting = csv.writer(text, delimiter=form.separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in zip(*(values.tolist() for values in _short(single, form.decimal).values()), strict=True):
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (quoting if has_return else writer).writerow(row)
    write_text(path, text.getvalue())


def _short(columns: Columns, decimal: str) -> dict[str, np.ndarray]:
    # Only the digits of a 32-bit float.
    return {
        name: np.array(as_texts(values, decimal), dtype=object) if values.dtype.kind == "f" else values
        for name, values in columns.items()
    }


def as_texts(values: np.ndarray, decimal: str = ".") -> list[str]:
    """Cells as text, with the digits that their type needs; those that are not finite are empty."""
    if values.dtype.kind != "f":
        return [str(value) for value in values.tolist()]
    return [str(value).replace(".", decimal) if np.isfinite(value) else "" for value in values]


def _finite_or_none(values: np.ndarray) -> list[Any]:
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return list(values.tolist())
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _write_npz(path: Path, columns: Columns) -> None:
    buffer = BytesIO()
    np.savez(buffer, **columns)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _write_parquet(path: Path, columns: Columns) -> None:
    pyarrow = needed_pyarrow()
    from pyarrow import parquet

    buffer = BytesIO()
    parquet.write_table(pyarrow.table(arrow_columns(columns)), buffer)
    write_bytes(path, buffer.getvalue())


def arrow_columns(columns: Columns) -> dict[str, Any]:
    """Columns as Arrow arrays, one value per example; null for a number that is not finite."""
    pyarrow = needed_pyarrow()
    return {name: pyarrow.array(values, mask=_is_absent(values)) for name, values in flat(columns).items()}


def _is_absent(values: np.ndarray) -> np.ndarray | None:
    return ~np.isfinite(values) if values.dtype.kind == "f" else None


def _write_json(path: Path, columns: Columns) -> None:
    write_text(path, json.dumps(records(columns), indent=1, allow_nan=False) + "\n")


def needed_pyarrow() -> Any:
    """The module pyarrow; UsageError if it is not installed."""
    return pyarrow_for("Parquet is written", ", or choose .csv")


WRITERS: dict[str, Callable[[Path, Columns], None]] = {
    ".csv": _write_csv,
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".json": _write_json,
}

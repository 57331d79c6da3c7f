"""with_factors(): factors given with data: a table in memory or in a file, or columns of the data's own table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from lowerbound.data.arrays import read_npy
from lowerbound.data.factors import Cells, check_num_factors
from lowerbound.data.label_files import FILE_COLUMNS, LabelRow, LabelTable, match_labels
from lowerbound.data.parquet import read_parquet
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import format_shape, printable, refuse
from lowerbound.data.tables import RawTable, quoted_list, read_csv
from lowerbound.foundation.errors import ConfigError

Raw = RawArray | RawTable

READERS: dict[str, Callable[[Path], Raw]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".npy": read_npy,
}
"""Readers of tables of factors by the file's suffix."""

ACCEPTED = "the path of a .csv, .tsv or .parquet table with a column for each factor, or of a .npy array with one"


def with_factors(raw: Raw, columns: Mapping[str, Cells]) -> Raw:
    """The data with factors; DataError unless each column has a cell for each example."""
    check_num_factors(raw.place, columns, raw.num_rows)
    return replace(raw, factors=dict(columns))


def with_own_factors(table: RawTable, names: Sequence[str]) -> RawTable:
    """A table some of whose columns are factors, which are not part of x; DataError for names that it lacks."""
    absent = [name for name in names if name not in table.columns]
    if absent:
        refuse(table.place, f"has no column {absent[0]!r} for factors; it has {quoted_list(table.columns)}")
    kept = {name: cells for name, cells in table.columns.items() if name not in names}
    return replace(table, columns=kept, factors={name: table.columns[name] for name in names})


def factor_table(factors: RawArray | RawTable, place: str) -> dict[str, Cells]:
    """The columns of factors in memory; those of an array without names are numbered."""
    if isinstance(factors, RawTable):
        return dict(factors.columns)
    values = factors.values[:, np.newaxis] if factors.values.ndim == 1 else factors.values
    if values.ndim != 2:
        refuse(
            place, f"has factors of shape {format_shape(values.shape)}; give a table, or an array of examples × factors"
        )
    return {f"factor {number + 1}": column.tolist() for number, column in enumerate(values.T)}


def with_factors_of_file(raw: Raw, names: Sequence[str]) -> Raw:
    """The data with the factors that `data.factors` names: columns of its own table, or a table in a file.

    Rows of a file belong to examples in order or, if it has a column of file names, to images of these names.
    """
    if isinstance(raw, RawTable) and (len(names) > 1 or names[0] in raw.columns):
        return with_own_factors(raw, names)
    path = Path(names[0]).expanduser()
    if len(names) > 1 or path.suffix.lower() not in READERS:
        own = ", or columns of the table itself" if isinstance(raw, RawTable) else ""
        raise ConfigError(f"data.factors is {quoted_list(names)}; accepted: {ACCEPTED}{own}.")
    return with_factors(raw, columns_of_file(path, raw))


def columns_of_file(path: Path, raw: Raw) -> dict[str, Cells]:
    """The columns of a table, or of an array, in a file of their own; rows with names of images in the images' order.

    DataError for a file that cannot be read, and for an image without a row.
    """
    if not path.exists():
        refuse(path, "does not exist")
    found = READERS[path.suffix.lower()](path)
    by_file = None
    if isinstance(found, RawTable):
        by_file = next((name for name in found.columns if name.lower() in FILE_COLUMNS), None)
    if by_file is None or isinstance(raw, RawTable) or not raw.ids:
        return factor_table(found, printable(path))
    assert isinstance(found, RawTable)
    return _matched(raw, found, by_file)


def _matched(raw: RawArray, table: RawTable, by_file: str) -> dict[str, Cells]:
    """Columns in the order of the images, by their names; DataError for an image without a row."""
    rows = tuple(LabelRow(str(name), str(row), row + 1) for row, name in enumerate(table.columns[by_file]))
    names = [PurePosixPath(name) for name in raw.ids]
    matched = match_labels(LabelTable(table.place, rows), names, PurePosixPath(raw.place).name).of
    absent = next((name for at, name in enumerate(names) if at not in matched), None)
    if absent is not None:
        refuse(table.place, f"has no row for {printable(str(absent))}; give one for every image")
    order = np.array([int(str(matched[at])) for at in range(len(names))])
    return {name: [cells[at] for at in order] for name, cells in table.columns.items() if name != by_file}

"""Small tables as files, for tests of what reads them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lowerbound.data.examples import Collection
from lowerbound.data.table_examples import conformed_table
from lowerbound.data.table_schema import Inferred, inferred
from lowerbound.data.tables import STANDARD, RawTable, TableOptions, read_csv

NUM_ROWS = 200
RNG = np.random.default_rng(0)
MEASURED = RNG.normal(50, 10, NUM_ROWS).round(1).tolist()
AGES = RNG.integers(18, 90, NUM_ROWS).tolist()


def csv_file(path: Path, columns: dict[str, Sequence[object]], separator: str = ",") -> Path:
    lines = [separator.join(columns), *(separator.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def beside(cells: Sequence[object]) -> dict[str, Sequence[object]]:
    """A column x, and another of measurements."""
    return {"x": cells, "other": MEASURED[: len(cells)]}


def learned(table: RawTable, options: TableOptions = STANDARD) -> tuple[Inferred, Collection]:
    found = inferred(table, options)
    return found, conformed_table(table, found.schema)


def learned_csv(path: Path, text: str, options: TableOptions = STANDARD) -> tuple[Inferred, Collection]:
    path.write_text(text, encoding="utf-8")
    return learned(read_csv(path, options), options)

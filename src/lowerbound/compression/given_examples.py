"""given_examples: what is to be compressed, as levels, with all that is needed to give it back as it was."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.coding.element_coding import Levels
from lowerbound.compression.image_names import within_folder, written_names
from lowerbound.compression.stored_levels import Units, levels_of
from lowerbound.compression.table_cells import (
    StoredTable,
    Texts,
    levels_of_table,
    packed_texts,
    table_of_rows,
)
from lowerbound.data.examples import Collection
from lowerbound.data.objects import read_object
from lowerbound.data.raw_array import RawArray
from lowerbound.data.tables import RawTable
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.foundation.schema import Column
from lowerbound.runs.inputs import InputOptions, read_inputs, read_stored, read_table
from lowerbound.runs.trained_model import TrainedModel

ARRAYS = (".npy", ".npz", ".safetensors")
"""Files whose array comes back with its own type and shape."""


@dataclass(frozen=True, kw_only=True)
class GivenExamples:
    """Examples to compress."""

    levels: Levels
    units: Units
    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    table: StoredTable | None = None
    texts: Texts = field(default_factory=dict)  # of a table: all its cells
    notes: tuple[str, ...] = ()

    def packed_texts(self, start: int, stop: int, columns: Sequence[Column]) -> bytes:
        """What levels do not say of the rows from `start` to `stop`."""
        if self.table is None:
            return b""
        some = {name: cells[start:stop] for name, cells in self.texts.items()}
        return packed_texts(some, self.levels[start:stop], self.table, columns)


def given_examples(trained: TrainedModel, data: Any, data_dir: str, with_labels: bool) -> GivenExamples:
    """The run's test examples, those of paths or a named source, an array or a table.

    DataError for what could not be given back, UsageError for labels that are not there.
    """
    if trained.schema.layout == "table":
        found = _rows(trained, data, data_dir)
    else:
        found = _arrays(trained, data, data_dir, with_labels)
    if not len(found.levels):
        raise DataError("there are no examples to compress.")
    return found


def _arrays(trained: TrainedModel, data: Any, data_dir: str, with_labels: bool) -> GivenExamples:
    collection, given = _read(trained, data, InputOptions(data_dir=data_dir))
    levels, units = levels_of(collection, trained.vae, trained.schema, given)
    labels = _labels(collection) if with_labels else ()
    ids = within_folder(collection.ids)
    written_names(ids)  # what could not be written back is refused now
    return GivenExamples(levels=levels, units=units, names=ids, labels=labels, notes=collection.notes)


def _read(trained: TrainedModel, data: Any, options: InputOptions) -> tuple[Collection, np.ndarray | None]:
    """Examples, and the array that they come from, if they come from one."""
    if not _are_names(data):
        return trained.examples(data), data if isinstance(data, np.ndarray) else None
    names = _names(data)
    if len(names) != 1 or not names[0].endswith(ARRAYS):
        return read_inputs(trained, names, options), None
    raw = read_stored(trained, names[0], options)
    return trained.collection(raw), raw.values if isinstance(raw, RawArray) else None


def _labels(collection: Collection) -> tuple[str, ...]:
    labels = collection.examples.labels
    if labels is None or not collection.label_names:
        raise UsageError("the examples have no labels that could be kept.", hint="no_labels")
    return tuple(collection.label_names[label] for label in np.asarray(labels))


def _rows(trained: TrainedModel, data: Any, data_dir: str) -> GivenExamples:
    table, notes = _table(trained, data, data_dir)
    checked = trained.collection(table)  # refuses cells that the model's columns do not accept
    levels, stored, texts = levels_of_table(table, trained.schema)
    # The columns have units of their own.
    units = Units(0.0, 1.0, num_levels=2, dtype="<f8", shape=(len(stored.columns),), is_image=False)
    return GivenExamples(
        levels=levels, units=units, table=stored, texts=texts, notes=tuple(dict.fromkeys((*notes, *checked.notes)))
    )


def _table(trained: TrainedModel, data: Any, data_dir: str) -> tuple[RawTable, tuple[str, ...]]:
    """The cells of rows, and notes on them."""
    options = InputOptions(data_dir=data_dir)
    if data is None:
        rows = read_inputs(trained, [], options)
        return table_of_rows(rows), ("numbers of the run's test rows are written with the digits that were stored",)
    if _are_names(data):
        return read_table(trained, _names(data), options), ()
    raw = read_object(data, place="the table")
    if not isinstance(raw, RawTable):
        raise UsageError(
            "the run was trained on a table; lossless compression takes one: a DataFrame, a mapping of columns, "
            "a .csv or .parquet file."
        )
    return raw, ()


def _are_names(data: Any) -> bool:
    """Whether data are read: the run's own, or those of paths or a named source."""
    is_list = isinstance(data, list | tuple) and bool(data) and all(isinstance(name, str | Path) for name in data)
    return data is None or isinstance(data, str | Path) or is_list


def _names(data: Any) -> list[str]:
    return [] if data is None else [str(data)] if isinstance(data, str | Path) else [str(name) for name in data]

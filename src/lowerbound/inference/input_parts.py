"""InputParts: the inputs of a task read part by part, so that packed data of any size fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from lowerbound.data.column_writers import Columns
from lowerbound.data.examples import Collection, Examples, RawArray
from lowerbound.data.packed_data import packed_examples
from lowerbound.data.packed_files import is_packed, read_manifest
from lowerbound.data.reading import refuse_mismatch
from lowerbound.data.remote import Location
from lowerbound.data.sources import checksum
from lowerbound.foundation.schema import Column, Schema
from lowerbound.runs.inputs import InputOptions, read_inputs
from lowerbound.runs.trained_model import TrainedModel

MOST_ROWS = 8_192  # of a part
MOST_BYTES = 2**25  # of a part's values, about


@dataclass(frozen=True, eq=False)
class Part:
    """Some consecutive inputs."""

    ids: np.ndarray  # of each example that could be read: its name, or its number among all inputs
    collection: Collection

    @property
    def examples(self) -> Examples:
        """The examples that could be read; rows of a table that could not keep their place."""
        return self.collection.examples


class InputParts(Protocol):
    """Examples in order, of which any range can be read by the model's schema."""

    num_rows: int
    identity: str  # a checksum
    rows_at_once: int

    def part(self, start: int, stop: int) -> Part:
        """The examples from `start` to `stop`; DataError for what does not fit."""
        ...


def open_inputs(trained: TrainedModel, inputs: Sequence[str], options: InputOptions) -> InputParts:
    """Packed data, read when needed; or any other inputs, which are read whole."""
    if len(inputs) == 1 and is_packed(location := Location(inputs[0])):
        return PackedInputs(trained, location, options.skip_broken)
    return LoadedInputs(read_inputs(trained, inputs, options))


def parts_of(inputs: InputParts, start: int = 0, stop: int | None = None) -> Iterator[Part]:
    """The examples of a range, a part at a time; all by default, and one empty part if there are none."""
    stop = inputs.num_rows if stop is None else stop
    for first in range(start, max(stop, start + 1), inputs.rows_at_once):
        yield inputs.part(first, min(first + inputs.rows_at_once, stop))


def joined(columns: Sequence[Columns]) -> Columns:
    """The columns of several parts, one after another."""
    return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}


class LoadedInputs:
    """Inputs in memory."""

    def __init__(self, collection: Collection) -> None:
        self.collection, self.num_rows = collection, len(collection.examples)
        self.identity = checksum([collection.examples])
        self.rows_at_once = MOST_ROWS

    def part(self, start: int, stop: int) -> Part:
        """The examples of a range; what was skipped, and notes on the reading, come with the first."""
        whole = self.collection
        skipped, notes = ((), ()) if start else (whole.skipped, whole.notes)
        unreadable = {row - start: reason for row, reason in whole.unreadable.items() if start <= row < stop}
        examples = whole.examples.subset(np.arange(start, stop))
        ids = np.array(whole.ids[start:stop]) if whole.ids else np.arange(start, stop)
        return Part(ids, replace(whole, examples=examples, ids=(), skipped=skipped, notes=notes, unreadable=unreadable))


class PackedInputs:
    """All rows of packed data, of its splits one after another."""

    def __init__(self, trained: TrainedModel, location: Location, skip_broken: bool) -> None:
        manifest = read_manifest(location)
        self.trained, self.schema, self.skip_broken = trained, manifest.schema, skip_broken
        self.place, self.identity, self.num_rows = str(location), manifest.checksum, manifest.num_rows
        self.examples = packed_examples(location, manifest)
        if trained.schema.has_named_columns:
            _check_columns(self.place, self.schema, trained.schema)
        row_bytes = int(np.prod(self.schema.shape)) * np.dtype(manifest.dtype).itemsize
        self.rows_at_once = max(1, min(MOST_ROWS, MOST_BYTES // row_bytes))

    def part(self, start: int, stop: int) -> Part:
        """The examples of a range, numbered by their place in the data."""
        few = self.examples.subset(np.arange(start, stop))
        numbers = np.arange(start, stop)
        collection = self._rows(few) if self.trained.schema.has_named_columns else self._array(few, numbers)
        # If some were skipped, the ids are the positions of the others.
        return Part(numbers[np.array(collection.ids, np.int64)] if collection.ids else numbers, collection)

    def _array(self, few: Examples, numbers: np.ndarray) -> Collection:
        schema = self.schema
        values = few.values + np.reshape(schema.offset, schema.shape) if schema.offset else few.values
        labels = None if few.labels is None else [schema.label_names[label] for label in np.asarray(few.labels)]
        raw = RawArray(place=self.place, values=values, labels=labels, numbers=numbers)
        found = self.trained.collection(raw, self.skip_broken)
        # The names of all labels, not only of those in this part.
        chosen = few.labels if not found.ids or few.labels is None else few.labels[np.array(found.ids, np.int64)]
        return replace(found, examples=replace(found.examples, labels=chosen), label_names=schema.label_names)

    def _rows(self, few: Examples) -> Collection:
        """Rows of a table, which are packed in the form that the model takes."""
        rows = replace(few, columns=self.trained.schema.columns)
        found = Collection(rows, self.schema.label_names, schema=self.trained.schema, place=self.place)
        return self.trained.supported(found, self.skip_broken)


def _check_columns(place: str, packed: Schema, known: Schema) -> None:
    """SchemaError unless the columns of a packed table are those of the model's, coded in the same way."""

    def coded(columns: Sequence[Column]) -> list[tuple[object, ...]]:
        return [(column.name, column.kind, column.levels, column.offset) for column in columns]

    if coded(packed.columns) != coded(known.columns):
        pairs = zip(packed.columns, known.columns, strict=False)
        differing = [theirs.name for theirs, ours in pairs if coded([theirs]) != coded([ours])]
        about = f"column {differing[0]!r} is of another kind" if differing else "it has other columns"
        refuse_mismatch(place, f"was not packed for this model: {about}; pack the table again by the schema of the run")

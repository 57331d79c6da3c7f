"""InputParts: the inputs of a task read part by part, so that packed data of any size fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

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


class InputParts(Protocol):
    """Examples in order, of which any range can be read by the model's schema."""

    num_rows: int
    identity: str  # a checksum
    rows_at_once: int

    def part(self, start: int, stop: int) -> Collection:
        """The examples from `start` to `stop`, with their ids; DataError for what does not fit."""
        ...


def open_inputs(trained: TrainedModel, inputs: Sequence[str], options: InputOptions) -> InputParts:
    """Packed data, read when needed; or any other inputs, which are read whole."""
    if len(inputs) == 1 and is_packed(location := Location(inputs[0])):
        return PackedInputs(trained, location, options.skip_broken)
    return LoadedInputs(read_inputs(trained, inputs, options))


def parts_of(inputs: InputParts, start: int, stop: int) -> Iterator[Collection]:
    """The examples of a range, a part at a time."""
    for first in range(start, stop, inputs.rows_at_once):
        yield inputs.part(first, min(first + inputs.rows_at_once, stop))


class LoadedInputs:
    """Inputs in memory."""

    def __init__(self, collection: Collection) -> None:
        self.collection, self.num_rows = collection, len(collection.examples)
        self.identity = checksum([collection.examples])
        self.rows_at_once = MOST_ROWS

    def part(self, start: int, stop: int) -> Collection:
        """The examples of a range; `skipped` and `notes` come with the first."""
        chosen = self.collection.subset(np.arange(start, stop))
        about = () if start else self.collection.skipped, () if start else self.collection.notes
        unreadable = {row - start: reason for row, reason in self.collection.unreadable.items() if start <= row < stop}
        return replace(chosen, skipped=about[0], notes=about[1], unreadable=unreadable)


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

    def part(self, start: int, stop: int) -> Collection:
        """The examples of a range, numbered by their place in the data."""
        few = self.examples.subset(np.arange(start, stop))
        numbers = np.arange(start, stop)
        if self.trained.schema.has_named_columns:
            return self.trained.supported(self._rows(few, numbers), self.skip_broken)
        values = few.values + np.reshape(self.schema.offset, self.schema.shape) if self.schema.offset else few.values
        names = self.schema.label_names
        labels = None if few.labels is None else [names[label] for label in np.asarray(few.labels)]
        raw = RawArray(place=self.place, values=values, labels=labels, numbers=numbers)
        found = self.trained.collection(raw, self.skip_broken)
        return replace(found, ids=found.ids or tuple(map(str, numbers.tolist())))

    def _rows(self, few: Examples, numbers: np.ndarray) -> Collection:
        """Rows of a table, which are packed in the form that the model takes."""
        return Collection(
            replace(few, columns=self.trained.schema.columns),
            self.schema.label_names,
            ids=tuple(map(str, numbers.tolist())),
            schema=self.trained.schema,
            place=self.place,
        )


def _check_columns(place: str, packed: Schema, known: Schema) -> None:
    """SchemaError unless the columns of a packed table are those of the model's, coded in the same way."""

    def coded(columns: Sequence[Column]) -> list[tuple[object, ...]]:
        return [(column.name, column.kind, column.levels, column.offset) for column in columns]

    if coded(packed.columns) != coded(known.columns):
        pairs = zip(packed.columns, known.columns, strict=False)
        differing = [theirs.name for theirs, ours in pairs if coded([theirs]) != coded([ours])]
        about = f"column {differing[0]!r} is of another kind" if differing else "it has other columns"
        refuse_mismatch(place, f"was not packed for this model: {about}; pack the table again by the schema of the run")


def name_of(inputs: Sequence[str]) -> str:
    """Inputs in messages."""
    return Path(inputs[0]).name if inputs else "the run's test examples"

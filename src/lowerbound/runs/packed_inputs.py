"""PackedInputs: packed data as the input of a trained model, read by its schema, whole or part by part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lowerbound.data.examples import Collection, Examples
from lowerbound.data.packed_data import packed_examples
from lowerbound.data.packed_files import read_manifest
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import Limit, refuse_mismatch
from lowerbound.data.remote import Location
from lowerbound.foundation.schema import Column, Schema
from lowerbound.runs.trained_model import TrainedModel

MOST_ROWS = 8_192  # of a part
MOST_BYTES = 2**25  # of a part's values, about
SHARDS = "encode or score them part by part, as Parquet files"


@dataclass(frozen=True, eq=False)
class Part:
    """Some consecutive inputs."""

    ids: np.ndarray  # of each example that could be read: its name, or its number among all inputs
    collection: Collection

    @property
    def examples(self) -> Examples:
        """The examples that could be read; rows of a table that could not keep their place."""
        return self.collection.examples


class PackedInputs:
    """All rows of packed data, of its splits one after another."""

    def __init__(
        self, trained: TrainedModel, location: Location, skip_broken: bool, given: Mapping[str, str] | None = None
    ) -> None:
        manifest, self.given = read_manifest(location), dict(given or {})
        self.trained, self.schema, self.skip_broken = trained, manifest.schema, skip_broken
        self.place, self.identity, self.num_rows = str(location), manifest.checksum, manifest.num_rows
        self.examples = packed_examples(location, manifest)
        if trained.schema.has_named_columns:
            if trained.schema.conditions:
                refuse_mismatch(self.place, "is a packed table, and a conditional model reads tables; give the table")
            _check_columns(self.place, self.schema, trained.schema)
        self.num_bytes = self.num_rows * manifest.row_bytes
        self.rows_at_once = max(1, min(MOST_ROWS, MOST_BYTES // manifest.row_bytes))

    def part(self, start: int, stop: int) -> Part:
        """The examples of a range, numbered by their place in the data."""
        few = self.examples.slice(start, stop)
        numbers = np.arange(start, stop)
        collection = self._rows(few) if self.trained.schema.has_named_columns else self._array(few, numbers)
        # If some were skipped, the ids are the positions of the others.
        return Part(numbers[np.array(collection.ids, np.int64)] if collection.ids else numbers, collection)

    def whole(self, limit: Limit) -> Collection:
        """All rows; TooLarge if they exceed the limit."""
        limit.check(self.place, self.num_bytes, "is read into memory and takes", SHARDS)
        part = self.part(0, self.num_rows)
        return replace(part.collection, ids=tuple(map(str, part.ids)) if part.collection.ids else ())

    def _array(self, few: Examples, numbers: np.ndarray) -> Collection:
        schema = self.schema
        values = few.values + np.reshape(schema.offset, schema.shape) if schema.offset else few.values
        labels = None if few.labels is None else [schema.label_names[label] for label in np.asarray(few.labels)]
        raw = RawArray(place=self.place, values=values, labels=labels, numbers=numbers)
        found = self.trained.collection(raw, self.skip_broken, self.given)
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

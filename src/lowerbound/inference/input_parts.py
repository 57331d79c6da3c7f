"""InputParts: the inputs of a task read part by part, so that packed data of any size fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from lowerbound.data.column_writers import Columns
from lowerbound.data.examples import Collection, Examples
from lowerbound.data.packed_files import is_packed
from lowerbound.data.prefetch import prefetched
from lowerbound.data.remote import Location
from lowerbound.data.sources import checksum
from lowerbound.runs.inputs import InputOptions, packed_inputs, read_inputs
from lowerbound.runs.packed_inputs import MOST_ROWS, Part
from lowerbound.runs.trained_model import TrainedModel


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
        return packed_inputs(trained, location, options)
    return LoadedInputs(read_inputs(trained, inputs, options))


def parts_of(inputs: InputParts, start: int = 0, stop: int | None = None) -> Iterator[Part]:
    """The examples of a range, a part at a time; all by default, and one empty part if there are none.

    The next part is read while the last one is used.
    """
    end = inputs.num_rows if stop is None else stop
    firsts = range(start, max(end, start + 1), inputs.rows_at_once)
    return prefetched((inputs.part(first, min(first + inputs.rows_at_once, end)) for first in firsts), depth=1)


def first_of(inputs: InputParts, most: int) -> Examples:
    """The first examples, at most a number of them."""
    return inputs.part(0, min(most, inputs.num_rows)).examples


def joined(columns: Sequence[Columns]) -> Columns:
    """The columns of several parts, one after another."""
    return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}


def skipped_and_notes(parts: Sequence[Part]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What was skipped in all parts, and the notes on their reading."""
    skipped = tuple(text for part in parts for text in part.collection.skipped)
    return skipped, tuple(text for part in parts for text in part.collection.notes)


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

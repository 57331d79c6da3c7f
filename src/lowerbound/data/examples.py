"""Examples and Collection: data with labels, after a schema was applied."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int64, Integer, UInt8

from lowerbound.data.factors import Factors
from lowerbound.data.packed_rows import PackedLabels, PackedValues
from lowerbound.data.reading import STANDARD_LIMIT
from lowerbound.data.support_scan import SupportScan
from lowerbound.data.support_scan import to_model_scale as to_model_scale  # re-exported
from lowerbound.foundation.schema import Column, Layout, Range, Schema, Support

Values = UInt8[np.ndarray, "example *event"] | Float32[np.ndarray, "example *event"]
Labels = Int64[np.ndarray, " example"]
Context = Float32[np.ndarray, "example condition"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples with optional labels and factors.

    Images are height x width x channel; arrays have any shape; a row of a table is one axis of cells, NaN where one is
    missing.
    """

    stored: Values | PackedValues  # in stored units, minus the schema's offset if it has one; in memory or on disk
    max_value: float  # what the model sees as 1: 255 for 8-bit images, 16 for digits, 1 for unscaled values
    labels: Labels | PackedLabels | None = None
    is_redrawn: bool = False  # pixels are probabilities, from which every pass draws binary images
    layout: Layout = "image"
    columns: tuple[Column, ...] = ()  # of a table
    min_value: float = 0.0  # what the model sees as 0
    factors: Factors | None = None  # known factors of variation, of examples in memory
    context: Context | None = None  # the conditions of a conditional model, in the order of the schema, in memory
    inferred: Bool[np.ndarray, " example"] | None = None  # whether a classifier inferred the condition; None if none is

    def __len__(self) -> int:
        return len(self.stored)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.event_shape))
        named = "" if self.labels is None else ", with labels"
        kind = "rows" if self.layout == "table" else f"{self.layout}s"
        return f"Examples({len(self):,} {kind} of shape {shape}, {self.min_value:g} to {self.max_value:g}{named})"

    @property
    def values(self) -> Values:
        """The values in memory; those on disk are read whole, TooLarge if they exceed the standard limit."""
        if not isinstance(self.stored, PackedValues):
            return self.stored
        STANDARD_LIMIT.check(self.stored.place, self.stored.num_bytes)
        return self.stored[:]

    @property
    def is_on_disk(self) -> bool:
        """Whether the values are read from packed data when they are needed."""
        return isinstance(self.stored, PackedValues)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example in torch's layout: channels, height, width for an image."""
        shape = self.stored.shape[1:]
        return (shape[2], *shape[:2]) if self.layout == "image" else shape

    @property
    def is_given_labels(self) -> bool:
        """Whether the context is the label of each example, and nothing else."""
        if self.context is None or self.labels is None or self.context.shape[1] != 1:
            return False
        return np.array_equal(self.context[:, 0], np.asarray(self.labels))

    @property
    def given(self) -> Context | Labels | PackedLabels | None:
        """What networks that take a context are given: the conditions, or else the labels; None without either."""
        return self.labels if self.context is None else self.context

    @property
    def known_places(self) -> Int64[np.ndarray, " place"]:
        """The places of examples whose condition, the only one, came with the data: neither missing nor inferred."""
        assert self.context is not None
        is_known = ~np.isnan(self.context[:, 0])
        return np.flatnonzero(is_known if self.inferred is None else is_known & ~self.inferred)

    @property
    def has_missing_context(self) -> bool:
        """Whether some example lacks a condition, which a classifier has to infer."""
        return self.context is not None and bool(np.isnan(self.context).any())

    @property
    def range(self) -> Range:
        """The stored values that the model sees as 0 and 1."""
        return self.min_value, self.max_value

    @property
    def num_known(self) -> Int64[np.ndarray, " example"]:
        """The number of known values of each example; missing cells do not count."""
        if self.layout == "table":
            return (~np.isnan(self.values)).sum(1)
        return np.full(len(self), math.prod(self.event_shape))

    @cached_property
    def support(self) -> Support:
        """The support of the values on the model's scale."""
        if isinstance(self.stored, PackedValues):
            return self.stored.support
        return SupportScan(self.range, self.layout).add(self.stored).support

    def subset(self, indices: Integer[np.ndarray, " index"]) -> "Examples":
        """The examples at `indices`, copied, in that order."""
        if isinstance(self.stored, PackedValues):
            values, labels = self.stored.rows.chosen(indices)
            return replace(self, stored=values, labels=labels)
        labels = None if self.labels is None else self.labels[indices]
        factors = None if self.factors is None else self.factors.subset(indices)
        context = None if self.context is None else self.context[indices]
        inferred = None if self.inferred is None else self.inferred[indices]
        stored = np.asarray(self.stored[indices])
        return replace(self, stored=stored, labels=labels, factors=factors, context=context, inferred=inferred)

    def slice(self, start: int, stop: int) -> "Examples":
        """The examples from `start` to `stop`, in memory."""
        if isinstance(self.stored, PackedValues) and start < stop:
            values, labels = self.stored.rows.consecutive(start, stop)
            return replace(self, stored=values, labels=labels)
        return self.subset(np.arange(start, stop))

    def head(self, most: int) -> "Examples":
        """The first `most` examples, which stay where they are, on disk or in memory."""
        if len(self) <= most or not isinstance(self.stored, PackedValues):
            return self if len(self) <= most else self.subset(np.arange(most))
        values = self.stored.head(most)
        return replace(self, stored=values, labels=None if self.labels is None else PackedLabels(values.rows))

    def first(self, most: int) -> "Examples":
        """The first `most` examples in memory, or themselves if there are no more and they are."""
        if len(self) <= most and not self.is_on_disk:
            return self
        return self.subset(np.arange(min(most, len(self))))

    def subsample(self, most: int) -> "Examples":
        """At most `most` examples, evenly spaced, because files may be ordered by class or date; packed data are in
        random order, and the first are read.
        """
        if self.is_on_disk:
            return self.first(most)
        return self.subset(evenly_spaced(len(self), most))


@dataclass(frozen=True, eq=False)
class Given:
    """The context of each row that is read, and the reason for each row that has none."""

    context: Context | None = None  # None for a model that is not conditional
    problems: Mapping[int, str] = field(default_factory=dict)

    def of(self, rows: Integer[np.ndarray, " row"] | None = None) -> Context | None:
        """The context of some rows, by default of all."""
        return self.context if self.context is None or rows is None else self.context[rows]


def evenly_spaced(number: int, most: int) -> Int64[np.ndarray, " chosen"]:
    """At most `most` of the indices below `number`, evenly spaced from the first to the last."""
    return np.linspace(0, number - 1, min(most, number)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Collection:
    """All examples of one file or folder, with their labels, ids and notes."""

    examples: Examples
    label_names: tuple[str, ...] = ()  # empty where there are no labels
    ids: tuple[str, ...] = ()  # of each example, such as its file name; empty if examples are numbered
    skipped: tuple[str, ...] = ()  # files and examples that could not be read, each with the reason
    notes: tuple[str, ...] = ()  # preprocessing: resized, rotated upright, blended with white
    resized_to: tuple[int, int] | None = None  # width and height that some were resized to
    num_validation: int = 0  # size of a given validation split, which precedes the test split
    num_test: int = 0  # size of a given test split, which comes last
    schema: Schema | None = None  # None before a schema was inferred
    is_from_images: bool = False  # read from image files
    place: str = ""  # its name in messages: a file, a folder, "the array"
    unreadable: Mapping[int, str] = field(
        default_factory=dict
    )  # rows of a table that could not be read, with the reason

    def subset(self, kept: Integer[np.ndarray, " index"]) -> "Collection":
        """The examples at ascending indices `kept`; each keeps its id (by default its number) and its split."""
        num_learned = len(self.examples) - self.num_validation - self.num_test
        is_test = kept >= num_learned + self.num_validation
        ids = self.ids or tuple(map(str, range(len(self.examples))))
        return replace(
            self,
            examples=self.examples.subset(kept),
            ids=tuple(ids[index] for index in kept),
            num_validation=int(((kept >= num_learned) & ~is_test).sum()),
            num_test=int(is_test.sum()),
        )

"""PackingInput: the examples of each split, in the order in which they are packed, read when they are written."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Int64

from lowerbound.data.array_examples import as_examples, fitting
from lowerbound.data.array_schema import notes_on_files
from lowerbound.data.examples import Collection, Examples
from lowerbound.data.files import ReadingOptions
from lowerbound.data.packed_files import Block
from lowerbound.data.reading import refuse
from lowerbound.data.rows import Rows
from lowerbound.data.splits import DataConfig, OwnSplits, Splits, completed_schema, divide
from lowerbound.data.survey import Survey, survey
from lowerbound.data.table_examples import drop_unreadable
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.schema import Schema, Support

MOST_HELD_OUT = 10_000
"""Examples of a held-out split, if its size is not given: enough for the errors of any score."""


@dataclass(frozen=True, kw_only=True)
class PackingSizes:
    """Sizes of the held-out splits; 0: those of the data, else a tenth each, at most MOST_HELD_OUT."""

    num_validation: int = 0
    num_test: int = 0


@dataclass(frozen=True)
class SplitRows:
    """A split: its rows from `start` to `stop`, as values and labels."""

    num_rows: int
    read: Callable[[int, int], Block]


@dataclass(frozen=True, eq=False, kw_only=True)
class PackingInput:
    """What is packed."""

    name: str
    place: str  # in messages
    schema: Schema
    dtype: str  # of the values that `read` returns
    splits: dict[str, SplitRows]
    content: str  # by which the same data are recognised
    has_own_splits: bool
    completed: Callable[[Support], Schema]  # the schema with the support of all splits
    check_unchanged: Callable[[], None] = field(default=lambda: None)
    notes: tuple[str, ...] = ()
    notes_after: Callable[[Support], tuple[str, ...]] = lambda support: ()  # on the support of all splits
    skipped: tuple[str, ...] = ()


def input_of_splits(splits: Splits) -> PackingInput:
    """Splits in memory."""
    if splits.schema is None:
        raise ConfigError("the splits have no schema; pass the data that they were made of.")
    if splits.binarisation or splits.train.is_redrawn:
        raise ConfigError("the splits are binarised, which is a setting of training; pass splits that are not.")
    schema = splits.schema
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return PackingInput(
        name=splits.name,
        place=splits.name,
        schema=schema,
        dtype=splits.train.values.dtype.name,
        splits={name: SplitRows(len(part), _reader(part, np.arange(len(part)))) for name, part in parts.items()},
        content=splits.checksum,
        has_own_splits=False,
        completed=lambda support: replace(schema, support=support),
        notes=(*splits.notes, *_about_factors(splits.train)),
        skipped=splits.skipped,
    )


def input_of_collection(
    collection: Collection, name: str, config: DataConfig, sizes: PackingSizes, content: str, is_for_run: bool
) -> PackingInput:
    """Examples in memory, such as the rows of a table."""
    collection = drop_unreadable(collection)
    own = OwnSplits(len(collection.examples), collection.num_validation, collection.num_test)
    places = _places(collection.place, own, config, sizes, is_for_run)
    assert collection.schema is not None
    return PackingInput(
        name=name,
        place=collection.place,
        schema=collection.schema,
        dtype=collection.examples.values.dtype.name,
        splits={key: SplitRows(len(chosen), _reader(collection.examples, chosen)) for key, chosen in places.items()},
        content=content,
        has_own_splits=own.num_validation > 0,
        completed=_completing(collection.schema, collection.label_names, config, is_for_run, is_from_images=False),
        notes=(*collection.notes, *_about_factors(collection.examples)),
        skipped=collection.skipped,
    )


def input_of_rows(
    rows: Rows, name: str, config: DataConfig, options: ReadingOptions, sizes: PackingSizes, workers: int
) -> PackingInput:
    """Rows that are read when they are written."""
    found = survey(rows, options, workers)
    is_for_run = options.schema is not None
    places = _places(rows.about.place, found.own, config, sizes, is_for_run)
    return PackingInput(
        name=name,
        place=rows.about.place,
        schema=found.schema,
        dtype=_read(rows, found, np.arange(1))[0].dtype.name,
        splits={key: SplitRows(len(chosen), _row_reader(rows, found, chosen)) for key, chosen in places.items()},
        content=found.content,
        has_own_splits=found.own.num_validation > 0,
        completed=_completing(found.schema, found.label_names, config, is_for_run, rows.about.is_from_images),
        notes=found.notes,
        notes_after=_noting(found.schema, options, rows.about.is_from_images),
        skipped=found.skipped,
        check_unchanged=partial(_check_unchanged, rows),
    )


def _about_factors(examples: Examples) -> tuple[str, ...]:
    return () if examples.factors is None else ("factors are not packed",)


def _check_unchanged(rows: Rows) -> None:
    if rows.is_unchanged is not None and not rows.is_unchanged():
        refuse(rows.about.place, "has changed while it was packed; pack it again")


def _places(
    place: str, own: OwnSplits, config: DataConfig, sizes: PackingSizes, is_for_run: bool
) -> dict[str, Int64[np.ndarray, " example"]]:
    """The examples of each split; those read for a run are all for testing, in their own order."""
    if is_for_run:
        if sizes != PackingSizes():
            raise ConfigError("data packed for a run have no splits; leave out the sizes of splits.")
        return {"test": np.arange(own.num_examples)}
    num_validation = sizes.num_validation or config.num_held_out
    divided = divide(place, own, config.split_seed, num_validation, sizes.num_test, MOST_HELD_OUT)
    return {"train": divided.train, "validation": divided.validation, "test": divided.test}


def _completing(
    schema: Schema, label_names: tuple[str, ...], config: DataConfig, is_for_run: bool, is_from_images: bool
) -> Callable[[Support], Schema]:
    def completed(support: Support) -> Schema:
        if is_for_run:  # of the training data, by which new data are checked
            return replace(schema, label_names=label_names)
        return completed_schema(schema, support, config, label_names, is_from_images=is_from_images)

    return completed


def _noting(schema: Schema, options: ReadingOptions, is_from_images: bool) -> Callable[[Support], tuple[str, ...]]:
    """Image files of data to train on; those packed for a run follow its schema."""
    if not is_from_images or options.schema is not None:
        return lambda support: ()
    return lambda support: notes_on_files(schema, support.high * schema.range[1], options.range)


def _reader(examples: Examples, chosen: Int64[np.ndarray, " example"]) -> Callable[[int, int], Block]:
    def read(start: int, stop: int) -> Block:
        part = examples.subset(chosen[start:stop])
        return part.values, None if part.labels is None else part.labels[:]

    return read


def _row_reader(rows: Rows, found: Survey, chosen: Int64[np.ndarray, " example"]) -> Callable[[int, int], Block]:
    return lambda start, stop: _read(rows, found, chosen[start:stop])


def _read(rows: Rows, found: Survey, positions: Int64[np.ndarray, " kept"]) -> Block:
    stored, _ = fitting(rows.read(found.kept[positions]), found.schema)
    values = as_examples(stored, found.schema).values
    return values, None if found.labels is None else found.labels[positions]

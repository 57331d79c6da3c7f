"""Reading inputs of a trained model: the run's test examples, a named source, files; all by the run's schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.column_writers import named_columns
from lowerbound.data.conditions import replaced_context
from lowerbound.data.examples import Collection
from lowerbound.data.files import ReadingOptions, options_for_schema, read_raw, to_collection, with_limits
from lowerbound.data.images import IMAGE_SUFFIXES, read_image_files
from lowerbound.data.objects import read_object
from lowerbound.data.packed_files import is_packed
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import limit_from_setting, printable
from lowerbound.data.remote import Location, is_remote
from lowerbound.data.remote_copies import copied
from lowerbound.data.sources import SOURCES, DataConfig, load
from lowerbound.data.tables import RawTable
from lowerbound.foundation.errors import UsageError
from lowerbound.runs.condition_tables import values_of, with_conditions_of
from lowerbound.runs.packed_inputs import PackedInputs
from lowerbound.runs.run_data import own_splits
from lowerbound.runs.trained_model import TrainedModel


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """How inputs are read."""

    data: str = ""  # path of the run's own data, if it was moved
    data_dir: str = ""  # of IDX files
    skip_broken: bool = False
    max_gib: float | None = None  # limit on the data's memory, as stored; None is 4
    given: Mapping[str, str] = field(default_factory=dict)  # values of conditions, for all examples
    given_table: Path | None = None  # with values of conditions for each example


STANDARD = InputOptions()


def read_inputs(trained: TrainedModel, inputs: Sequence[str], options: InputOptions = STANDARD) -> Collection:
    """The run's test examples, or those of a source, a file, a folder or image files; DataError if they do not fit."""
    if not inputs:
        splits = own_splits(run_of(trained), data=options.data, data_dir=options.data_dir)
        own = Collection(splits.test, splits.label_names, ids=splits.test_ids, schema=splits.schema, place=splits.name)
        return replaced_context(own, trained.schema, _values_for(own, trained, options))
    if options.data:
        raise UsageError(
            "inputs and the path of the run's own data are both given; leave one of them out.", hint="data"
        )
    reading = _reading(trained, options)
    if len(inputs) == 1 and inputs[0] not in SOURCES and is_packed(location := Location(inputs[0])):
        return packed_inputs(trained, location, options).whole(reading.limit)
    if len(inputs) == 1:
        raw = _with_conditions(read_stored(trained, inputs[0], options), trained, options)
        return trained.supported(to_collection(raw, reading), options.skip_broken)
    others = [name for name in inputs if Path(name).suffix.lower() not in IMAGE_SUFFIXES]
    if others:
        raise UsageError(
            f"{others[0]} is not an image file; give one file or folder, or several {', '.join(IMAGE_SUFFIXES)}."
        )
    images = read_image_files([Path(name).expanduser() for name in inputs], reading.images)
    raw = _with_conditions(images, trained, options)
    return trained.collection(raw, options.skip_broken, options.given)


def packed_inputs(trained: TrainedModel, location: Location, options: InputOptions = STANDARD) -> PackedInputs:
    """Packed data as inputs of a model; UsageError for a table of conditions."""
    if options.given_table is not None:
        raise UsageError(
            f"{location} is packed, and has the labels of its examples; a table of conditions is for other data."
        )
    return PackedInputs(trained, location, options.skip_broken, options.given)


def _with_conditions(raw: RawArray | RawTable, trained: TrainedModel, options: InputOptions) -> RawArray | RawTable:
    table = options.given_table
    return raw if table is None else with_conditions_of(table, raw, trained.schema)


def _values_for(own: Collection, trained: TrainedModel, options: InputOptions) -> dict[str, Any]:
    table = options.given_table
    of_table = {} if table is None else values_of(table, trained.schema, len(own.examples))
    return {**of_table, **options.given}


def read_stored(trained: TrainedModel, name: str, options: InputOptions = STANDARD) -> RawArray | RawTable:
    """A source, a file or a folder as it is stored, before the run's schema is applied."""
    if name in SOURCES:
        return raw_source(name, options.data_dir)
    reading = _reading(trained, options)
    if not is_remote(name):
        return read_raw(Path(name).expanduser(), reading)
    with copied(name, reading.limit) as copy:
        raw = read_raw(copy.path, reading)
    return copy.renamed(raw, place=printable(copy.url))


def read_table(trained: TrainedModel, inputs: Sequence[str], options: InputOptions = STANDARD) -> RawTable:
    """The cells of a table as they are stored, by the signs of the run's own table; UsageError for anything else."""
    if len(inputs) > 1:
        raise UsageError("several inputs are given; give one table or array.")
    raw = read_stored(trained, inputs[0], options)
    if not isinstance(raw, RawTable):
        raise UsageError(f"{printable(inputs[0])} is not a table, but the run was trained on one; give one.")
    return raw


def _reading(trained: TrainedModel, options: InputOptions) -> ReadingOptions:
    """How files are read for a model."""
    limit = limit_from_setting(options.max_gib)
    reading = ReadingOptions(skip_broken=options.skip_broken, limit=limit, given=options.given)
    reading = options_for_schema(reading, trained.schema)
    return with_limits(replace(reading, images=replace(reading.images, skip_broken=options.skip_broken)))


def read_one(trained: TrainedModel, name: str, options: InputOptions = STANDARD) -> Collection:
    """One example: a test example by its number, or the first of a file."""
    if not name.isdigit():
        return read_inputs(trained, [name], replace(options, data="")).subset(np.array([0]))
    test = read_inputs(trained, [], options)
    if int(name) >= len(test.examples):
        raise UsageError(f"no such test example: {name}; accepted: 0 to {len(test.examples) - 1}.")
    return test.subset(np.array([int(name)]))


def captions_of(collection: Collection) -> list[tuple[str, ...]]:
    """The label of each example, if it has one, and its name or number, which says what it is."""
    examples = collection.examples
    names = [_named("no.", name) for name in collection.ids or map(str, range(len(examples)))]
    if examples.labels is None or not collection.label_names:
        return [(name,) for name in names]
    labels = [_named("label", collection.label_names[label]) for label in np.asarray(examples.labels)]
    return list(zip(labels, names, strict=True))


def _named(what: str, name: str) -> str:
    return f"{what} {name}" if name.isdigit() else name


def run_of(trained: TrainedModel) -> Path:
    """The directory of a run; UsageError for a model file alone."""
    if trained.path is None or not trained.path.is_dir():
        raise UsageError(f"{trained.path} is not a run directory; give the data to read.")
    return trained.path


def raw_source(name: str, data_dir: str) -> RawArray | RawTable:
    """The test examples of a named source, in stored units."""
    splits = load(DataConfig(source=name, data_dir=data_dir))
    test, schema = splits.test, splits.schema
    assert schema is not None
    labels = None if test.labels is None else [splits.label_names[label] for label in np.asarray(test.labels)]
    if schema.has_named_columns:
        raw = read_object(named_columns(test.values, schema.columns), labels, place=name)
        assert isinstance(raw, RawTable)
        return raw
    values = test.values + np.reshape(schema.offset, schema.shape) if schema.offset else test.values
    return RawArray(place=name, values=values, labels=labels)

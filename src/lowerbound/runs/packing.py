"""`pack`: converts data once into packed data, which training reads from disk, whatever their size."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lowerbound.data.array_schema import rows_of_array
from lowerbound.data.data_kinds import describe_columns
from lowerbound.data.files import TABLES, ReadingOptions, check_settings, options_for_schema, to_collection
from lowerbound.data.objects import read_object
from lowerbound.data.packed_files import Manifest, is_packed
from lowerbound.data.packing import Report, plan_of, write_packed
from lowerbound.data.packing_input import (
    PackingInput,
    PackingSizes,
    input_of_collection,
    input_of_rows,
    input_of_splits,
)
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import format_bytes, printable
from lowerbound.data.remote import Location, is_remote
from lowerbound.data.remote_copies import copied
from lowerbound.data.row_files import Sources, open_rows
from lowerbound.data.rows import Rows
from lowerbound.data.sequences import is_sequence, sequence_rows
from lowerbound.data.sources import SOURCES, DataConfig, existing_path, load, reading_options, refuse_size
from lowerbound.data.splits import Splits, check_config, checksum
from lowerbound.data.tables import RawTable
from lowerbound.data.unread_settings import OF_FILES, check_unset
from lowerbound.foundation.errors import ConfigError, UsageError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.runs.experiment import Settings, keyword_settings, merge, resolve, tables
from lowerbound.runs.inputs import raw_source
from lowerbound.runs.run_data import MEMORY, read_stored

OF_TRAINING = ("validation", "binarisation", "binarisation_seed")
"""Settings of section data that are decided when the packed data are trained on."""


@dataclass(frozen=True, eq=False)
class Packed:
    """Packed data: their folder, and what it contains."""

    path: Path
    manifest: Manifest
    is_new: bool  # False if they were complete before

    def __fspath__(self) -> str:
        return str(self.path)


def pack(
    data: Any,
    out: str | Path,
    labels: Any = None,
    *,
    for_run: RunPath | None = None,
    settings: Settings | None = None,
    validation: int | None = None,
    test: int | None = None,
    workers: int | None = None,
    report: Report | None = None,
) -> Packed:
    """Convert data into packed data in the folder `out`; interrupted packing goes on where it was.

    `data` is a named source, the path or URL of a file or folder, any object in memory that `train` accepts, or an
    object with `__len__` and `__getitem__` that returns rows, or rows and labels, for a slice or an ascending array of
    indices: a part of it is in memory at a time. `settings` are those of section data, as for `train`, such as
    {"data": {"size": "64x64"}}. `for_run` is a run: the data are read by its schema, to be encoded or scored, and are
    one split, "test", in their own order.

    `validation` and `test` are sizes of the held-out splits, by default those of the data, else a tenth each, at most
    10,000. `workers` is a number of threads, by default that of cores. Raises UsageError if `out` contains anything
    else, and DataError or ConfigError as `train` does.
    """
    config, sizes = _config(data, settings), _sizes(validation, test)
    if config.factors:
        raise ConfigError("packed data have no factors; leave out data.factors.")
    num_workers = _num_workers(workers)
    options = reading_options(config)
    if for_run is not None:
        by_run = tuple(name for name in OF_FILES if name != "labels")
        check_unset(config, by_run, f"is decided by the schema of {path_of(for_run)}; leave it out.")
        options = options_for_schema(options, read_stored(path_of(for_run)).schema)
    target = Path(out).expanduser()
    request = _Request(config, options, sizes, num_workers)
    with Sources(target) as sources:
        if isinstance(data, str | Path):
            if labels is not None:
                raise UsageError("labels are for data in memory; for a file or folder set data.labels.")
            found = _of_source(request, target, sources)
        else:
            found = _of_object(data, labels, request)
        manifest, is_new = write_packed(target, plan_of(found, _decisive(config)), num_workers, report)
    return Packed(target, manifest, is_new)


def summary(packed: Packed) -> dict[str, Any]:
    """What was packed, for the command line."""
    manifest = packed.manifest
    splits = manifest.splits.values()
    num_bytes = sum(shard.num_bytes for split in splits for shard in split.shards)
    return {
        "path": str(packed.path),
        "is_new": packed.is_new,
        "name": manifest.name,
        "layout": manifest.schema.layout,
        "shape": manifest.schema.shape,
        "columns": [asdict(column) for column in manifest.schema.columns],
        "about_columns": describe_columns(manifest.schema.columns),
        "dtype": manifest.dtype,
        "range": manifest.schema.range,
        "labels": manifest.schema.label_names,
        "splits": {name: split.rows for name, split in manifest.splits.items()},
        "shards": sum(len(split.shards) for split in splits),
        "bytes": num_bytes,
        "size": format_bytes(num_bytes),
        "checksum": manifest.checksum,
        "notes": manifest.notes,
        "skipped": manifest.skipped,
    }


@dataclass(frozen=True)
class _Request:
    """How data are read and divided."""

    config: DataConfig
    options: ReadingOptions
    sizes: PackingSizes
    workers: int

    @property
    def is_for_run(self) -> bool:
        """Whether the schema of a run decides how the data are read."""
        return self.options.schema is not None


def _config(data: Any, settings: Settings | None) -> DataConfig:
    source = str(data) if isinstance(data, str | Path) else MEMORY
    given = merge(tables(settings or {}), keyword_settings(data=source))
    if others := sorted(set(given) - {"data"}):
        raise ConfigError(f"{others[0]} is a section of training; packing takes settings of data.")
    if of_training := [key for key in OF_TRAINING if key in given.get("data", {})]:
        raise ConfigError(
            f"data.{of_training[0]} is a setting of training; give it when the packed data are trained on."
        )
    config = resolve("", given).data
    check_config(config)
    return config


def _sizes(validation: int | None, test: int | None) -> PackingSizes:
    for name, size in (("validation", validation), ("test", test)):
        if size is not None and size < 1:
            raise ConfigError(f"the size of the {name} split is {size}; it needs at least 1 example.")
    return PackingSizes(num_validation=validation or 0, num_test=test or 0)


def _num_workers(workers: int | None) -> int:
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; at least 1 is needed.")
    return (
        workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or os.cpu_count() or 1
    )


def _decisive(config: DataConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(config).items() if key not in ("source", "data_dir", "max_gib")}


def _of_source(request: _Request, out: Path, sources: Sources) -> PackingInput:
    config, options = request.config, request.options
    if config.source in SOURCES:
        return _of_named(request)
    if is_packed(Location(config.source)):
        came = printable(config.source)
        raise UsageError(f"{came} is packed data already; train on it, or give the data it was made of.")
    if not is_remote(config.source):
        path = existing_path(config.source)
        _check_apart(path, out)
        return _of_path(path, request, sources)
    is_read_whole = Path(config.source).suffix.lower() in TABLES
    copy = sources.stack.enter_context(
        copied(config.source, options.limit if is_read_whole else None, near=sources.scratch())
    )
    found = _of_path(copy.path, request, sources)
    return copy.renamed(found)


def _of_path(path: Path, request: _Request, sources: Sources) -> PackingInput:
    config, options = request.config, request.options
    rows = open_rows(path, options, sources, request.workers)
    name = printable(path.resolve().name)
    if isinstance(rows, RawTable):
        return _of_table(rows, name, request)
    if config.size and not rows.about.is_from_images:
        refuse_size(path, config)
    return _of_rows(rows, name, request)


def _check_apart(path: Path, out: Path) -> None:
    """UsageError for an output within the data, which a next reading would read, or around them."""
    data, target = path.resolve(), out.resolve()
    if data == target or data in target.parents:
        raise UsageError(f"{out} is in the data, {printable(path)}; choose a folder outside of them.")
    if target in data.parents:
        raise UsageError(f"the data, {printable(path)}, are in {out}; choose another folder.")


def _of_named(request: _Request) -> PackingInput:
    config, sizes = request.config, request.sizes
    if request.is_for_run:
        return _of_raw(raw_source(config.source, config.data_dir), config.source, request)
    splits = load(replace(config, num_held_out=sizes.num_validation or config.num_held_out))
    if sizes.num_test not in (0, len(splits.test)):
        raise ConfigError(f"{config.source} has its own test split of {len(splits.test):,}; leave out its size.")
    return input_of_splits(splits)


def _of_object(data: Any, labels: Any, request: _Request) -> PackingInput:
    if is_sequence(data):
        return _of_rows(sequence_rows(data, labels), "array", request)
    raw = read_object(data, labels)
    if not isinstance(raw, Splits):
        return _of_raw(raw, "array", request)
    if request.is_for_run or request.sizes != PackingSizes():
        raise UsageError("splits are packed as they are; leave out the run and the sizes of splits.")
    return input_of_splits(raw)


def _of_raw(raw: RawArray | RawTable, name: str, request: _Request) -> PackingInput:
    return _of_table(raw, name, request) if isinstance(raw, RawTable) else _of_rows(rows_of_array(raw), name, request)


def _of_rows(rows: Rows, name: str, request: _Request) -> PackingInput:
    if not request.is_for_run:
        check_settings(rows.about, request.options)
    return input_of_rows(rows, name, request.config, request.options, request.sizes, request.workers)


def _of_table(raw: RawTable, name: str, request: _Request) -> PackingInput:
    """A table, which is in memory, or an array of its numbers, if that is its layout."""
    collection = to_collection(raw, request.options)
    content = checksum([collection.examples])
    return input_of_collection(collection, name, request.config, request.sizes, content, is_for_run=request.is_for_run)

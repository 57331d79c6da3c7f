"""read(): a file or folder of any supported kind to examples; tables ARRAYS and TABLES of readers by suffix.

folder, .zip            images: see folders.py
image file              see images.py
.npy .npz .safetensors  arrays: see arrays.py
IDX                     images, with or without .gz
.csv .tsv .parquet      tables: see tables.py
hf:NAME, .arrow         data sets of Hugging Face's library, and folders saved by it: see hugging_face.py
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lowerbound.data import arrays, hugging_face
from lowerbound.data.array_examples import conform_array
from lowerbound.data.array_schema import infer_schema, notes_on_files, rows_of_array
from lowerbound.data.conditions import given_in_array, given_in_table
from lowerbound.data.examples import Collection
from lowerbound.data.factor_columns import with_factors_of_file
from lowerbound.data.folders import read_folder, read_zip
from lowerbound.data.images import ImageOptions, image_options, is_image_file, read_image_files
from lowerbound.data.packed_files import MANIFEST
from lowerbound.data.parquet import read_parquet
from lowerbound.data.pil_images import fitted
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import STANDARD_LIMIT, Limit, format_shape, printable, reading, refuse, refuse_mismatch
from lowerbound.data.table_examples import conform_table, table_to_array
from lowerbound.data.table_schema import infer_table
from lowerbound.data.tables import STANDARD, RawTable, TableOptions, read_csv
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.schema import Schema

PARTS_OF_PACKED = (".arrow", ".json", ".safetensors")
"""Suffixes of the files in a folder of packed data."""

ACCEPTED = (
    "a folder or .zip of images (PNG, JPEG, WebP, TIFF, BMP, GIF), an array (.npy, .npz, .safetensors), "
    "a table (.csv, .parquet), an IDX file, or a Hugging Face data set (hf:NAME, a saved folder, .arrow)"
)


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Reading options, for properties that a file does not determine."""

    images: ImageOptions = field(default_factory=ImageOptions)
    tables: TableOptions = field(default_factory=TableOptions)
    labels: str = ""  # a CSV of file names and labels, or the column of a table that contains them
    factors: tuple[str, ...] = ()  # the path of a table of factors, or columns of a table that are factors
    layout: str = ""  # of an array; empty: inferred from its axes
    range: tuple[float, ...] = ()  # the numbers that become 0 and 1; empty: inferred from type and values
    skip_broken: bool = False  # skip what cannot be read, and list it
    limit: Limit = STANDARD_LIMIT  # on memory
    schema: Schema | None = None  # of the run that the file is read for; None to infer one, for training
    given: Mapping[str, Any] = field(default_factory=dict)  # values of conditions, in place of those of the data


def options_for_schema(options: ReadingOptions, schema: Schema) -> ReadingOptions:
    """The same options with a run's schema: image files are resized and converted like the training images."""
    images = options.images
    if schema.layout == "image":
        images = replace(image_options(schema), skip_broken=images.skip_broken, limit=images.limit)
    images = replace(images, partly_labelled=schema.infers)
    tables = replace(options.tables, separator=schema.separator)
    return replace(options, images=images, tables=tables, schema=schema)


def read(path: Path, options: ReadingOptions | None = None) -> Collection:
    """All examples in a file or folder; DataError if none can be read.

    They follow `options.schema`; without one, a schema is inferred and returned with the collection.
    """
    options = with_limits(options or ReadingOptions())
    raw = read_raw(path, options)
    if options.factors:
        raw = with_factors_of_file(raw, options.factors)
    return to_collection(raw, options)


def with_limits(options: ReadingOptions) -> ReadingOptions:
    """The same options, of which those of images and tables have the limit and the label column, too."""
    tables = replace(options.tables, limit=options.limit, label=options.labels or options.tables.label)
    return replace(options, images=replace(options.images, limit=options.limit), tables=tables)


def to_collection(raw: RawArray | RawTable, options: ReadingOptions) -> Collection:
    """Stored numbers or cells as examples, by the schema of a run or by one inferred here."""
    schema = options.schema
    if schema is None:
        check_settings(raw, options)
    if isinstance(raw, RawTable):
        is_table = options.layout in ("", "table") if schema is None else schema.layout == "table"
        if is_table:
            if schema is None:
                found = infer_table(raw, options.tables)
                schema, raw = found.schema, replace(raw, notes=(*raw.notes, *found.notes))
            return conform_table(raw, schema, options.skip_broken, given_in_table(raw, schema, options.given))
        if schema is not None and len(schema.shape) != 1:
            refuse_mismatch(
                raw.place,
                f"contains a table, but the model was trained on {schema.layout}s of {format_shape(schema.shape)}",
            )
        raw = table_to_array(raw, options.tables)
    if schema is not None:
        as_files_are = schema.layout == "image" and raw.is_from_images
        raw = fitted(raw, schema) if as_files_are else raw
        return conform_array(raw, schema, options.skip_broken, given_in_array(raw, schema, options.given))
    inferred = infer_schema(rows_of_array(raw), options.layout, options.range, options.skip_broken)
    collection = conform_array(raw, inferred.schema, options.skip_broken)
    of_files: tuple[str, ...] = ()
    if collection.is_from_images:
        of_files = notes_on_files(inferred.schema, float(collection.examples.values.max()), options.range)
    return replace(collection, notes=(*collection.notes, *inferred.notes, *of_files))


def check_settings(raw: RawArray | RawTable, options: ReadingOptions) -> None:
    """ConfigError for a setting that does not apply to such data."""
    is_table = isinstance(raw, RawTable) and options.layout in ("", "table")
    of_tables = ("exclude", "columns", "missing_markers", "decimal", "separator")
    given = [key for key in of_tables if getattr(options.tables, key) != getattr(STANDARD, key)]
    if is_table and options.range:
        raise ConfigError("data.range is for images and arrays; columns of a table have their own units.")
    if isinstance(raw, RawArray) and given:
        raise ConfigError(
            f"data.{given[0]} is for tables; {raw.place} contains {'images' if raw.is_from_images else 'an array'}."
        )
    if options.images.resize != "crop" and not (isinstance(raw, RawArray) and raw.is_from_images):
        raise ConfigError(f"data.resize is for image files; {raw.place} contains none.")
    if options.images.num_channels and not (isinstance(raw, RawArray) and raw.is_from_images):
        raise ConfigError(f"data.channels is for image files; {raw.place} contains none.")


def read_raw(path: Path, options: ReadingOptions) -> RawArray | RawTable:
    """The contents of a file or folder, as they are stored."""
    with reading(path, ACCEPTED):
        is_folder, is_file = path.is_dir(), path.is_file()
        is_part_of_packed = is_file and path.suffix in PARTS_OF_PACKED and (path.parent / MANIFEST).is_file()
    if is_part_of_packed:
        refuse(path, f"is one file of packed data; give their folder, {printable(path.parent)}")
    with reading(path, ACCEPTED):
        is_dataset = hugging_face.is_name(path) or hugging_face.is_saved(path)
    if is_dataset:
        return hugging_face.read_dataset(path, options.images, options.tables)
    if is_folder:
        return read_folder(path, options.images, options.labels)
    suffix = path.suffix.lower()
    if not path.exists():
        refuse(path, "does not exist")
    if not is_file:
        refuse(path, f"is not accepted; give {ACCEPTED}")
    if suffix == ".zip":
        return read_zip(path, options.images, options.labels)
    if suffix in TABLES:
        return TABLES[suffix](path, options.tables)
    if options.labels:
        refuse(path, f"cannot take labels from {options.labels}; only folders, zip archives and tables can")
    if suffix in ARRAYS:
        return ARRAYS[suffix](path, options.limit)
    if is_image_file(path):
        return read_image_files([path], options.images)
    if is_idx(path):
        return arrays.read_idx_images(path, options.limit)
    refuse(path, f"is not accepted; give {ACCEPTED}")


def is_idx(path: Path) -> bool:
    """Whether a file is an IDX file of unsigned bytes, by its content, or by its name if it is gzipped."""
    with reading(path, ACCEPTED), path.open("rb") as file:
        start = file.read(3)
    return start == b"\0\0\x08" or (start[:2] == b"\x1f\x8b" and path.name.lower().endswith("ubyte.gz"))


ARRAYS: dict[str, Callable[[Path, Limit], RawArray]] = {
    ".npy": arrays.read_npy,
    ".npz": arrays.read_npz,
    ".safetensors": arrays.read_safetensors,
}
TABLES: dict[str, Callable[[Path, TableOptions], RawTable]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}

"""A file or folder to the examples it holds, whatever its kind.

folder, .zip            images: see images.py
.npy .npz .safetensors  arrays: see arrays.py
IDX                     images, with or without .gz
.csv .tsv .parquet      tables: see tables.py
hf:NAME, .arrow         data sets of Hugging Face's library, and folders that it saved: see hugging_face.py
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from lowerbound.data import arrays, hugging_face, tables
from lowerbound.data.examples import Collection
from lowerbound.data.images import IMAGE_SUFFIXES, ImageOptions, read_folder, read_image_files, read_zip
from lowerbound.data.reading import reading, refuse
from lowerbound.values import Column

ACCEPTED = (
    "a folder or .zip of images (PNG, JPEG, WebP, TIFF, BMP), an array (.npy, .npz, .safetensors), "
    "a table (.csv, .parquet), an IDX file, or a Hugging Face data set (hf:NAME, a saved folder, .arrow)"
)
LABEL_FILES = ("labels.csv", "metadata.csv")
FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "id", "name")
LABEL_COLUMNS = ("label", "class", "target", "y", "category")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """What is chosen about reading, where a file leaves a choice."""

    images: ImageOptions = field(default_factory=ImageOptions)
    labels: str = ""  # a CSV of file names and labels, or the column of a table that holds them
    columns: tuple[Column, ...] = ()  # of a table, where a model has learned them already


def read(path: Path, options: ReadingOptions | None = None) -> Collection:
    """All examples that a file or folder holds; DataError if it holds none that can be read."""
    options = options or ReadingOptions()
    with reading(path, ACCEPTED):
        is_folder, is_file = path.is_dir(), path.is_file()
        is_dataset = hugging_face.is_name(path) or hugging_face.is_saved(path)
    if is_dataset:
        return hugging_face.read_dataset(path, options.images, options.labels, options.columns)
    if is_folder:
        return _labelled(path, read_folder(path, options.images), options)
    suffix = path.suffix.lower()
    if not is_file:
        refuse(path, f"is not accepted; give {ACCEPTED}")
    if suffix == ".zip":
        return _labelled(path, read_zip(path, options.images), options)
    if suffix in TABLES:
        return _table(path, TABLES[suffix](path), options)
    if options.labels:
        refuse(path, f"takes no labels from {options.labels}; only folders, .zips and tables do")
    if suffix in IMAGE_SUFFIXES:
        return read_image_files([path], options.images)
    if suffix in ARRAYS:
        return ARRAYS[suffix](path)
    if _is_idx(path):
        return arrays.read_idx_images(path)
    refuse(path, f"is not accepted; give {ACCEPTED}")


def _table(path: Path, table: tables.RawTable, options: ReadingOptions) -> Collection:
    if options.columns:
        return tables.known_columns(path, table, options.columns)
    return tables.as_collection(path, table, options.labels)


def _is_idx(path: Path) -> bool:
    with reading(path, ACCEPTED), path.open("rb") as file:
        start = file.read(3)
    return start == b"\0\0\x08" or (start[:2] == b"\x1f\x8b" and path.name.lower().endswith("ubyte.gz"))


def _labelled(source: Path, collection: Collection, options: ReadingOptions) -> Collection:
    """The labels of a CSV that was named or lies in the folder, in place of those of subfolders."""
    if options.labels:
        file = Path(options.labels).expanduser()
    else:
        found = [source / name for name in LABEL_FILES if (source / name).is_file()]
        if not found:
            return collection
        file = found[0]
    table = tables.read_csv(file)
    by_file = _first_of(file, table, FILE_COLUMNS, "names of files")
    by_label = _first_of(file, table, LABEL_COLUMNS, "labels")
    known = {str(name): label for name, label in zip(table.columns[by_file], table.columns[by_label], strict=True)}
    labels = [known.get(name, known.get(Path(name).name, known.get(Path(name).stem))) for name in collection.ids]
    absent = [name for name, label in zip(collection.ids, labels, strict=True) if label is None]
    if absent:
        refuse(file, f"has no label for {len(absent):,} of {len(labels):,} images, such as {absent[0]}")
    positions, names = tables.numbered(labels)
    return replace(collection, examples=replace(collection.examples, labels=positions), label_names=names)


def _first_of(file: Path, table: tables.RawTable, accepted: tuple[str, ...], what: str) -> str:
    for name in table.columns:
        if name.lower() in accepted:
            return name
    refuse(file, f"has no column for {what}; accepted are {', '.join(accepted)}, it has {', '.join(table.columns)}")


ARRAYS: dict[str, Callable[[Path], Collection]] = {
    ".npy": arrays.read_npy,
    ".npz": arrays.read_npz,
    ".safetensors": arrays.read_safetensors,
}
TABLES: dict[str, Callable[[Path], tables.RawTable]] = {
    ".csv": tables.read_csv,
    ".tsv": tables.read_csv,
    ".parquet": tables.read_parquet,
}

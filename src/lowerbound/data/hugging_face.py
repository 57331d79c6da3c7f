"""Reader of Hugging Face data sets: a name on the hub, a folder saved by the `datasets` library, an Arrow file.

    hf:NAME, hf:NAME:CONFIG     loaded by name, or from a folder that the library can load; cached by the library
    folder, .arrow file         as written by Dataset.save_to_disk

A column of images gives images, a column of arrays gives arrays, anything else a table. Labels are a ClassLabel column,
or the column given. Splits named validation, valid, val or dev, and test, are kept; all others are used for training.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedIOBase, BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from lowerbound.data import tables
from lowerbound.data.arrays import DATA_KEYS, LABEL_KEYS
from lowerbound.data.image_rows import image_rows
from lowerbound.data.images import ImageOptions, read_entries
from lowerbound.data.parquet import arrow_cells
from lowerbound.data.pixels import ImageFile
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import Limit, printable, reading, refuse
from lowerbound.data.rows import Rows, coded
from lowerbound.data.split_names import SPLITS, Split, split_from_name, split_note

PREFIX = "hf:"
A_DATASET = "a data set that Hugging Face's datasets library can load"
IMAGE_COLUMNS = ("image", "img", *DATA_KEYS)


def is_name(path: Path) -> bool:
    """Whether this is a data set to load by name."""
    return str(path).startswith(PREFIX)


def is_saved(path: Path) -> bool:
    """Whether this is a folder written by the `datasets` library, or an Arrow file."""
    if path.is_dir():
        return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
    return path.suffix.lower() == ".arrow"


def read_dataset(
    path: Path, images: ImageOptions, options: tables.TableOptions = tables.STANDARD
) -> RawArray | tables.RawTable:
    """All rows of all splits, those of the split "test" last."""
    with reading(path, A_DATASET):
        source, notes = _source(path, options)
        source.check()
        raw = source.raw(images)
    return replace(raw, notes=(*raw.notes, *notes))


def dataset_rows(
    path: Path, images: ImageOptions, options: tables.TableOptions = tables.STANDARD, workers: int = 1
) -> Rows | tables.RawTable:
    """The same, of which images and arrays are read in parts; a table is read whole."""
    with reading(path, A_DATASET):
        source, notes = _source(path, options)
        source.check_rows()
        found = source.rows_in_parts(images, workers)
    if isinstance(found, tables.RawTable):
        return replace(found, notes=(*found.notes, *notes))
    about_read = found.about_read
    return replace(
        found,
        about=replace(found.about, notes=(*found.about.notes, *notes)),
        about_read=about_read and (lambda read: _with_notes(about_read(read), notes)),
    )


def _with_notes(raw: RawArray, notes: tuple[str, ...]) -> RawArray:
    return replace(raw, notes=(*raw.notes, *notes))


def _source(path: Path, options: tables.TableOptions) -> "tuple[_Source, tuple[str, ...]]":
    try:
        import datasets
    except ModuleNotFoundError:
        refuse(path, "is read with Hugging Face's datasets, which is not installed; pip install 'lowerbound[datasets]'")
    parts = _by_split(_named(datasets, path) if is_name(path) else _saved(datasets, path))
    rows = datasets.concatenate_datasets([part for of_split in parts.values() for part in of_split.values()])
    label = options.label or _label_column(datasets, rows)
    return _Source(datasets, path, rows, label, _sizes(parts), options.limit), _notes(parts)


def _by_split(datasets: Mapping[str, Any]) -> dict[Split, dict[str, Any]]:
    """Data sets by name, grouped by split; names that are not validation or test are for training."""
    parts: dict[Split, dict[str, Any]] = {split: {} for split in SPLITS}
    for name, data in datasets.items():
        parts[split_from_name(name) or "train"][name] = data
    # Without a training split, the next one is trained on.
    for split in SPLITS:
        if not parts["train"]:
            parts["train"], parts[split] = parts[split], {}
    return parts


def _sizes(parts: Mapping[Split, Mapping[str, Any]]) -> dict[Split, int]:
    return {split: sum(map(len, of_split.values())) for split, of_split in parts.items()}


def _notes(parts: Mapping[Split, Mapping[str, Any]]) -> tuple[str, ...]:
    merged = [f"splits {', '.join(names)} are read as one" for names in parts.values() if len(names) > 1]
    return tuple(merged)


@dataclass(frozen=True)
class _Source:
    """The rows of a data set, and which columns to read."""

    datasets: Any  # the library
    path: Path
    rows: Any
    label: str  # a column; "" where there is none
    sizes: Mapping[Split, int]  # numbers of rows, which come in this order
    limit: Limit

    def check(self) -> None:
        """DataError if there are too many rows, or none."""
        if len(self.rows):
            self.limit.check(self.path, self.rows.data.nbytes)
        self.check_rows()

    def check_rows(self) -> None:
        """DataError if there are none, or no column of labels of that name."""
        if not len(self.rows):
            refuse(self.path, "has no rows")
        # The file is memory-mapped, and its offsets of texts and lists would be trusted.
        self.rows.data.table.validate(full=True)
        if self.label and self.label not in self.rows.column_names:
            refuse(self.path, f"has no column {self.label!r} for labels; it has {', '.join(self.rows.column_names)}")

    def raw(self, images: ImageOptions) -> RawArray | tables.RawTable:
        """Images, arrays or a table, depending on the columns."""
        kind, column = self._chosen()
        if kind == "images":
            return read_entries(self.path, self._entries(column), images)
        return self._arrays(column) if kind == "arrays" else self._table()

    def rows_in_parts(self, images: ImageOptions, workers: int) -> Rows | tables.RawTable:
        """The same, read in parts."""
        kind, column = self._chosen()
        content = (self.rows._fingerprint,)
        if kind == "images":
            return replace(image_rows(self.path, self._entries(column), images, workers), content=content)
        if kind == "table":
            self.limit.check(self.path, self.rows.data.nbytes)
            return self._table()
        chosen = self.rows.select_columns([column]).with_format("numpy")
        place = printable(self.path)

        def fetch(numbers: Int64[np.ndarray, " row"], skip_broken: bool) -> RawArray:
            return RawArray(place=place, values=np.asarray(chosen[numbers][column]), numbers=numbers)

        first, labels = fetch(np.arange(1), False), self._labels()
        about = self._with_splits(replace(first, values=first.values[:0], numbers=None))
        return Rows(
            about=about,
            num_rows=len(chosen),
            fetch=fetch,
            labels=None if labels is None else coded(labels),
            content=content,
        )

    def _chosen(self) -> tuple[Literal["images", "arrays", "table"], str]:
        """What the columns contain, and which is read."""
        features = {name: feature for name, feature in self.rows.features.items() if name != self.label}
        pictures = [name for name, feature in features.items() if isinstance(feature, self.datasets.Image)]
        arrays = [name for name, feature in features.items() if _is_array(self.datasets, feature)]
        if pictures:
            return "images", self._one_of(pictures, IMAGE_COLUMNS, "images")
        return ("arrays", self._one_of(arrays, DATA_KEYS, "arrays")) if arrays else ("table", "")

    def _table(self) -> tables.RawTable:
        tables.check_size(self.path, len(self.rows) * len(self.rows.column_names), self.limit)
        table = tables.table_from_columns(self.path, {name: self._cells(name) for name in self.rows.column_names})
        return replace(self._with_splits(table), label=self.label)

    def _entries(self, column: str) -> list[ImageFile]:
        encoded = self.rows.select_columns([column]).cast_column(column, self.datasets.Image(decode=False))
        splits = [split for split in SPLITS for _ in range(self.sizes[split])]
        labels = self._labels()
        return [
            ImageFile(
                PurePosixPath(str(number)),
                self._row(number),
                partial(self._encoded, encoded, number, column),
                label=labels[number] if labels else None,
                split=split,
            )
            for number, split in enumerate(splits)
        ]

    def _encoded(self, encoded: Any, number: int, column: str) -> BufferedIOBase:
        image = encoded[number][column]
        if image is None or (image["bytes"] is None and image["path"] is None):
            refuse(self._row(number), "has no image")
        if image["bytes"] is not None:
            return BytesIO(image["bytes"])
        # A data set must not refer to other files on this machine.
        file = Path(image["path"]).resolve()
        known = (Path(str(self.path).removeprefix(PREFIX)), Path(self.datasets.config.HF_CACHE_HOME))
        if not any(file.is_relative_to(folder.expanduser().resolve()) for folder in known):
            refuse(self._row(number), f"refers to a file outside the data set, {printable(file)}")
        return file.open("rb")

    def _row(self, number: int) -> str:
        return f"{printable(self.path)}, row {number},"

    def _arrays(self, column: str) -> RawArray:
        values = np.asarray(self.rows.select_columns([column]).with_format("numpy")[:][column])
        return self._with_splits(RawArray(place=printable(self.path), values=values, labels=self._labels()))

    def _with_splits(self, raw: Any) -> Any:  # an array or a table, with the splits that both have
        notes = (*raw.notes, split_note(self.sizes)) if self.sizes["train"] < len(self.rows) else raw.notes
        return replace(raw, num_validation=self.sizes["validation"], num_test=self.sizes["test"], notes=notes)

    def _labels(self) -> list[str | None] | None:
        if not self.label:
            return None
        return [None if cell is None else str(cell) for cell in self._cells(self.label)]

    def _cells(self, column: str) -> list[Any]:
        """Values of a column, class labels as names."""
        chosen = self.rows.select_columns([column]).with_format("arrow")[:]
        values, feature = arrow_cells(chosen[column]), self.rows.features[column]
        if not isinstance(feature, self.datasets.ClassLabel):
            return values
        return [feature.int2str(value) if value is not None and value >= 0 else None for value in values]

    def _one_of(self, found: Sequence[str], usual: Sequence[str], what: str) -> str:
        chosen = found if len(found) == 1 else [name for name in found if name in usual]
        if len(chosen) != 1:
            refuse(self.path, f"has {len(found)} columns of {what}, {', '.join(found)}; keep only the one to train on")
        return chosen[0]


def _named(datasets: Any, path: Path) -> dict[str, Any]:
    name, _, config = str(path).removeprefix(PREFIX).partition(":")
    return dict(datasets.load_dataset(name, config or None))


def _saved(datasets: Any, path: Path) -> dict[str, Any]:
    if path.is_file():
        return {"": datasets.Dataset.from_file(str(path))}
    loaded = datasets.load_from_disk(str(path))
    return dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}


def _is_array(datasets: Any, feature: Any) -> bool:
    if isinstance(feature, datasets.Array2D | datasets.Array3D | datasets.Array4D | datasets.Array5D):
        return True
    is_list = False
    while isinstance(feature, datasets.List | datasets.LargeList):
        feature, is_list = feature.feature, True
    return is_list and isinstance(feature, datasets.Value) and bool(re.match("u?int|float|bool", feature.dtype))


def _label_column(datasets: Any, rows: Any) -> str:
    classes = [name for name, feature in rows.features.items() if isinstance(feature, datasets.ClassLabel)]
    return next((name for name in LABEL_KEYS if name in classes), classes[0] if len(classes) == 1 else "")

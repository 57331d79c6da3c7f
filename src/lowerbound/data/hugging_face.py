"""Data sets of the `datasets` library: a name on the Hugging Face hub, a folder that it saved, an Arrow file.

    hf:NAME, hf:NAME:CONFIG     loaded by name, or from a folder that the library can load; kept in its own cache
    a folder, an .arrow file    as Dataset.save_to_disk writes them

One column of images makes images, one of arrays makes arrays, anything else a table. Labels are a column of classes, or
the one that is asked for. A split called "test" stays one; all others are learned from.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedIOBase, BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lowerbound.data import tables
from lowerbound.data.arrays import DATA_KEYS, LABEL_KEYS
from lowerbound.data.examples import RawArray
from lowerbound.data.images import Entry, ImageOptions, read_entries
from lowerbound.data.reading import MAX_BYTES, gib, reading, refuse, shown

PREFIX = "hf:"
A_DATASET = "a data set that Hugging Face's datasets library can load"
IMAGE_COLUMNS = ("image", "img", *DATA_KEYS)
TEST = "test"


def is_name(path: Path) -> bool:
    """Whether this names a data set to be loaded by name."""
    return str(path).startswith(PREFIX)


def is_saved(path: Path) -> bool:
    """Whether the `datasets` library wrote this folder, or this is its kind of file."""
    if path.is_dir():
        return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
    return path.suffix.lower() == ".arrow"


def read_dataset(
    path: Path, images: ImageOptions, options: tables.TableOptions = tables.STANDARD
) -> RawArray | tables.RawTable:
    """All rows of all splits, those of the split "test" last."""
    try:
        import datasets
    except ModuleNotFoundError:
        refuse(path, "is read with Hugging Face's datasets, which is not installed; pip install 'lowerbound[datasets]'")
    with reading(path, A_DATASET):
        splits = _named(datasets, path) if is_name(path) else _saved(datasets, path)
        test = [splits.pop(TEST)] if TEST in splits and len(splits) > 1 else []
        rows = datasets.concatenate_datasets([*splits.values(), *test])
        label = options.label or _label_column(datasets, rows)
        source = _Source(datasets, path, rows, label)
        source.check()
        raw = source.raw(images)
    notes = (f"splits {', '.join(splits)} are taken together",) if len(splits) > 1 else ()
    num_test = sum(map(len, test))
    if isinstance(raw, RawArray) and raw.ids:  # broken images may have been skipped
        num_test = sum(int(number) >= len(rows) - num_test for number in raw.ids)
    return replace(raw, num_test=num_test, notes=(*raw.notes, *notes))


@dataclass(frozen=True)
class _Source:
    """The rows of a data set, and what to take from them."""

    datasets: Any  # the library
    path: Path
    rows: Any
    label: str  # a column; "" where there is none

    def check(self) -> None:
        """DataError where there is too much or too little."""
        if not len(self.rows):
            refuse(self.path, "has no rows")
        if (size := self.rows.data.nbytes) > MAX_BYTES:
            refuse(self.path, f"takes {gib(size)}, accepted are {gib(MAX_BYTES)}; train on a part")
        if self.label and self.label not in self.rows.column_names:
            refuse(self.path, f"has no column {self.label!r} for labels; it has {', '.join(self.rows.column_names)}")

    def raw(self, images: ImageOptions) -> RawArray | tables.RawTable:
        """Images, arrays or a table, as the columns tell."""
        features = {name: feature for name, feature in self.rows.features.items() if name != self.label}
        pictures = [name for name, feature in features.items() if isinstance(feature, self.datasets.Image)]
        arrays = [name for name, feature in features.items() if _is_array(self.datasets, feature)]
        if pictures:
            return self._images(self._one_of(pictures, IMAGE_COLUMNS, "images"), images)
        if arrays:
            return self._arrays(self._one_of(arrays, DATA_KEYS, "arrays"))
        tables.check_size(self.path, len(self.rows) * len(self.rows.column_names))
        table = tables.from_values(self.path, {name: self._cells(name) for name in self.rows.column_names})
        return replace(table, label=self.label)

    def _images(self, column: str, options: ImageOptions) -> RawArray:
        encoded = self.rows.select_columns([column]).cast_column(column, self.datasets.Image(decode=False))
        entries = [
            Entry(PurePosixPath(str(number)), self._row(number), partial(self._encoded, encoded, number, column))
            for number in range(len(encoded))
        ]
        raw = read_entries(self.path, entries, options)
        return self._labelled(raw, [int(name) for name in raw.ids])

    def _encoded(self, encoded: Any, number: int, column: str) -> BufferedIOBase:
        image = encoded[number][column]
        if image is None or (image["bytes"] is None and image["path"] is None):
            refuse(self._row(number), "has no image")
        if image["bytes"] is not None:
            return BytesIO(image["bytes"])
        # A file that somebody sends must not name others on this machine.
        file = Path(image["path"]).resolve()
        known = (Path(str(self.path).removeprefix(PREFIX)), Path(self.datasets.config.HF_CACHE_HOME))
        if not any(file.is_relative_to(folder.expanduser().resolve()) for folder in known):
            refuse(self._row(number), f"names a file outside the data set, {shown(file)}")
        return file.open("rb")

    def _row(self, number: int) -> str:
        return f"{shown(self.path)}, row {number},"

    def _arrays(self, column: str) -> RawArray:
        values = np.asarray(self.rows.select_columns([column]).with_format("numpy")[:][column])
        return self._labelled(RawArray(place=shown(self.path), values=values), range(len(values)))

    def _labelled(self, raw: RawArray, kept: Sequence[int]) -> RawArray:
        if not self.label:
            return raw
        cells = self._cells(self.label)
        return replace(raw, labels=[None if cells[number] is None else str(cells[number]) for number in kept])

    def _cells(self, column: str) -> list[Any]:
        """Values of a column, classes by their names."""
        chosen = self.rows.select_columns([column]).with_format("arrow")[:]
        values, feature = chosen[column].to_pylist(), self.rows.features[column]
        if not isinstance(feature, self.datasets.ClassLabel):
            return values
        return [feature.int2str(value) if value is not None and value >= 0 else None for value in values]

    def _one_of(self, found: Sequence[str], usual: Sequence[str], what: str) -> str:
        chosen = found if len(found) == 1 else [name for name in found if name in usual]
        if len(chosen) != 1:
            refuse(self.path, f"has {len(found)} columns of {what}, {', '.join(found)}; keep the one to learn from")
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

"""open_rows(): a file or folder as rows that are read in parts; tables, and what has no rows of its own, as a whole."""

import zipfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowerbound.data import hugging_face
from lowerbound.data.array_schema import rows_of_array
from lowerbound.data.file_rows import FILES, idx_rows
from lowerbound.data.files import ACCEPTED, TABLES, ReadingOptions, is_idx, read_raw, with_limits
from lowerbound.data.folders import ARCHIVE, list_folder, list_zip
from lowerbound.data.image_rows import listed_rows
from lowerbound.data.reading import reading
from lowerbound.data.rows import Rows, rows_of_files
from lowerbound.data.tables import RawTable
from lowerbound.foundation.storage import scratch_folder


@dataclass
class Sources:
    """What is open while rows are read: archives, and a folder next to `near` for what is unpacked."""

    near: Path
    stack: ExitStack = field(default_factory=ExitStack)
    folder: Path | None = None

    def __enter__(self) -> "Sources":
        return self

    def __exit__(self, *details: Any) -> bool | None:
        return self.stack.__exit__(*details)

    def scratch(self) -> Path:
        """The folder for what is unpacked."""
        if self.folder is None:
            self.folder = self.stack.enter_context(scratch_folder(self.near))
        return self.folder


def open_rows(path: Path, options: ReadingOptions, sources: Sources, workers: int = 1) -> Rows | RawTable:
    """The rows of a file or folder; DataError as by `read`."""
    options = with_limits(options)
    with reading(path, ACCEPTED):
        is_folder, is_file = path.is_dir(), path.is_file()
        is_dataset = hugging_face.is_name(path) or hugging_face.is_saved(path)
    if is_dataset:
        return hugging_face.dataset_rows(path, options.images, options.tables, workers)
    if is_folder:
        listed = list_folder(path, options.labels, options.images.partly_labelled)
        files = [path / entry.name for entry in listed.entries]
        return rows_of_files(listed_rows(listed, options.images, workers), files, path)
    rows = _of_file(path, options, sources, workers) if is_file else None
    if rows is None:
        raw = read_raw(path, options)
        if isinstance(raw, RawTable):
            return raw
        rows = rows_of_array(raw)
    return rows_of_files(rows, [path])


def _of_file(path: Path, options: ReadingOptions, sources: Sources, workers: int) -> Rows | None:
    """The rows of an archive or an array; None for other files."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with reading(path, ARCHIVE):
            archive = sources.stack.enter_context(zipfile.ZipFile(path))
        return listed_rows(
            list_zip(path, archive, options.labels, options.images.partly_labelled), options.images, workers
        )
    if options.labels or suffix in TABLES:
        return None
    if suffix in FILES:
        return FILES[suffix](path, options.limit, sources.scratch)
    return idx_rows(path, options.limit, sources.scratch) if is_idx(path) else None

"""labels.csv: reading labels of image files from a CSV, and matching its ids to images.

An id is the path of an image, with or without its folders, with or without its suffix. A full path identifies its
image; any other id must match exactly one image. Ids and labels are strings.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import PurePosixPath

from lowerbound.data.reading import printable, reading, refuse, too_large

LABEL_FILES = ("labels.csv", "metadata.csv")
FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "id", "name")
LABEL_COLUMNS = ("label", "class", "target", "y", "category")
A_CSV = "a CSV of file names and labels in UTF-8"
SEPARATORS = ",;\t|"
MAX_ROWS = 1_000_000  # the limit for images
MAX_HEADER = 2**18  # characters


@dataclass(frozen=True)
class LabelRow:
    """One row: the id of an image, and its label (None if missing)."""

    id: str
    label: str | None
    line: int


@dataclass(frozen=True)
class LabelTable:
    """The rows of one CSV."""

    place: str  # its name in messages
    rows: tuple[LabelRow, ...]


@dataclass(frozen=True)
class MatchedLabels:
    """Labels by the index of each image, and notes on rows that match no image."""

    of: dict[int, str | None]
    notes: tuple[str, ...]


def read_labels(place: str, content: bytes) -> LabelTable:
    """The ids and labels in a CSV; DataError if it has no such columns."""
    with reading(place, A_CSV):
        text = content.decode("utf-8-sig")
        rows = csv.reader(StringIO(text, newline=""), delimiter=_separator(text), strict=True)
        header = [cell.strip() for cell in next(rows, [])]
        by_id = _first_of(place, header, FILE_COLUMNS, "file names")
        by_label = _first_of(place, header, LABEL_COLUMNS, "labels")
        found: list[LabelRow] = []
        for row in rows:
            if not any(row):
                continue
            if len(row) != len(header):
                refuse(place, f"has {len(row)} cells in line {rows.line_num}, but its header has {len(header)} columns")
            if len(found) == MAX_ROWS:
                too_large(place, f"has more than {MAX_ROWS:,} rows, the limit for images")
            found.append(LabelRow(row[by_id].strip(), row[by_label].strip() or None, rows.line_num))
    return LabelTable(place, tuple(found))


def has_labels(place: str, content: bytes) -> bool:
    """Whether a CSV has columns of file names and labels."""
    with reading(place, A_CSV):
        text = content.decode("utf-8-sig", errors="replace")
        header = _header(text, _separator(text))
    return any(name in FILE_COLUMNS for name in header) and any(name in LABEL_COLUMNS for name in header)


def match_labels(table: LabelTable, names: Sequence[PurePosixPath], folder: str) -> MatchedLabels:
    """The labels of images whose paths below `folder` are `names`; DataError for an ambiguous id."""
    whole, tails = _keys(names, folder)
    chosen: dict[int, LabelRow] = {}
    unmatched = []
    for row in table.rows:
        key = str(PurePosixPath(row.id.replace("\\", "/")))
        fits = whole.get(key) or tails.get(key, [])
        if len({names[index] for index in fits}) > 1:
            came = ", ".join(printable(str(names[index])) for index in fits[:4])
            refuse(
                table.place, f"has the id {row.id!r} in line {row.line}, which matches {came}; add folder and suffix"
            )
        if not fits:
            unmatched.append(row.id)
        for index in fits:
            _check_same(table.place, names[index], chosen.setdefault(index, row), row)
    return MatchedLabels({index: row.label for index, row in chosen.items()}, _note(table.place, unmatched))


def _keys(names: Sequence[PurePosixPath], folder: str) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Indices by full path, and by trailing parts of the path, with and without the suffix."""
    whole: dict[str, list[int]] = defaultdict(list)
    tails: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        for key in (str(name), f"{folder}/{name}"):
            whole[key].append(index)
        for end in _ends(f"{folder}/{name}"):
            tails[end].append(index)
            if name.suffix:
                tails[end.removesuffix(name.suffix)].append(index)
    return whole, tails


def _ends(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _check_same(place: str, name: PurePosixPath, first: LabelRow, second: LabelRow) -> None:
    if first.label != second.label:
        came = f"{first.label or 'none'} in line {first.line}, {second.label or 'none'} in line {second.line}"
        refuse(place, f"gives {printable(str(name))} several labels ({printable(came)}); keep one row for each image")


def _note(place: str, unmatched: Sequence[str]) -> tuple[str, ...]:
    if not unmatched:
        return ()
    rows = "1 row matches" if len(unmatched) == 1 else f"{len(unmatched):,} rows match"
    return (f"{place}: {rows} no image, such as {printable(unmatched[0])}",)


def _separator(text: str) -> str:
    """The separator that gives the header both columns, else the one that gives it the most cells."""

    def fits(separator: str) -> tuple[bool, int]:
        header = _header(text, separator)
        has_both = any(name in FILE_COLUMNS for name in header) and any(name in LABEL_COLUMNS for name in header)
        return has_both, len(header)

    return max(SEPARATORS, key=fits)


def _header(text: str, separator: str) -> list[str]:
    first = text[:MAX_HEADER].splitlines()[:1]
    return [cell.strip().lower() for cell in next(csv.reader(first, delimiter=separator), [])]


def _first_of(place: str, header: Sequence[str], accepted: tuple[str, ...], what: str) -> int:
    for index, name in enumerate(header):
        if name.lower() in accepted:
            return index
    came = ", ".join(printable(name) for name in header[:8]) or "nothing"
    refuse(place, f"has no column for {what}; accepted: one of {', '.join(accepted)}; the header is {came}")

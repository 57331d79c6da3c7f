"""Folders and zip archives of images: finding images, splits by folder name, labels by folder or labels.csv.

    images      files with the suffix or content of an image; others are counted and listed, hidden files are not
    links       followed in a folder, wherever they lead; archives have none
    splits      folders train, and val or test or both, are splits; other folders, and those inside splits, are classes
    labels      folder names if all images lie in one of at least two folders, or a labels.csv

A single folder around all images is ignored. An archive is read in memory; nothing is extracted to disk.
"""

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from io import BufferedIOBase, BytesIO
from pathlib import Path, PurePosixPath

from lowerbound.data.images import ImageOptions, read_entries
from lowerbound.data.label_files import A_CSV, LABEL_FILES, LabelTable, has_labels, match_labels, read_labels
from lowerbound.data.pixels import FORMATS, START, ImageFile, is_image_content, is_image_name
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import format_bytes, open_regular_file, printable, read_up_to, reading, refuse, too_large
from lowerbound.data.split_names import SPLITS, Split, split_from_name
from lowerbound.foundation.text import pluralise

MAX_FILE_BYTES = 2**30
MAX_LABEL_BYTES = 2**27
MAX_MEMBERS = 1_000_000
MAX_FOLDERS = 100_000  # links can multiply a few
MAX_DEPTH = 100  # of folders within folders
ARCHIVE = "a zip archive of images"
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may need gigabytes before yielding a byte
RUN_FILES = ("config.toml", "metrics.jsonl", "model.safetensors")
"""Two of these identify a run directory, which contains figures and could be read as a folder of images."""

NOT_COUNTED = ("thumbs.db", "desktop.ini", *LABEL_FILES)


@dataclass
class Listing:
    """The contents of a folder or an archive."""

    images: list[ImageFile] = field(default_factory=list)
    tables: dict[PurePosixPath, tuple[str, Callable[[], BufferedIOBase]]] = field(default_factory=dict)  # labels.csv
    others: list[str] = field(default_factory=list)  # that are not images

    def add(self, name: PurePosixPath, shown_as: str, open_file: Callable[[], BufferedIOBase], start: bytes) -> None:
        """Add one file, classified by its name or its first bytes."""
        if is_image_name(name.name) or is_image_content(name.name, start):
            self.images.append(ImageFile(name, shown_as, open_file))
        elif name.name.lower() in LABEL_FILES:
            self.tables[name] = shown_as, open_file
        elif name.name.lower() not in NOT_COUNTED:
            self.others.append(str(name))


@dataclass(frozen=True)
class Listed:
    """The images of a folder or an archive with their labels and splits, and notes on other files."""

    source: Path
    entries: list[ImageFile]
    notes: tuple[str, ...]
    others: tuple[str, ...]  # a note on files that are not images; empty if all are

    def notes_after(self, notes: tuple[str, ...], has_labels: bool) -> tuple[str, ...]:
        """All notes, after those on the pixels."""
        return (*notes, *self.notes, *_why_no_classes(self.entries, has_labels), *self.others)


def read_folder(folder: Path, options: ImageOptions, labels: str = "") -> RawArray:
    """The images below `folder`, in the order of their paths; labels from the CSV `labels` if given."""
    return _read(list_folder(folder, labels, options.partly_labelled), options)


def list_folder(folder: Path, labels: str = "", partly_labelled: bool = False) -> Listed:
    """The image files below `folder`, with the labels and splits that `read_folder` gives them."""
    listing = Listing()
    with reading(folder, "a folder of images"):
        num_folders = num_files = 0
        for name, path in _files(folder, PurePosixPath(), (_identity(folder),)):
            if name is None:
                num_folders += 1
                _check_number(folder, num_folders, MAX_FOLDERS, "folders")
                continue
            num_files += 1
            _check_number(folder, num_files)
            listing.add(name, printable(path), partial(open_regular_file, path), _start(path))
    return _listed(folder, listing, labels, partly_labelled)


def read_zip(path: Path, options: ImageOptions, labels: str = "") -> RawArray:
    """The images in a zip archive, in the order of their names; splits and labels as in a folder."""
    with reading(path, ARCHIVE), zipfile.ZipFile(path) as archive:
        # Each member may be small, and several may share the same bytes of the file.
        options.limit.check(path, sum(member.file_size for member in archive.infolist()), "unpacks to")
        return _read(list_zip(path, archive, labels, options.partly_labelled), options)


def list_zip(path: Path, archive: zipfile.ZipFile, labels: str = "", partly_labelled: bool = False) -> Listed:
    """The images in an open archive, with the labels and splits that `read_zip` gives them."""
    with reading(path, ARCHIVE):
        members = [member for member in archive.infolist() if not member.is_dir()]
        _check_number(path, len(members))
        listing = Listing()
        for member in sorted(members, key=lambda member: member.filename):
            name = PurePosixPath(member.filename)
            if not any(map(_is_hidden, name.parts)):
                shown_as = f"{printable(path)}:{printable(member.filename)}"
                listing.add(name, shown_as, partial(_member, path, archive, member), _member_start(archive, member))
        return _listed(path, listing, labels, partly_labelled)


def _files(
    folder: Path, below: PurePosixPath, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[PurePosixPath | None, Path]]:
    """Files with their paths relative to the first folder; also the folders, without a path."""
    if len(above) > MAX_DEPTH:
        too_large(folder, f"is nested {MAX_DEPTH} folders deep, the limit; move the images up")
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    _check_is_no_run(folder, {entry.name for entry in entries})
    for entry in entries:
        if _is_hidden(entry.name):
            continue
        path = Path(entry.path)
        if not entry.is_dir():
            yield below / entry.name, path
            continue
        identity = _identity(path)
        if identity in above:
            refuse(path, "is a link to one of its parent folders; remove the link")
        yield None, path
        yield from _files(path, below / entry.name, (*above, identity))


def _check_is_no_run(folder: Path, names: set[str]) -> None:
    """DataError for a run directory, complete or not: the figures of its report would be read as images."""
    missing = [name for name in RUN_FILES if name not in names]
    if len(missing) <= 1:
        lacking = f" ({missing[0]} is missing)" if missing == ["config.toml"] else ""
        refuse(folder, f"is a run directory{lacking}, not data; give the data that it was trained on")


def _identity(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_dev, about.st_ino


def _is_hidden(part: str) -> bool:
    return part.startswith((".", "__MACOSX")) and part not in (".", "..")


def _check_number(source: Path, number: int, most: int | None = None, what: str = "files") -> None:
    most = MAX_MEMBERS if most is None else most
    if number > most:
        too_large(source, f"contains {number:,} {what} or more, but the limit is {most:,}")


def _start(path: Path) -> bytes:
    # Reading from a pipe or a device would block.
    if is_image_name(path.name) or not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(START)


def _member_start(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if is_image_name(member.filename) or member.flag_bits & 1 or member.compress_type not in COMPRESSIONS:
        return b""
    with archive.open(member) as file:
        return file.read(START)


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BufferedIOBase:
    if member.flag_bits & 1:
        refuse(path, "is encrypted; unpack it first")
    if member.file_size > MAX_FILE_BYTES:
        came = f"declares {format_bytes(member.file_size)} for {member.filename!r}"
        too_large(path, f"{came}, but the limit is {format_bytes(MAX_FILE_BYTES)}")
    if member.compress_type not in COMPRESSIONS:
        refuse(path, f"has {member.filename!r} with an unsupported compression; use deflate, or unpack it first")
    with archive.open(member) as file:
        # One byte more than declared: zipfile then checks the checksum, and stops at the declared size.
        return BytesIO(file.read(member.file_size + 1))


def _listed(source: Path, listing: Listing, labels: str, partly: bool) -> Listed:
    if not listing.images:
        came = f", but {_named(listing.others)}" if listing.others else ""
        refuse(source, f"contains no images{came}; give a folder or zip of {', '.join(FORMATS)} files")
    entries, notes = _labelled(source, _arranged(source, listing.images, partly), listing, labels, partly)
    others = (f"not images, skipped: {_named(listing.others)}",) if listing.others else ()
    return Listed(source, entries, notes, others)


def _read(listed: Listed, options: ImageOptions) -> RawArray:
    raw = read_entries(listed.source, listed.entries, options)
    return replace(raw, notes=listed.notes_after(raw.notes, has_labels=raw.labels is not None))


def _why_no_classes(entries: Sequence[ImageFile], has_labels: bool) -> tuple[str, ...]:
    """A note on unlabelled images in several folders."""
    places = {(entry.split, entry.name.parts[:-1]) for entry in entries}
    if has_labels or len(places) == len({split for split, _ in places}):
        return ()
    return ("no labels: folders are classes only if every image lies directly in one; a labels.csv can provide labels",)


def _named(names: Sequence[str]) -> str:
    return printable(names[0]) + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")


# ---- splits and classes


@dataclass(frozen=True)
class _Arranged:
    """Images with splits and folder classes, and the folders in which labels.csv may lie."""

    entries: list[ImageFile]
    around: tuple[str, ...]  # folders around all images
    splits: tuple[str, ...]  # the split folders in them


def _arranged(source: Path, images: list[ImageFile], partly: bool) -> _Arranged:
    folders = [entry.name.parts[:-1] for entry in images]
    around = _shared(folders)
    inner = [folder[len(around) :] for folder in folders]
    names = _split_folders(source, inner)
    splits = [_split(folder, names) for folder in inner]
    if names:
        inner = [folder[1:] for folder in inner]
        packed = len(_shared(inner))
        inner = [folder[packed:] for folder in inner]
    classes = _classes(inner, splits, partly)
    entries = [
        replace(entry, split=split, label=label) for entry, split, label in zip(images, splits, classes, strict=True)
    ]
    return _Arranged(entries, around, names)


def _shared(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The common parent folders of all."""
    first, last = min(folders), max(folders)
    length = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)
    return first[: min(len(first), len(last)) if length is None else length]


def _split_folders(source: Path, folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Folder names that are splits; empty unless train and at least one other exist."""
    tops = {folder[0] if folder else "" for folder in folders}
    names = sorted(top for top in tops if split_from_name(top))
    found = {split_from_name(name) for name in names}
    if "train" not in found or len(found) < 2:
        return ()
    if others := sorted(tops - set(names)):
        came = printable(others[0]) if others[0] else "images outside any folder"
        refuse(source, f"contains splits ({', '.join(names)}) and also {came}; remove one or the other")
    return tuple(names)


def _split(folder: tuple[str, ...], names: tuple[str, ...]) -> Split:
    return (split_from_name(folder[0]) if names else None) or "train"


def _classes(folders: Sequence[tuple[str, ...]], splits: Sequence[Split], partly: bool) -> list[str | None]:
    """The class of each image from its folder, or None; a split may have no classes, images only if labelled partly."""
    depths = {
        split: {
            len(folder) for folder, of in zip(folders, splits, strict=True) if of == split and (folder or not partly)
        }
        for split in SPLITS
    }
    if any(len(found) > 1 for found in depths.values()) or len(set(folders) - {()}) < 2 or max(map(len, folders)) > 1:
        return [None] * len(folders)
    return [folder[0] if folder else None for folder in folders]


# ---- labels.csv


@dataclass(frozen=True)
class _Table:
    """A CSV of labels, and the folder whose images it refers to."""

    folder: tuple[str, ...]
    rows: LabelTable


def _labelled(
    source: Path, arranged: _Arranged, listing: Listing, labels: str, partly: bool
) -> tuple[list[ImageFile], tuple[str, ...]]:
    """The images with labels from CSVs if there are any, else from folders; and notes."""
    tables, notes = _tables(arranged, listing, labels)
    if not tables:
        return arranged.entries, (*notes, *_without_labels(arranged.entries))
    entries = [replace(entry, label=None) for entry in arranged.entries]
    for table in tables:
        inside = [at for at, entry in enumerate(entries) if entry.name.parts[: len(table.folder)] == table.folder]
        names = [PurePosixPath(*entries[at].name.parts[len(table.folder) :]) for at in inside]
        found = match_labels(table.rows, names, table.folder[-1] if table.folder else source.name.removesuffix(".zip"))
        notes = (*notes, *_about_unlabelled(table.rows.place, names, found.of, partly))
        notes = (*notes, *found.notes)
        for position, label in found.of.items():
            entries[inside[position]] = replace(entries[inside[position]], label=label)
    return entries, (*notes, *_without_labels(entries))


def _tables(arranged: _Arranged, listing: Listing, labels: str) -> tuple[list[_Table], tuple[str, ...]]:
    """The given CSV, else those of the splits, else the one next to or above all images; and notes."""
    if labels:
        path = Path(labels).expanduser()
        return [
            _Table((), read_labels(printable(path), _content(printable(path), partial(open_regular_file, path))))
        ], ()
    around = arranged.around
    of_splits = [(*around, name) for name in arranged.splits]
    above = [around[:length] for length in range(len(around), -1, -1)]
    found = [at for folder in of_splits if (at := _table_in(folder, listing))]
    found = found or [at for folder in above if (at := _table_in(folder, listing))][:1]
    tables, notes = [], []
    for name in found:
        place, open_file = listing.tables[name]
        content = _content(place, open_file)
        if name.name != LABEL_FILES[0] and not has_labels(place, content):
            notes.append(f"{place} is not used: it has no columns of file names and labels")
        else:
            tables.append(_Table(name.parts[:-1], read_labels(place, content)))
    return tables, tuple(notes)


def _table_in(folder: tuple[str, ...], listing: Listing) -> PurePosixPath | None:
    paths = (PurePosixPath(*folder, name) for name in LABEL_FILES)
    return next((path for path in paths if path in listing.tables), None)


def _content(place: str, open_file: Callable[[], BufferedIOBase]) -> bytes:
    with reading(place, A_CSV), open_file() as file:
        content = read_up_to(file, MAX_LABEL_BYTES + 1)
    if len(content) > MAX_LABEL_BYTES:
        too_large(place, f"has more than {format_bytes(MAX_LABEL_BYTES)}, the limit for labels")
    return bytes(content)


def _about_unlabelled(
    place: str, names: Sequence[PurePosixPath], labels: Mapping[int, str | None], partly: bool
) -> tuple[str, ...]:
    """The note on images without a row; DataError for them unless the images may be labelled partly."""
    absent = [name for at, name in enumerate(names) if at not in labels]
    if not absent:
        return ()
    such = f"{len(absent):,} of {pluralise(len(names), 'image')}, such as {printable(str(absent[0]))}"
    if partly:
        return (f"{place} has no label for {such}",)
    refuse(
        place,
        f"has no label for {such}; add rows, with an empty label for an image that has none (a model with "
        "model.classifier=true infers labels, and needs no such rows)",
    )


def _without_labels(entries: Sequence[ImageFile]) -> tuple[str, ...]:
    """The note on splits without labels if other splits have them."""
    labelled = {entry.split for entry in entries if entry.label is not None}
    absent = [split for split in SPLITS if split in {entry.split for entry in entries} - labelled]
    return (f"no labels for {' and '.join(absent)}",) if labelled and absent else ()

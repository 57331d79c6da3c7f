"""copied(): a file or folder at a URL, copied to a temporary folder for as long as it is read.

The names in messages, notes and reports stay those of the URL.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from shutil import disk_usage
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from lowerbound.data.reading import Limit, format_bytes, printable, refuse
from lowerbound.data.remote import UNLISTED, file_system
from lowerbound.data.threads import in_order
from lowerbound.foundation.errors import ConfigError, DataError, in_one_line

Read = TypeVar("Read", bound=Any)

AT_ONCE = 8
"""Files that are copied at a time."""


@dataclass(frozen=True)
class Copy:
    """A copy, and where it comes from."""

    path: Path
    url: str

    def original(self, text: str) -> str:
        """A text in which the copy is called by its URL."""
        return text.replace(str(self.path), printable(self.url))

    def renamed(self, found: Read, **others: Any) -> Read:
        """What was read from the copy, whose notes, skipped files and unreadable rows call it by its URL."""
        texts: dict[str, Any] = {
            key: tuple(map(self.original, getattr(found, key))) for key in ("notes", "skipped") if hasattr(found, key)
        }
        if hasattr(found, "unreadable"):
            texts["unreadable"] = {row: self.original(why) for row, why in found.unreadable.items()}
        return replace(found, **texts, **others)


@contextmanager
def copied(url: str, limit: Limit | None = None, near: Path | None = None) -> Iterator[Copy]:
    """A copy of a file or folder far away, until the context ends; errors within name the URL.

    It is made in the folder `near`, or the system's temporary folder. TooLarge if it exceeds the limit, DataError if it
    exceeds the free space or cannot be read.
    """
    with TemporaryDirectory(prefix="lowerbound-", dir=near) as folder:
        copy = Copy(Path(folder) / (PurePosixPath(url.rstrip("/")).name or "data"), url.rstrip("/"))
        _fill(copy, limit)
        try:
            yield copy
        except (DataError, ConfigError) as error:
            original = copy.original(str(error))
            if original == str(error):
                raise
            raise type(error)(original, hint=error.hint, path=error.path) from error


def _fill(copy: Copy, limit: Limit | None) -> None:
    system, path = file_system(copy.url)
    try:
        files = _files(system, path, copy.url)
    except Exception as error:
        refuse(copy.url, f"cannot be read ({in_one_line(error)})")
    if not files:
        refuse(copy.url, "does not exist, or is an empty folder")
    num_bytes = sum(size or 0 for _, size in files.values())
    if limit is not None:
        limit.check(copy.url, num_bytes)
    if num_bytes > (free := disk_usage(copy.path.parent).free):
        came = f"takes {format_bytes(num_bytes)}, but {copy.path.parent.parent} has {format_bytes(free)} of free space"
        refuse(copy.url, f"{came}, to which it is copied; free some")

    def fetch(item: tuple[str, tuple[str, int | None]]) -> None:
        _fetch(system, item[1][0], copy.path / item[0] if item[0] else copy.path, copy.url)

    for _ in in_order(fetch, files.items(), AT_ONCE):
        pass


def _files(system: Any, path: str, url: str) -> dict[str, tuple[str, int | None]]:
    """The files to copy: their names below the folder, empty for a single file, with their paths and sizes."""
    if url.split("://")[0].lower() in UNLISTED or system.isfile(path):
        return {"": (path, system.info(path).get("size"))}
    found = {}
    for name, about in system.find(path, detail=True).items():
        below = PurePosixPath(name.removeprefix(path).lstrip("/"))
        if ".." in below.parts:
            refuse(url, f"contains the name {printable(str(below))}, which leaves the folder")
        found[str(below)] = name, about.get("size")
    return found


def _fetch(system: Any, source: str, target: Path, url: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(source, str(target))
    except Exception as error:
        refuse(url, f"cannot be read ({in_one_line(error)})")
    # A copy is recognised by its content when packing goes on, and files are recognised by their times.
    with target.open("rb") as file:
        stamp = int.from_bytes(hashlib.file_digest(file, "sha256").digest()[:7], "big")
    os.utime(target, ns=(stamp, stamp))

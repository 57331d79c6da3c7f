"""Locations of data: local folders, and folders far away (s3://, gs://, https://, ...), read through fsspec."""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from lowerbound.data.reading import printable, refuse
from lowerbound.foundation.errors import RunError, UsageError, in_one_line
from lowerbound.foundation.storage import temporary_folder
from lowerbound.foundation.text_files import MAX_TEXT_BYTES, read_json

SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
"""The packages that fsspec needs for a scheme."""

UNLISTED = ("http", "https")
"""Schemes whose servers do not list folders."""


def is_remote(source: str | Path) -> bool:
    """Whether this is a URL, such as s3://bucket/folder, rather than a path."""
    return SCHEME.match(str(source)) is not None


class Location:
    """A folder of files to read, local or far away."""

    def __init__(self, source: str | Path) -> None:
        self.source = str(source).rstrip("/") or "/"
        self.local = None if is_remote(source) else _expanded(Path(source))

    def __str__(self) -> str:
        return printable(self.source)

    @cached_property
    def _remote(self) -> tuple[Any, str]:
        """The file system, and the folder's path in it."""
        return file_system(self.source)

    def has(self, name: str) -> bool:
        """Whether the folder has such a file."""
        if self.local is not None:
            with suppress(OSError, ValueError):  # a name that is too long, or has a null character
                return (self.local / name).is_file()
            return False
        system, path = self._remote
        try:
            return bool(system.exists(f"{path}/{name}"))
        except Exception as error:
            refuse(self.source, f"cannot be read ({in_one_line(error)})")

    def read_bytes(self, name: str) -> bytes:
        """The content of a file; DataError if it cannot be read."""
        try:
            if self.local is not None:
                return (self.local / name).read_bytes()
            system, path = self._remote
            return bytes(system.cat_file(f"{path}/{name}"))
        except Exception as error:
            refuse(f"{self.source}/{name}", f"cannot be read ({in_one_line(error)})")

    def as_local(self, name: str) -> Path:
        """A file's path on this machine; one far away is copied into a temporary folder."""
        if self.local is not None:
            return self.local / name
        copy = temporary_folder() / name
        copy.write_bytes(self.read_bytes(name))
        return copy

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object; RunError if it is damaged."""
        if self.local is not None:
            return read_json(self.local / name)
        content = self.read_bytes(name)
        try:
            value = json.loads(content[:MAX_TEXT_BYTES])
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self}/{name} is not valid JSON ({error}); it is damaged.") from error
        if not isinstance(value, dict):
            raise RunError(f"{self}/{name} contains a {type(value).__name__}, not an object; it is damaged.")
        return value

    def sizes(self, names: Iterable[str]) -> dict[str, int | None]:
        """The sizes in bytes of those files that exist; None where the file system does not say."""
        if self.local is not None:
            found = {entry.name: entry.stat().st_size for entry in self.local.iterdir() if entry.is_file()}
            return {name: found[name] for name in names if name in found}
        system, path = self._remote
        try:
            if SCHEME.match(self.source)[1].lower() in UNLISTED:  # type: ignore[index]
                return {name: system.size(f"{path}/{name}") for name in names if system.exists(f"{path}/{name}")}
            listed = {Path(entry["name"]).name: entry.get("size") for entry in system.ls(path, detail=True)}
        except Exception as error:
            refuse(self.source, f"cannot be listed ({in_one_line(error)})")
        return {name: listed[name] for name in names if name in listed}

    def open_arrow(self, name: str) -> Any:
        """A file as pyarrow reads it: by positioned reads or, far away, by range requests."""
        import pyarrow

        if self.local is not None:
            return pyarrow.OSFile(str(self.local / name))
        from pyarrow.fs import FSSpecHandler, PyFileSystem

        system, path = self._remote
        return PyFileSystem(FSSpecHandler(system)).open_input_file(f"{path}/{name}")


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # no such user
        return path


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it; UsageError if a package for it is missing."""
    scheme = SCHEME.match(url)
    assert scheme is not None
    try:
        import fsspec
    except ModuleNotFoundError:
        raise UsageError(
            f"{printable(url)} is read with fsspec, which is not installed; pip install 'lowerbound[remote]'."
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError:
        package = PACKAGES.get(scheme[1].lower(), "")
        raise UsageError(
            f"{printable(url)} needs {package or 'another package'} besides fsspec; pip install {package or 'it'}."
        ) from None
    except ValueError as error:
        raise UsageError(f"{printable(url)} is not a location that fsspec knows ({in_one_line(error)}).") from error
    return system, str(path).rstrip("/")

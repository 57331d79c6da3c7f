"""Shared by all readers: memory limits (Limit), one-line errors (refuse, reading) and formatting for messages.

Files are not trusted. Declared sizes are compared with the bytes present and with a memory limit before anything is
allocated, because a few compressed kilobytes can claim terabytes. Pickles are never read, and any exception that a
decoder raises on damage becomes a one-line DataError.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

from PIL import Image

from lowerbound.foundation.errors import ConfigError, DataError, SchemaError, TooLarge, UsageError

GIB = 2**30
MAX_BYTES = 8 * GIB
"""Limit for objects in memory as one dense array, such as the arrays of a data set or a sparse matrix."""

MOST_GIB = 2**20  # upper bound of the setting, beyond any machine
PIXEL_BYTES = 48
"""Memory per pixel while an image is decoded, rotated, blended with white and resized."""

OF_ANY_SIZE = "convert the data once with `lowerbound pack`, which takes any size"
PART = f"use part of the data, or {OF_ANY_SIZE}"


@dataclass(frozen=True)
class Limit:
    """The memory that one file or folder may take."""

    max_bytes: int = 4 * GIB
    can_be_raised: bool = True  # by a setting; not for requests from the network

    @property
    def max_pixels(self) -> int:
        """Most pixels of one image file."""
        return self.max_bytes // PIXEL_BYTES

    def check(self, path: Path | str, num_bytes: int, takes: str = "takes", instead: str = PART) -> None:
        """TooLarge, naming the setting that raises the limit, if more is needed."""
        if num_bytes > self.max_bytes:
            came = f"{takes} {format_bytes(num_bytes)}, but the limit is {format_bytes(self.max_bytes)}"
            too_large(path, f"{came}; {self.remedy(num_bytes, instead)}")

    def remedy(self, num_bytes: int, instead: str = PART) -> str:
        """What to do about data of this size."""
        if not self.can_be_raised:
            return "send a smaller request"
        return f"raise the limit data.max_gib to {ceil(num_bytes / GIB)}, or {instead}"


STANDARD_LIMIT = Limit()
STANDARD_GIB = STANDARD_LIMIT.max_bytes / GIB


def limit_from_setting(max_gib: float | None) -> Limit:
    """The limit for a setting, the default for None; ConfigError for an invalid number."""
    if max_gib is None:
        return STANDARD_LIMIT
    if not 0 < max_gib < MOST_GIB:
        raise ConfigError(f"data.max_gib is {max_gib:g}; it needs a number of GiB above 0 and below {MOST_GIB:,}.")
    return Limit(max(1, int(max_gib * GIB)))


class _Quiet:
    """Warnings ignored, but for those about decompression bombs, which are errors, while any thread is reading.

    `warnings.catch_warnings` is of the process: left by several threads in turn, it would restore the filters of one
    for all.
    """

    def __init__(self) -> None:
        self.lock, self.num_inside, self.filters = Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            self.num_inside += 1
            if self.num_inside == 1:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.num_inside -= 1
            if not self.num_inside:
                self.filters.__exit__(None, None, None)


_QUIET = _Quiet()


@contextmanager
def reading(path: Path | str, accepted: str) -> Iterator[None]:
    """Turn any exception raised inside into a DataError that names the file and the accepted format."""
    try:
        with _QUIET:
            yield
    except DataError:
        raise
    # Damaged files make decoders raise nearly anything: struct.error, zlib.error, SyntaxError, MemoryError.
    except Exception as error:
        # Only errors on the file itself carry its name: a wrong offset within a file is also an OSError.
        if isinstance(error, OSError) and error.filename is not None:
            other = "" if str(error.filename) == str(path) else f" ({printable(str(error.filename))})"
            raise DataError(f"{printable(path)} cannot be read: {error.strerror}{other}.") from error
        reason = printable(" ".join(str(error).split())[:200].rstrip(".") or type(error).__name__)
        raise DataError(f"{printable(path)} is not {accepted}, or it is damaged ({reason}).") from error


def refuse(path: Path | str, sentence: str) -> NoReturn:
    """Raise the DataError "`path` `sentence`."."""
    raise DataError(f"{printable(path)} {sentence}.")


def too_large(path: Path | str, sentence: str) -> NoReturn:
    """Raise the TooLarge "`path` `sentence`."."""
    raise TooLarge(f"{printable(path)} {sentence}.")


def refuse_mismatch(path: Path | str, sentence: str) -> NoReturn:
    """Raise the SchemaError "`path` `sentence`."."""
    raise SchemaError(f"{printable(path)} {sentence}.")


def pyarrow_for(purpose: str, instead: str = "") -> Any:
    """The module pyarrow; UsageError if it is not installed: "`purpose` with pyarrow, which ..."."""
    # Its own allocator reserves a gigabyte at once, which counts where memory is limited.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        import pyarrow
        import pyarrow.ipc
    except ModuleNotFoundError:
        raise UsageError(
            f"{purpose} with pyarrow, which is not installed; pip install 'lowerbound[tables]'{instead}."
        ) from None
    return pyarrow


def printable(name: Path | str) -> str:
    """A file's name as one printable line: names may contain line ends, escapes and invalid characters."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def format_shape(shape: Sequence[int]) -> str:
    """A shape as text: 3×28×28."""
    return "×".join(map(str, shape)) or "a single number"


def format_bytes(size: int) -> str:
    """A size in GiB, MiB or KiB."""
    unit, name = next(((2**bits, name) for bits, name in ((30, "GiB"), (20, "MiB")) if size >= 2**bits), (2**10, "KiB"))
    return f"{size / unit:.3g} {name}"


def open_regular_file(path: Path) -> BufferedIOBase:
    """An open file; DataError for a pipe or a device, which would block."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        refuse(path, "is not a file")
    return path.open("rb")


def read_up_to(file: BufferedIOBase, limit: int) -> bytearray:
    """At most `limit` bytes, in chunks, because read(limit) would allocate all that a header declares."""
    content = bytearray()
    while len(content) < limit and (chunk := file.read(min(limit - len(content), 2**20))):
        content += chunk
    return content

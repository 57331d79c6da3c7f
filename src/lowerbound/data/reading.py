"""What all readers of files share: errors of one line, and limits on what a file may claim.

Nothing here trusts a file. What it claims is compared with the bytes that are there, and with a limit on memory, before
room is made for it: a few compressed kilobytes can claim terabytes. No pickle is read, and whatever a decoder raises on
damage becomes a DataError of one line: which file, what came, what is accepted.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from math import ceil
from pathlib import Path
from typing import NoReturn

from PIL import Image

from lowerbound.foundation.errors import ConfigError, DataError, SchemaError, TooLarge

GIB = 2**30
MAX_BYTES = 8 * GIB
"""What objects in memory may take as one dense array: the arrays of a data set, a sparse matrix."""

MOST_GIB = 2**20  # a setting's; there is no such machine
PIXEL_BYTES = 48
"""What a pixel may take while an image is decoded, turned upright, blended with white and resized."""

PART = "take a part of the data"


@dataclass(frozen=True)
class Limit:
    """What one file or folder may take in memory."""

    max_bytes: int = 4 * GIB
    can_be_raised: bool = True  # by a setting; of what comes from somebody far away it cannot

    @property
    def max_pixels(self) -> int:
        """Pixels of one image file."""
        return self.max_bytes // PIXEL_BYTES

    def check(self, path: Path | str, num_bytes: int, takes: str = "takes", instead: str = PART) -> None:
        """TooLarge, with the setting that raises the limit, for what needs more."""
        if num_bytes > self.max_bytes:
            came = f"{takes} {format_bytes(num_bytes)}, accepted are {format_bytes(self.max_bytes)}"
            too_large(path, f"{came}; {self.remedy(num_bytes, instead)}")

    def remedy(self, num_bytes: int, instead: str = PART) -> str:
        """What to do with data that take so much."""
        if not self.can_be_raised:
            return "give less at once"
        return f"raise the limit data.max_gib to {ceil(num_bytes / GIB)}, or {instead}"


STANDARD_LIMIT = Limit()
STANDARD_GIB = STANDARD_LIMIT.max_bytes / GIB


def limit_from_setting(max_gib: float | None) -> Limit:
    """The limit that a setting asks for, the usual one for None; ConfigError for a number that is none."""
    if max_gib is None:
        return STANDARD_LIMIT
    if not 0 < max_gib < MOST_GIB:
        raise ConfigError(f"data.max_gib is {max_gib:g}; it needs a number of GiB above 0 and below {MOST_GIB:,}.")
    return Limit(max(1, int(max_gib * GIB)))


@contextmanager
def reading(path: Path | str, accepted: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a DataError that names the file and what is accepted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except DataError:
        raise
    # Damage makes decoders raise nearly anything: struct.error, zlib.error, SyntaxError, MemoryError.
    except Exception as error:
        # Only what concerns the file itself carries its name: a wrong offset within a file is an OSError, too.
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


def printable(name: Path | str) -> str:
    """A file's name as one line of UTF-8: names may hold line ends, escapes and broken characters."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def pluralise(count: int, noun: str) -> str:
    """A number of things: 1 cell, 2 cells."""
    return f"{count:,} {noun}" + ("s" if count != 1 else "")


def format_shape(shape: Sequence[int]) -> str:
    """A shape in words."""
    return "×".join(map(str, shape)) or "a single number"


def format_bytes(size: int) -> str:
    """Bytes in words: GiB, or less where that would be a fraction."""
    unit, name = next(((2**bits, name) for bits, name in ((30, "GiB"), (20, "MiB")) if size >= 2**bits), (2**10, "KiB"))
    return f"{size / unit:.3g} {name}"


def open_regular_file(path: Path) -> BufferedIOBase:
    """A file to read from; DataError for a pipe or a device, which would be waited for."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        refuse(path, "is not a file")
    return path.open("rb")


def read_up_to(file: BufferedIOBase, limit: int) -> bytearray:
    """At most `limit` bytes, by chunks: read(limit) would make room for all that a header claims."""
    content = bytearray()
    while len(content) < limit and (chunk := file.read(min(limit - len(content), 2**20))):
        content += chunk
    return content

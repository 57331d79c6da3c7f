"""The terminal as it is found: streams that are closed, full or cannot show a character, and sizes that are none.

A message that cannot be printed must not cost what was computed. So characters that an encoding lacks are replaced by
what looks like them or by their escapes, what can no longer be written is dropped, and `main` hears of it at the end.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from lowerbound.foundation.text import HANDLER, printable

SIZES = {"COLUMNS": (20, 1000), "LINES": (2, 1000), "TERMINAL_WIDTH": (20, 1000)}
"""Variables that say how large a terminal is, and what can be meant by them, in characters."""


class Forgiving(io.RawIOBase):
    """The bytes of a stream; an error of writing is kept, and what comes after it is dropped."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.failure: OSError | None = None

    def write(self, content: Any) -> int:
        """As of any raw stream: how many bytes were taken."""
        if self.failure is None:
            try:
                return self.inner.write(content) or 0
            except OSError as error:
                self.failure = error
        return len(content)

    def writable(self) -> bool:
        """Always."""
        return True

    def isatty(self) -> bool:
        """Whether someone looks on."""
        return bool(self.inner.isatty())

    def fileno(self) -> int:
        """The descriptor beneath, where there is one."""
        return int(self.inner.fileno())


@dataclass
class Streams:
    """Standard output and error while a command runs."""

    out: Forgiving | None = None
    err: Forgiving | None = None

    @property
    def lost(self) -> str:
        """Why results could not be printed; empty where they were, and where their reader had read enough."""
        if sys.stdout is not None:
            with suppress(ValueError, OSError):
                sys.stdout.flush()
        failure = self.out.failure if self.out else None
        if failure is None or failure.errno == errno.EPIPE:
            return ""
        return failure.strerror or str(failure)


@contextmanager
def forgiving_streams() -> Iterator[Streams]:
    """Within this, printing raises nothing."""
    before = sys.stdout, sys.stderr
    fill_closed_descriptors()
    streams = Streams()
    sys.stdout, streams.out = _forgiving(sys.stdout)
    sys.stderr, streams.err = _forgiving(sys.stderr)
    try:
        yield streams
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(ValueError, OSError, AttributeError):
                stream.flush()
        sys.stdout, sys.stderr = before


def fill_closed_descriptors() -> None:
    """Open the null device for a standard stream that was closed: else the next file is opened in its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free


def _forgiving(stream: Any) -> tuple[Any, Forgiving | None]:
    if stream is None:  # it was closed when the process began
        return Path(os.devnull).open("w", encoding="utf-8"), None
    buffer = getattr(stream, "buffer", None)
    if buffer is None:  # of a program that shows text in its own way
        return stream, None
    stream.flush()
    # Past the buffer, which would try again to write what it could not, until the interpreter's very end.
    raw = Forgiving(getattr(buffer, "raw", buffer))
    writer = io.BufferedWriter(raw)
    return io.TextIOWrapper(writer, stream.encoding, HANDLER, line_buffering=True), raw


def drop_impossible_sizes(environment: MutableMapping[str, str]) -> None:
    """Forget a size that no terminal has: 0 leaves no room for a letter, and a billion is filled with spaces."""
    for name, (least, most) in SIZES.items():
        text = environment.get(name, str(least))
        is_short_number = text.isascii() and text.isdigit() and len(text) < 9
        if not is_short_number or not least <= int(text) <= most:
            del environment[name]


class PlainConsole(Console):
    """A console to which no text brings escapes of its own: names of files and columns are other people's."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich prints, control characters written out."""
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)

"""Robust standard streams and terminals: closed or full streams, missing characters, impossible sizes.

A message that cannot be printed must not lose what was computed. Characters that the encoding lacks are replaced by
look-alikes or escapes; output that can no longer be written is dropped, and reported at the end.
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
"""Environment variables with the size of the terminal, and their plausible values, in characters."""


class Forgiving(io.RawIOBase):
    """A raw stream that keeps its first write error, and drops everything after it."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.failure: OSError | None = None

    def write(self, content: Any) -> int:
        """The number of bytes written, as of any raw stream."""
        if self.failure is None:
            try:
                return self.inner.write(content) or 0
            except OSError as error:
                self.failure = error
        return len(content)

    def writable(self) -> bool:
        """Always true."""
        return True

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return bool(self.inner.isatty())

    def fileno(self) -> int:
        """The file descriptor of the stream."""
        return int(self.inner.fileno())


@dataclass
class Streams:
    """Standard output and error while a command runs."""

    out: Forgiving | None = None
    err: Forgiving | None = None

    @property
    def lost(self) -> str:
        """Why results could not be printed; empty if they were, or if the reader closed the pipe."""
        if sys.stdout is not None:
            with suppress(ValueError, OSError):
                sys.stdout.flush()
        failure = self.out.failure if self.out else None
        if failure is None or failure.errno == errno.EPIPE:
            return ""
        return failure.strerror or str(failure)


@contextmanager
def forgiving_streams() -> Iterator[Streams]:
    """Within this context, printing raises no errors."""
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
    """Open the null device for closed standard streams, whose descriptors the next files would get."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor


def _forgiving(stream: Any) -> tuple[Any, Forgiving | None]:
    if stream is None:  # closed when the process started
        return Path(os.devnull).open("w", encoding="utf-8"), None
    buffer = getattr(stream, "buffer", None)
    if buffer is None:  # replaced by a program that captures text
        return stream, None
    stream.flush()
    # Bypasses the buffer, which would retry failed writes until the interpreter exits.
    raw = Forgiving(getattr(buffer, "raw", buffer))
    writer = io.BufferedWriter(raw)
    return io.TextIOWrapper(writer, stream.encoding, HANDLER, line_buffering=True), raw


def drop_impossible_sizes(environment: MutableMapping[str, str]) -> None:
    """Remove implausible terminal sizes: 0 leaves no room for text, and a billion would be filled with spaces."""
    for name, (least, most) in SIZES.items():
        text = environment.get(name, str(least))
        is_short_number = text.isascii() and text.isdigit() and len(text) < 9
        if not is_short_number or not least <= int(text) <= most:
            del environment[name]


class PlainConsole(Console):
    """A console that writes out control characters: file and column names may contain escape sequences."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, with control characters written out."""
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)

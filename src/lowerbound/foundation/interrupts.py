"""Ctrl-C while nothing can be lost: the process ends at once, without a traceback.

Imports only modules that the interpreter has already loaded, because it must be in force before slow imports.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

TEMPORARY: set[str] = set()
"""Files that are removed when Ctrl-C ends the process."""


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Signal handler: ends the process without waiting or raising, whatever it was doing."""
    for path in tuple(TEMPORARY):
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108
    write_error(b"lowerbound: interrupted.\n")
    os._exit(128 + number)


def write_error(line: bytes) -> None:
    """Write to standard error from a signal handler, which may have interrupted a print."""
    with suppress(OSError):
        os.write(2, line)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Within this context Ctrl-C ends the process at once."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # a process that ignores the signal, as under nohup, continues to
        return
    signal.signal(signal.SIGINT, end_at_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)

"""Ctrl-C where there is nothing to lose: the process ends at once, and no traceback is left of whatever it was at.

Only modules that the interpreter has at hand are imported: this must be in force before all that takes time.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

TEMPORARY: set[str] = set()
"""Files that are removed when the process is ended at once."""


def end_at_once(number: int, frame: FrameType | None) -> None:
    """A signal's handler: nothing is waited for, and nothing raised, in whatever the signal came."""
    for path in tuple(TEMPORARY):
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108
    write_error(b"lowerbound: interrupted.\n")
    os._exit(128 + number)


def write_error(line: bytes) -> None:
    """A line on standard error from within a signal's handler: the signal may have come in the midst of printing."""
    with suppress(OSError):
        os.write(2, line)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Within this Ctrl-C ends the process: where there is nothing to lose."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # who ignores it, as nohup does, goes on doing so
        return
    signal.signal(signal.SIGINT, end_at_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)

"""All errors that a user can encounter, as one tree. A message is one line: the fault, what is accepted, what to do.

Messages name the settings and arguments of the Python interface. An error may carry a `hint`, a key of
`lowerbound.commands.hints.HINTS`, by which the command line adds the names of its options.

File and column names come from outside: their line breaks and escape sequences are written out, so that none reaches a
terminal, and messages are bounded in length.

LowerboundError              exit status 1
├── UsageError               exit status 2: the request itself is wrong
│   ├── ConfigError          a setting, or a combination of settings, that is not accepted
│   └── UnknownName          a name that no table contains; carries the nearest valid one
├── DataError                data that is missing, damaged or out of range
│   ├── SchemaError          exit status 2: data that does not fit what a model was trained on
│   └── TooLarge             data that would exceed a stated limit
├── RunError                 a run directory or checkpoint that is missing, damaged or of another version
├── NonFiniteLoss            training encountered NaN or infinity; the message states the likely cause
├── RankLost                 one of several training processes has ended, or cannot be reached
├── OtherRankFailed          another of several training processes has raised an error, and reports it
└── Interrupted              exit status 130: stopped by the user, everything saved
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from lowerbound.foundation.text import one_line, shortened

LONGEST_NAME = 200  # characters of a name that the user gave
LONGEST_REASON = 300  # characters of an error as part of a message


class LowerboundError(Exception):
    """Base class of all errors that a user can encounter; its message is one line."""

    exit_status = 1

    def __init__(self, message: str = "", *, hint: str = "", path: Path | str = "", num: int = 0) -> None:
        super().__init__(one_line(message))
        self.hint = hint
        self.path = path  # of the run or file that the hint is about
        self.num = num  # of seeds that the hint is about


def in_one_line(error: BaseException) -> str:
    """An error as part of a message: its own line if users can encounter it, otherwise with its type."""
    text = one_line(str(error), LONGEST_REASON)
    return text if isinstance(error, LowerboundError) else f"{type(error).__name__}: {text}".rstrip(": ")


class UsageError(LowerboundError):
    """The request is wrong: nothing was started."""

    exit_status = 2


class ConfigError(UsageError):
    """A setting, or a combination of settings, that is not accepted."""


class UnknownName(UsageError):
    """A name that no table contains.

    `kind` is what was looked up ("recipe"), `valid` the accepted names.
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        known, name = sorted(valid), shortened(name, LONGEST_NAME)
        nearest = get_close_matches(name, known, n=1, cutoff=0.5)
        suggestion = f"did you mean {nearest[0]!r}? " if nearest else ""
        accepted = f"accepted: {', '.join(known)}" if known else "none is accepted"
        super().__init__(f"unknown {kind} {name!r}; {suggestion}{accepted}.")
        self.name = name
        self.nearest = nearest[0] if nearest else None
        self._arguments = kind, name, known

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:
        # Errors of worker processes are pickled; by default one is rebuilt from its message alone.
        return type(self), self._arguments


class DataError(LowerboundError):
    """Data that is missing, damaged or out of range."""


class SchemaError(DataError):
    """Data that does not fit the schema of a trained model: another shape, value, column or level."""

    exit_status = 2


class TooLarge(DataError):
    """Data that would exceed a stated limit: of bytes, pixels, cells or files."""


class RunError(LowerboundError):
    """A run directory or checkpoint that is missing, damaged or written by another version."""


class NonFiniteLoss(LowerboundError):
    """Training encountered NaN or infinity."""


class RankLost(LowerboundError):
    """One of several training processes (ranks) has ended, or cannot be reached."""


class OtherRankFailed(LowerboundError):
    """Another of several training processes (ranks) has raised an error and reports it; carries its message."""


class Interrupted(LowerboundError):
    """Training was stopped by the user, after its state was saved."""

    exit_status = 130

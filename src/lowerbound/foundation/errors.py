"""What can go wrong, as one tree. Each message is one line: what came, what is accepted, what to do.

Names of files and columns are other people's: in a message their line ends and escapes are written out, so that none
reaches a terminal, and nothing makes a message endless.

LowerboundError              exit status 1
├── UsageError               exit status 2: the request itself is wrong
│   ├── ConfigError          a setting, or a combination of settings, that is not accepted
│   └── UnknownName          a name that stands in no table; carries the nearest valid one
├── DataError                data that is missing, damaged or out of range
│   ├── SchemaError          exit status 2: data that do not fit what a model was trained on
│   └── TooLarge             data that would take more than a stated limit
├── RunError                 a run directory or checkpoint that is missing, damaged or of another version
├── NonFiniteLoss            training met NaN or infinity; names the likely cause
└── Interrupted              exit status 130: stopped by the user, everything saved
"""

from collections.abc import Iterable
from difflib import get_close_matches

from lowerbound.foundation.text import one_line, shortened

LONGEST_NAME = 200  # characters of what somebody named


class LowerboundError(Exception):
    """Base of every error that a user can meet; its message is one line."""

    exit_status = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class UsageError(LowerboundError):
    """The request is wrong: nothing was started."""

    exit_status = 2


class ConfigError(UsageError):
    """A setting, or a combination of settings, that is not accepted."""


class UnknownName(UsageError):
    """A name that stands in no table.

    `kind` is what was looked up ("recipe"), `valid` the names that would have been found.
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        known, name = sorted(valid), shortened(name, LONGEST_NAME)
        nearest = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        accepted = f"accepted: {', '.join(known)}" if known else "there is none"
        super().__init__(f"unknown {kind} {name!r}; {hint}{accepted}.")
        self.nearest = nearest[0] if nearest else None
        self._arguments = kind, name, known

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:
        # So that a worker process can hand it on: by default an error is made again from its message alone.
        return type(self), self._arguments


class DataError(LowerboundError):
    """Data that is missing, damaged or out of range."""


class SchemaError(DataError):
    """Data that do not fit the schema of a trained model: another shape, value, column or level."""

    exit_status = 2


class TooLarge(DataError):
    """Data that would take more than a stated limit: of bytes, pixels, cells or files."""


class RunError(LowerboundError):
    """A run directory or checkpoint that is missing, damaged or written by another version."""


class NonFiniteLoss(LowerboundError):
    """Training met NaN or infinity."""


class Interrupted(LowerboundError):
    """Training was stopped by the user, after its state was saved."""

    exit_status = 130

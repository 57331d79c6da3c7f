"""HINTS: the command-line options that belong to an error's remedy, which the error itself does not name."""

from shlex import quote

from lowerbound.foundation.errors import LowerboundError

HINTS = {
    "anneal": "Leave out --anneal.",
    "data": "Option: --data PATH.",
    "evaluate": "Run: lowerbound evaluate {path}",
    "folder": "Option: --folder DIR.",
    "grid": "Option: --grid COLUMNSxROWS.",
    "host": "Option: --host ADDRESS.",
    "max_gib": "Option: --max-gib GIB.",
    "occupied": "Options: --out DIR, or --resume --out {path}",
    "out": "Option: --out.",
    "port": "Option: --port PORT.",
    "resume": "Resume with: lowerbound train --resume --out {path}",
    "settings": "Settings are given as --set SECTION.KEY=VALUE.",
    "size": "Option: --size WIDTHxHEIGHT.",
    "skip_broken": "Option: --skip-broken.",
    "token_file": "Option: --token-file FILE.",
    "train": "Train with: lowerbound train DATA --out {path}",
}
"""By the hint that an error carries."""


def with_hint(error: LowerboundError) -> str:
    """The message of an error, with the options that its remedy needs."""
    return f"{error} {HINTS[error.hint].format(path=quote(str(error.path)))}" if error.hint else str(error)

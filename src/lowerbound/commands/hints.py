"""HINTS: the command-line options that belong to an error's remedy, which the error itself does not name."""

import re
from shlex import quote

from lowerbound.foundation.errors import LowerboundError

HINTS = {
    "anneal": "Leave out --anneal.",
    "data": "Option: --data PATH.",
    "evaluate": "Run: lowerbound evaluate {path}",
    "example": "Option: --example N.",
    "fit-prior": "To fit one: lowerbound fit-prior {path} --out DIR",
    "folder": "Option: --folder DIR.",
    "grid": "Option: --grid COLUMNSxROWS.",
    "host": "Option: --host ADDRESS.",
    "occupied": "Options: --out DIR, or --resume --out {path}",
    "out": "Option: --out.",
    "over": "Option: --over SECTION.KEY=VALUE,VALUE,...",
    "port": "Option: --port PORT.",
    "ranks": "To continue from the newest checkpoint: torchrun --max-restarts N, or lowerbound train --resume.",
    "resume": "Resume with: lowerbound train --resume --out {path}",
    "shards": "Option: --shards DIR.",
    "settings": "Settings are given as --set SECTION.KEY=VALUE.",
    "sweep": "Continue with: lowerbound sweep --resume {path}",
    "size": "Option: --size WIDTHxHEIGHT.",
}
"""Options by the hint of an error."""

SETTINGS = {
    "data.labels": "--labels FILE|COLUMN",
    "data.max_gib": "--max-gib GIB",
    "data.size": "--size WIDTHxHEIGHT",
    "data.skip_broken": "--skip-broken",
}
"""Command-line options that set a single setting, by that setting's name."""

NAMED = re.compile("|".join(map(re.escape, SETTINGS)))
ASSIGNED = re.compile(r"\bset (data|model|objective|training|evaluation)\.\w")


def with_hint(error: LowerboundError) -> str:
    """The message of an error, with the options that its remedy needs."""
    message, hint = str(error), HINTS.get(error.hint, "").format(path=quote(str(error.path)))
    if not hint and (options := [SETTINGS[name] for name in dict.fromkeys(NAMED.findall(message))]):
        hint = f"Option: {', '.join(options)}."
    if not hint and ASSIGNED.search(message):
        hint = HINTS["settings"]
    return f"{message} {hint}".rstrip()

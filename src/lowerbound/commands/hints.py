"""HINTS: the command-line options that belong to an error's remedy, which the error itself does not name."""

import re
from shlex import quote

from lowerbound.foundation.errors import LowerboundError
from lowerbound.foundation.keywords import KEYWORDS, option

HINTS = {
    "anneal": "Leave out --anneal.",
    "data": "Option: --data PATH.",
    "ends": "Options: A B, --from-label LABEL, --to-label LABEL.",
    "engine": "Option: --engine torch.",
    "evaluate": "Run: lowerbound evaluate {path}",
    "example": "Option: --example N.",
    "fit-prior": "To fit one: lowerbound fit-prior {path} --out DIR",
    "folder": "Option: --folder DIR.",
    "given": "Options: --label LABEL, --given NAME=VALUE, --given FILE.",
    "grid": "Option: --grid COLUMNSxROWS.",
    "host": "Option: --host ADDRESS.",
    "occupied": "Options: --out DIR, or --resume {path}",
    "no_labels": "Leave out --labels.",
    "out": "Option: --out.",
    "over": "Option: --over SECTION.KEY=VALUE,VALUE,...",
    "page": "Option: --page FILE.html.",
    "port": "Option: --port PORT.",
    "ranks": "To continue from the newest checkpoint: torchrun --max-restarts N, or lowerbound train --resume DIR.",
    "run": "Option: --run RUN.",
    "skip_broken": "To read what is intact: --skip-broken.",
    "resume": "Continue with: lowerbound train --resume {path}",
    "resume-seeds": "Continue with: lowerbound train --resume {path} --seeds {num}",
    "shards": "Option: --shards DIR.",
    "listed": "`lowerbound settings` lists all of them.",
    "settings": "Settings are given as --set SECTION.KEY=VALUE.",
    "start-seeds": "Start them with: lowerbound train DATA --seeds N --out {path}",
    "sweep": "Continue with: lowerbound sweep --resume {path}",
    "size": "Option: --size WIDTHxHEIGHT.",
}
"""Options by the hint of an error."""

GIVEN_BY = {keyword.setting: f"{option(name)} {keyword.value}".rstrip() for name, keyword in KEYWORDS.items()}
"""Command-line options that set a single setting, by that setting's name."""

SETTINGS = {name: GIVEN_BY[name] for name in ("data.labels", "data.max_gib", "data.size", "data.skip_broken")}
"""Those that remedies name."""

REFUSED = re.compile(rf"({'|'.join(map(re.escape, GIVEN_BY))}) needs ")

NAMED = re.compile("|".join(map(re.escape, SETTINGS)))
ASSIGNED = re.compile(r"\bset (data|model|objective|training|evaluation)\.\w")


def with_hint(error: LowerboundError) -> str:
    """The message of an error, with the options that its remedy needs."""
    message, hint = str(error), HINTS.get(error.hint, "").format(path=quote(str(error.path)), num=error.num)
    if not hint and (given := REFUSED.match(message)):
        hint = f"Option: {GIVEN_BY[given[1]]}."
    if not hint and (options := [SETTINGS[name] for name in dict.fromkeys(NAMED.findall(message))]):
        hint = f"Option: {', '.join(options)}."
    if not hint and ASSIGNED.search(message):
        hint = HINTS["settings"]
    return f"{message} {hint}".rstrip()

"""What is said to a browser: messages that name no place on this machine."""

import re
from pathlib import Path

from lowerbound.foundation.text import readable

FOLDERS = re.compile(r"(?:~|(?<![\w.:/])|[A-Za-z]:)[/\\](?:[^\s/\\'\"(),;:]+[/\\])*(?=[^\s/\\'\"(),;:])")
"""The folders before a file's name, from the root of a disk on."""


def without_paths(message: str, *known: Path) -> str:
    """A message on one line in which paths are cut down to the last of their names."""
    line = " ".join(message.split())
    for path in known:
        for form in sorted({str(path), str(path.absolute()), str(path.resolve())}, key=len, reverse=True):
            line = line.replace(form, path.resolve().name) if form not in (".", "/") else line
    return readable(FOLDERS.sub("", line))

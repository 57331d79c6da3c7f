"""Messages for the browser, without the paths of this machine."""

import re
from pathlib import Path

from lowerbound.foundation.text import readable

FOLDERS = re.compile(r"(?:~|(?<![\w.:/])|[A-Za-z]:)[/\\](?:[^\s/\\'\"(),;:]+[/\\])*(?=[^\s/\\'\"(),;:])")
"""The folders in front of a file name in an absolute path."""


def without_paths(message: str, *known: Path) -> str:
    """A message on one line, with only the last part of each path."""
    line = " ".join(message.split())
    for path in known:
        for form in sorted({str(path), str(path.absolute()), str(path.resolve())}, key=len, reverse=True):
            line = line.replace(form, path.resolve().name) if form not in (".", "/") else line
    return readable(FOLDERS.sub("", line))

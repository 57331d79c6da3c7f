"""Tokens: where they come from, and how a browser on this machine hears of one.

Never by a command line, which every user of the machine can read: neither this program's nor the browser's.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.interrupts import TEMPORARY

TOKEN_VARIABLE = "LOWERBOUND_TOKEN"
MIN_TOKEN_LENGTH = 16
MAX_FILE_BYTES = 4096
OTHERS = stat.S_IRWXG | stat.S_IRWXO

REDIRECT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>lowerbound</title>
</head>
<body><p><a href="{address}">The explorer</a></p></body>
</html>
"""


def given_token(file: Path | None) -> str:
    """The token of a file, else of the environment; empty where there is neither.

    Raises UsageError for a file that cannot be read or that others may read, and for a token that could be guessed.
    """
    if file is None:
        origin, token = f"the variable {TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            return ""
    else:
        origin = f"--token-file {file}"
        try:
            token = _content_of(file, origin).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{origin} cannot be read ({getattr(error, 'strerror', None) or 'no text'}).") from error
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{origin} holds no token of at least {MIN_TOKEN_LENGTH} printable ASCII characters without a space; "
            'make one: python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return token


def _content_of(file: Path, origin: str) -> bytes:
    with file.open("rb") as opened:
        # Of what was opened: the name may lead elsewhere a moment later. Windows has other rights than these.
        mode = os.fstat(opened.fileno()).st_mode
        if os.name == "posix" and mode & OTHERS:
            raise UsageError(f"{origin} can be read by others (its mode is {mode & 0o777:o}); run: chmod 600 {file}")
        return opened.read(MAX_FILE_BYTES)


@contextmanager
def redirecting_file(address: str) -> Iterator[str]:
    """The URL of a file that leads a browser to `address`, for its owner's eyes alone; it is gone after this.

    It lies in the home folder, by a name without a dot: browsers from a snap or a flatpak see a /tmp of their own, and
    of a home no hidden folders.
    """
    descriptor, name = tempfile.mkstemp(".html", "lowerbound-", _folder_that_browsers_read())  # of mode 600
    path = Path(name)
    TEMPORARY.add(name)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(REDIRECT.format(address=escape(address)))
        yield path.as_uri()
    finally:
        path.unlink(missing_ok=True)
        TEMPORARY.discard(name)


def _folder_that_browsers_read() -> Path:
    temporary = Path(tempfile.gettempdir())
    if not sys.platform.startswith("linux"):
        return temporary  # it is each user's own
    try:
        home = Path.home()
    except RuntimeError:
        return temporary
    return home if os.access(home, os.W_OK) else temporary

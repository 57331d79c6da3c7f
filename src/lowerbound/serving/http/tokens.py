"""Access tokens: read from a file or the environment, and passed to a browser through a private file.

Tokens are never on a command line, neither this program's nor the browser's: every user of the machine can read those.
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
OTHER_USERS = stat.S_IRWXG | stat.S_IRWXO

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


def read_token(file: Path | None) -> str:
    """The token in a file, else in the environment; empty if there is neither.

    Raises UsageError for a file that cannot be read, or that other users can read, and for a weak token.
    """
    if file is None:
        origin, token = f"the environment variable {TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            return ""
    else:
        origin = f"token file {file}"
        try:
            token = _content_of(file, origin).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{origin} cannot be read ({getattr(error, 'strerror', None) or 'not text'}).") from error
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{origin} is not a token of at least {MIN_TOKEN_LENGTH} printable ASCII characters without spaces; "
            'generate one: python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return token


def _content_of(file: Path, origin: str) -> bytes:
    with file.open("rb") as opened:
        # fstat, not stat: the name may refer to another file a moment later. Windows has no such modes.
        mode = os.fstat(opened.fileno()).st_mode
        if os.name == "posix" and mode & OTHER_USERS:
            raise UsageError(f"{origin} can be read by other users (mode {mode & 0o777:o}); run: chmod 600 {file}")
        return opened.read(MAX_FILE_BYTES)


@contextmanager
def redirect_file(address: str) -> Iterator[str]:
    """The URL of a file that redirects a browser to `address`; only its owner can read it, and it is deleted on exit.

    It is in the home folder, under a name without a leading dot: browsers from a snap or a flatpak have their own /tmp,
    and see no hidden folders of the home.
    """
    descriptor, name = tempfile.mkstemp(".html", "lowerbound-", _folder_readable_by_browsers())  # of mode 600
    path = Path(name)
    TEMPORARY.add(name)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(REDIRECT.format(address=escape(address)))
        yield path.as_uri()
    finally:
        path.unlink(missing_ok=True)
        TEMPORARY.discard(name)


def _folder_readable_by_browsers() -> Path:
    temporary = Path(tempfile.gettempdir())
    if not sys.platform.startswith("linux"):
        return temporary  # private to each user
    try:
        home = Path.home()
    except RuntimeError:
        return temporary
    return home if os.access(home, os.W_OK) else temporary

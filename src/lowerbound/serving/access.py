"""Who may ask: the names by which a server is called, and a token.

A page that a browser has open anywhere may send requests to this machine, under a name that was made to lead here (DNS
rebinding); so a server on a loopback address answers to loopback names alone. Beyond this machine a token is needed. It
comes from a file or the environment, never from the command line, which any user of the machine can read.
"""

import binascii
import hmac
import json
import os
import secrets
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.errors import UsageError
from lowerbound.serving.hosting import is_loopback

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_VARIABLE = "LOWERBOUND_TOKEN"
MIN_TOKEN_LENGTH = 16
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
WILDCARDS = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class Access:
    """What a request must show."""

    names: frozenset[str]  # of this server, in the Host header; none accepts any
    token: str = ""  # none is needed where this is empty
    is_generated: bool = False  # whether someone has yet to be told the token


def access_to(host: str, token_file: Path | None = None) -> Access:
    """What is asked of requests to `host`: the token of the file or the environment, if there is one.

    Beyond loopback there is always a token: without one of yours, a new one is made. Raises UsageError for a file that
    cannot be read, or a token that could be guessed.
    """
    token = _given_token(token_file)
    names = frozenset() if host in WILDCARDS else frozenset({host.lower()})
    if is_loopback(host):
        return Access(names | set(LOOPBACK_NAMES), token)
    return Access(names, token or secrets.token_urlsafe(24), is_generated=not token)


def guarded(app: App, access: Access, prefixes: Iterable[str] = ("/",), free: Iterable[str] = ()) -> App:
    """`app` behind the checks; the token is asked for below `prefixes`, except for the paths in `free`."""
    inner = TokenCheck(app, access.token, prefixes, free) if access.token else app
    return HostCheck(inner, access.names) if access.names else inner


class HostCheck:
    """Refuses requests that were sent to another name than this server's.

    HTTP/1.0 has no Host header, and what speaks it without one is not a browser, which a page could have led here.
    """

    def __init__(self, app: App, names: Iterable[str]) -> None:
        self.app, self.names = app, frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1 or (not hosts and scope["http_version"] != "1.0"):
            count = "more than one Host header" if hosts else "no Host header"
            await refuse(send, 400, f"the request has {count}; HTTP/{scope['http_version']} needs exactly one.")
            return
        if not hosts or _host_name(hosts[0]) in self.names:
            await self.app(scope, receive, send)
            return
        known = ", ".join(sorted(self.names))
        await refuse(send, 421, f"this server is called {known}; the request was sent to another host.")


class TokenCheck:
    """Refuses requests without the token: as "Authorization: Bearer TOKEN", or as the password of Basic."""

    def __init__(self, app: App, token: str, prefixes: Iterable[str] = ("/",), free: Iterable[str] = ()) -> None:
        self.app, self.token = app, token.encode()
        self.prefixes, self.free = tuple(prefixes), frozenset(free)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_kept = scope["type"] == "http" and scope["path"].startswith(self.prefixes) and scope["path"] not in self.free
        # In constant time: how soon a comparison fails must not tell how much of the token was right.
        if not is_kept or hmac.compare_digest(_shown_token(_header(scope, b"authorization")), self.token):
            await self.app(scope, receive, send)
            return
        challenge = (b"www-authenticate", b'Bearer realm="lowerbound", Basic realm="lowerbound"')
        await refuse(send, 401, "a token is needed: send the header Authorization: Bearer TOKEN.", challenge)


async def refuse(send: Send, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    """Answer with {"error": reason}."""
    body = json.dumps({"error": reason}).encode()
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


def _given_token(file: Path | None) -> str:
    """The token of a file, else of the environment; empty where there is neither."""
    if file is None:
        origin, token = f"the variable {TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            return ""
    else:
        origin = f"--token-file {file}"
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{origin} cannot be read ({getattr(error, 'strerror', None) or 'no text'}).") from error
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{origin} holds no token of at least {MIN_TOKEN_LENGTH} printable ASCII characters without a space; "
            'make one: python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return token


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _host_name(header: bytes) -> str:
    """The name in a Host header, without its port and the brackets of IPv6."""
    text = header.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _shown_token(header: bytes) -> bytes:
    scheme, _, credentials = header.partition(b" ")
    if scheme.lower() == b"basic":
        try:
            return b64decode(credentials, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return credentials.strip() if scheme.lower() == b"bearer" else b""

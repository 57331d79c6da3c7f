"""Who may ask: the names by which a server is called, the pages that ask, and a token.

A page that a browser has open anywhere may send requests to this machine: under a name that was made to lead here (DNS
rebinding), or by embedding what is here. So a server on a loopback address answers to loopback names alone, and none
answers to pages of another origin. Beyond this machine a token is needed.
"""

import binascii
import hmac
import ipaddress
import json
import re
import secrets
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.serving.http.hosting import is_loopback
from lowerbound.serving.http.tokens import given_token

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
WILDCARDS = ("0.0.0.0", "::", "")
AUTHORITY = re.compile(rb"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]*)(?::(?P<port>[0-9]{0,5}))?", re.IGNORECASE)
"""A Host header: a name or an address, in brackets if it is one of IPv6, and perhaps a port."""

OWN = (b"same-origin", b"none")  # of Sec-Fetch-Site: our own page, or whoever typed the address


@dataclass(frozen=True)
class Access:
    """What a request must show."""

    names: frozenset[str] = frozenset()  # of this server, in the Host header; none accepts any
    token: str = ""  # none is needed where this is empty
    is_generated: bool = False  # whether someone has yet to be told the token


ANYONE = Access()


def access_to(host: str, token_file: Path | None = None) -> Access:
    """What is asked of requests to `host`: the token of the file or the environment, if there is one.

    Beyond loopback there is always a token: without one of yours, a new one is made. Raises UsageError for a file that
    cannot be read, or a token that could be guessed.
    """
    token = given_token(token_file)
    names = frozenset() if host in WILDCARDS else frozenset({host.lower()})
    if is_loopback(host):
        return Access(names | set(LOOPBACK_NAMES), token)
    return Access(names, token or secrets.token_urlsafe(24), is_generated=not token)


def guarded(app: App, access: Access, prefixes: Iterable[str] = ("/",), free: Iterable[str] = ()) -> App:
    """`app` behind the checks; the token is asked for below `prefixes`, except for the paths in `free`."""
    inner = TokenCheck(app, access.token, prefixes, free) if access.token else app
    return HostCheck(SiteCheck(inner), access.names)


class HostCheck:
    """Refuses requests that do not say which server they are for, or that were sent to another name than this one's.

    HTTP/1.0 has no Host header, and what speaks it without one is not a browser, which a page could have led here.
    """

    def __init__(self, app: App, names: Iterable[str]) -> None:
        self.app, self.names = app, frozenset(map(_canonical, names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await refuse(send, *refusal)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if not hosts and scope["http_version"] == "1.0":
            return None
        if len(hosts) != 1:
            count = "more than one Host header" if hosts else "no Host header"
            return 400, f"the request has {count}; HTTP/{scope['http_version']} needs exactly one."
        name = host_name(hosts[0])
        if name is None:
            return 400, "the Host header is not a name, or an address, and perhaps a port."
        if self.names and name not in self.names:
            known = ", ".join(sorted(self.names))
            return 421, f"this server is called {known}; the request was sent to another host."
        return None


class SiteCheck:
    """Refuses what a page of another origin asks, by script, form or embedding: its reader asked for nothing here.

    Browsers say where a request comes from in Sec-Fetch-Site and Origin, which no page can change. A link that is
    followed is no such request. What is no browser says neither.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_from_here(scope):
            await self.app(scope, receive, send)
        else:
            await refuse(send, 403, "the request comes from a page of another site; only this server's own may ask.")


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


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def host_name(header: bytes) -> str | None:
    """The name in a Host header, as it is compared; None where it is neither a name nor an address."""
    found = AUTHORITY.fullmatch(header)
    if found is None or int(found["port"] or 0) > 65535:
        return None
    name = found["name"].decode().lower()
    if not name.startswith("["):
        return _canonical(name)
    try:
        return str(ipaddress.IPv6Address(name[1:-1]))
    except ValueError:
        return None


def _canonical(name: str) -> str:
    """One spelling of a name or address: the root's dot left out, zeros of IPv6 as they are usually written."""
    try:
        return str(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return name.lower().removesuffix(".")


def _is_from_here(scope: Scope) -> bool:
    """Whether a request comes from this server's own page, from a person, or from what is no browser."""
    site, origin = _header(scope, b"sec-fetch-site"), _header(scope, b"origin")
    if site:
        is_link = _header(scope, b"sec-fetch-mode") == b"navigate" and _header(scope, b"sec-fetch-dest") == b"document"
        return site in OWN or (is_link and scope["method"] in ("GET", "HEAD"))
    # Of an origin that is none, such as a file's, browsers say null.
    return not origin or origin.partition(b"://")[2].lower() == _header(scope, b"host").lower()


def _shown_token(header: bytes) -> bytes:
    scheme, _, credentials = header.partition(b" ")
    if scheme.lower() == b"basic":
        try:
            return b64decode(credentials, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return credentials.strip() if scheme.lower() == b"bearer" else b""

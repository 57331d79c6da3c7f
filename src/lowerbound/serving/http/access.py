"""Access control: the Host header, requests by pages of other origins, and a bearer token.

A page open in a browser can send requests to this machine, under a name that resolves here (DNS rebinding) or by
embedding a resource. A server on a loopback address therefore answers only to loopback names, and no server answers to
pages of another origin. A server that other machines can reach requires a token.
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
from lowerbound.serving.http.tokens import read_token

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
WILDCARDS = ("0.0.0.0", "::", "")
AUTHORITY = re.compile(rb"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]*)(?::(?P<port>[0-9]{0,5}))?", re.IGNORECASE)
"""A Host header: a name or an address (IPv6 in brackets), optionally with a port."""

SAME_ORIGIN = (b"same-origin", b"none")  # values of Sec-Fetch-Site; "none": the user typed the address


@dataclass(frozen=True)
class Access:
    """What a request needs in order to be answered."""

    names: frozenset[str] = frozenset()  # accepted in the Host header; any if empty
    token: str = ""  # not required if empty
    is_generated: bool = False  # whether the token was made here, so that it has to be printed


UNRESTRICTED = Access()


def access_for(host: str, token_file: Path | None = None) -> Access:
    """The checks for a server on `host`, with the token from the file or the environment.

    On addresses other than loopback a token is always required; if none is given, one is generated. Raises UsageError
    for a file that cannot be read, or a token that could be guessed.
    """
    token = read_token(token_file)
    names = frozenset() if host in WILDCARDS else frozenset({host.lower()})
    if is_loopback(host):
        return Access(names | set(LOOPBACK_NAMES), token)
    return Access(names, token or secrets.token_urlsafe(24), is_generated=not token)


def with_access_checks(app: App, access: Access, prefixes: Iterable[str] = ("/",), free: Iterable[str] = ()) -> App:
    """`app` behind the checks; the token is required below `prefixes`, except for the paths in `free`."""
    inner = TokenCheck(app, access.token, prefixes, free) if access.token else app
    return HostCheck(OriginCheck(inner), access.names)


class HostCheck:
    """Refuses requests without a single valid Host header, or for another host.

    HTTP/1.0 has no Host header; a client without one is not a browser, so DNS rebinding does not apply.
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
            return 400, "the Host header is not a name or an address, optionally with a port."
        if self.names and name not in self.names:
            known = ", ".join(sorted(self.names))
            return 421, f"this server answers to {known}; the request names another host."
        return None


class OriginCheck:
    """Refuses requests made by pages of another origin, whether by script, form or embedding.

    Browsers state the origin in Sec-Fetch-Site and Origin, which a page cannot change. Following a link is allowed.
    Clients other than browsers send neither header.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_same_origin(scope):
            await self.app(scope, receive, send)
        else:
            await refuse(send, 403, "requests from pages of another origin are not accepted.")


class TokenCheck:
    """Refuses requests without the token: as "Authorization: Bearer TOKEN", or as the password of Basic."""

    def __init__(self, app: App, token: str, prefixes: Iterable[str] = ("/",), free: Iterable[str] = ()) -> None:
        self.app, self.token = app, token.encode()
        self.prefixes, self.free = tuple(prefixes), frozenset(free)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_protected = (
            scope["type"] == "http" and scope["path"].startswith(self.prefixes) and scope["path"] not in self.free
        )
        # In constant time: the duration must not reveal how much of the token was right.
        if not is_protected or hmac.compare_digest(_sent_token(_header(scope, b"authorization")), self.token):
            await self.app(scope, receive, send)
            return
        challenge = (b"www-authenticate", b'Bearer realm="lowerbound", Basic realm="lowerbound"')
        await refuse(send, 401, "a token is required; send the header Authorization: Bearer TOKEN.", challenge)


async def refuse(send: Send, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    """Answer with {"error": reason}."""
    body = json.dumps({"error": reason}).encode()
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def host_name(header: bytes) -> str | None:
    """The name in a Host header in canonical form; None if it is neither a name nor an address."""
    match = AUTHORITY.fullmatch(header)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    name = match["name"].decode().lower()
    if not name.startswith("["):
        return _canonical(name)
    try:
        return str(ipaddress.IPv6Address(name[1:-1]))
    except ValueError:
        return None


def _canonical(name: str) -> str:
    """One spelling of a name or address: without a trailing dot, IPv6 compressed."""
    try:
        return str(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return name.lower().removesuffix(".")


def _is_same_origin(scope: Scope) -> bool:
    """Whether a request comes from this server's page, the address bar, a link, or a client that is not a browser."""
    site, origin = _header(scope, b"sec-fetch-site"), _header(scope, b"origin")
    if site:
        is_link = _header(scope, b"sec-fetch-mode") == b"navigate" and _header(scope, b"sec-fetch-dest") == b"document"
        return site in SAME_ORIGIN or (is_link and scope["method"] in ("GET", "HEAD"))
    # For an opaque origin, such as a file, browsers send null.
    return not origin or origin.partition(b"://")[2].lower() == _header(scope, b"host").lower()


def _sent_token(header: bytes) -> bytes:
    scheme, _, credentials = header.partition(b" ")
    if scheme.lower() == b"basic":
        try:
            return b64decode(credentials, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return credentials.strip() if scheme.lower() == b"bearer" else b""

"""What the service and the explorer check of every request in the same way: its query, its address, its method.

A misspelt query parameter that is ignored gives an answer to another question; so every name must be known, and a
parameter that takes one value must be given once.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

from starlette.datastructures import QueryParams

from lowerbound.foundation.errors import UnknownName, UsageError
from lowerbound.serving.http.access import App, Receive, Scope, Send

LONGEST_SHOWN = 60  # characters of a name
LONGEST_PATH = 200  # characters: finding the nearest takes time with the square of it
NEAR = 0.7
PLACEHOLDER = re.compile(r"\{\w+\}")
FORM = "multipart/"
NO_FORM = "a form is not accepted; send the file or the JSON itself: curl --data-binary @FILE ..."


def check_query(query: QueryParams, accepted: Collection[str], repeatable: Collection[str] = ()) -> None:
    """Refuse parameters that an endpoint does not have, and several values of one that takes a single one.

    Raises UsageError.
    """
    for name in query:
        if name not in accepted:
            check_name("query parameter", name, accepted, "this endpoint")
        times = len(query.getlist(name))
        if times > 1 and name not in repeatable:
            raise UsageError(f"query parameter {name!r} is given {times} times; give it once.")


def check_name(kind: str, name: str, accepted: Collection[str], owner: str) -> None:
    """Raises UsageError for a name that is not accepted, with the nearest that is."""
    if name in accepted:
        return
    shown = name if len(name) <= LONGEST_SHOWN else f"{name[: LONGEST_SHOWN - 3]}..."
    if not accepted:
        raise UsageError(f"unknown {kind} {shown!r}; {owner} takes none.")
    raise UnknownName(kind, shown, accepted)


def no_such_endpoint(method: str, path: str, templates: Iterable[str], listing: str) -> str:
    """Why a path is not found, with the nearest of the paths in `templates` (as "/models/{name}")."""
    shown = path[:LONGEST_PATH]
    parts = shown.rstrip("/").split("/")
    nearest = get_close_matches(shown, {_filled(template, parts) for template in templates}, n=1, cutoff=NEAR)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    # As repr: a path may hold any character, a line's end included.
    return f"no such endpoint: {method} {shown!r}; {hint}{listing}."


def wrong_method(method: str, path: str, allow: str) -> str:
    """Why a method is not accepted, with those that are."""
    return f"{method} is not accepted by {path[:LONGEST_PATH]!r}; accepted: {allow}."


def allowed(headers: Mapping[str, str] | None) -> str:
    """The header Allow as a router has it, and HEAD wherever GET is accepted."""
    methods = set((headers or {}).get("Allow", "").split(", "))
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


class HeadAsGet:
    """Answers HEAD as GET, with the same status and headers, and no body."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Scope) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


def _filled(template: str, parts: list[str]) -> str:
    """A template with the request's own names in place of its placeholders."""
    pieces = template.split("/")
    if len(pieces) != len(parts):
        return template
    return "/".join(
        given if PLACEHOLDER.fullmatch(piece) else piece for piece, given in zip(pieces, parts, strict=True)
    )

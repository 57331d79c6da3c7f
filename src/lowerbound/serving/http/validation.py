"""Checks of a request's query parameters, path and method, shared by the service and the explorer.

Ignoring a misspelt query parameter would answer a different request; so every name must be known, and a parameter with
a single value may be given only once.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from lowerbound.foundation.errors import UnknownName
from lowerbound.serving.http.access import App, Receive, Scope, Send
from lowerbound.serving.http.errors import RequestError, error_response

MAX_NAME_LENGTH = 60  # characters of a name in an error message
MAX_PATH_LENGTH = 200  # characters; the time to find the nearest path grows with the square of it
MIN_SIMILARITY = 0.7
PLACEHOLDER = re.compile(r"\{\w+\}")


def check_query(query: QueryParams, accepted: Collection[str], repeatable: Collection[str] = ()) -> None:
    """Refuse unknown parameters, and repeated ones that are not in `repeatable`.

    Raises RequestError with 400.
    """
    for name in query:
        if name not in accepted:
            raise RequestError(400, _unknown_parameter(name, accepted))
        times = len(query.getlist(name))
        if times > 1 and name not in repeatable:
            raise RequestError(400, f"query parameter {name!r} is given {times} times; give it once.")


def routing_error(request: Request, error: HTTPException, paths: Iterable[str], listing: str) -> JSONResponse:
    """The response to a path or method without a route; `paths` are the known ones, `listing` where to find them."""
    reason, headers, path = str(error.detail), error.headers, request.scope["path"]
    if error.status_code == 404:
        reason = no_such_endpoint(request.method, path, paths, listing)
    if error.status_code == 405:
        headers = {"Allow": allowed_methods(error.headers)}
        reason = wrong_method(request.method, path, headers["Allow"])
    return error_response(error.status_code, reason, headers)


def no_such_endpoint(method: str, path: str, templates: Iterable[str], listing: str) -> str:
    """The message for an unknown path, with the nearest of the paths in `templates` (such as "/models/{name}")."""
    shown = path[:MAX_PATH_LENGTH]
    parts = shown.rstrip("/").split("/")
    nearest = get_close_matches(
        shown, {_with_names_of(template, parts) for template in templates}, n=1, cutoff=MIN_SIMILARITY
    )
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    # With repr, because a path may contain any character, newlines included.
    return f"no such endpoint: {method} {shown!r}; {hint}{listing}."


def wrong_method(method: str, path: str, allow: str) -> str:
    """The message for a method that a path does not accept, with those that it does."""
    return f"{method} is not accepted by {path[:MAX_PATH_LENGTH]!r}; accepted: {allow}."


def allowed_methods(headers: Mapping[str, str] | None) -> str:
    """The value of the header Allow: that of the router, with HEAD wherever GET is accepted."""
    methods = set((headers or {}).get("Allow", "").split(", "))
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


class HeadAsGet:
    """Responds to HEAD as to GET, with the same status and headers but no body."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Scope) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


def _unknown_parameter(name: str, accepted: Collection[str]) -> str:
    shown = name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH - 3]}..."
    if not accepted:
        return f"unknown query parameter {shown!r}; this endpoint takes none."
    return str(UnknownName("query parameter", shown, accepted))


def _with_names_of(template: str, parts: list[str]) -> str:
    """A template with the names of the request's path in place of its placeholders."""
    pieces = template.split("/")
    if len(pieces) != len(parts):
        return template
    return "/".join(
        given if PLACEHOLDER.fullmatch(piece) else piece for piece, given in zip(pieces, parts, strict=True)
    )

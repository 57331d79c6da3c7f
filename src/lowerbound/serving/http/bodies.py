"""Request bodies, read within limits of size and time."""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.requests import ClientDisconnect, Request

from lowerbound.serving.http.errors import RequestError

FORM = "multipart/"
FORM_REFUSED = "forms are not accepted; send the file or the JSON as the body: curl --data-binary @FILE ..."
COMPRESSED_REFUSED = "compressed bodies are not accepted; send the body without Content-Encoding."


async def read_chunks(
    request: Request, max_bytes: int, max_seconds: float, reserve: Callable[[int], None] = lambda num_bytes: None
) -> list[bytes]:
    """The chunks of a request's body; `reserve` is called with the size of each before it is kept.

    RequestError with 413 as soon as the body is known to be longer than `max_bytes`, with 408 after `max_seconds`, with
    415 for a form or a compressed body. Raises ClientDisconnect if the client aborts.
    """
    if request.headers.get("content-type", "").startswith(FORM):
        raise RequestError(415, FORM_REFUSED)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RequestError(415, COMPRESSED_REFUSED)
    length = request.headers.get("content-length", "")
    # Before anything is read: a client that waits for "100 Continue" then sends nothing.
    _check_length(int(length) if length.isdigit() else 0, max_bytes)
    chunks, num_bytes = [], 0
    try:
        async with asyncio.timeout(max_seconds):
            async for chunk in _arriving(request):
                num_bytes += len(chunk)
                _check_length(num_bytes, max_bytes)
                reserve(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        reason = f"the body took longer than {max_seconds:g} s to arrive, which is the limit."
        raise RequestError(408, reason, connection="close") from None
    return chunks


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        yield message.get("body", b"")


def _check_length(num_bytes: int, max_bytes: int) -> None:
    if num_bytes > max_bytes:
        raise RequestError(413, f"the body is longer than {max_bytes:,} bytes, which is the limit.", connection="close")

"""What a request may take, and how one that wants more is refused.

    413  the body's bytes, an image's pixels, the examples of one request
    408  a body that does not arrive in time
    503  too many requests at once, too many examples waiting, too many bytes held; with Retry-After
    504  an answer that was not there in time

Nothing waits without a bound: what does not fit is refused at once, so that whoever asks can come back later.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

from lowerbound.serving.http.access import App, Receive, Scope, Send, refuse
from lowerbound.serving.http.validation import FORM, NO_FORM
from lowerbound.serving.image_decoding import MAX_PIXELS, MAX_SECONDS

MIB = 2**20
HELD_BODIES = 16  # of the largest size, whose bytes are held at once
JSON_BYTES_FOR_A_NUMBER = 32
JSON_BYTES_BESIDE_NUMBERS = 64 * 1024
RETRY_AFTER = "1"  # seconds
ALIGNMENT = 16  # bytes

UNLIMITED = ("/v2/health/live", "/v2/health/ready", "/metrics")
"""What must be answered above all when there is too much to do: it costs nothing."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is taken at once."""

    max_batch: int = 256  # examples of one request, and of one pass through a model
    max_wait: float = 2.0  # milliseconds that a request waits for others to join its pass
    max_body: int = 64 * MIB  # bytes
    max_pixels: int = MAX_PIXELS  # of an image
    max_decoding: float = MAX_SECONDS  # seconds, after which the process that decodes an image is ended
    max_concurrency: int = 512  # requests
    max_queue: int = 4096  # examples that wait for their turn
    timeout: float = 30.0  # seconds: for the body to arrive, and again for the answer


class RequestError(Exception):
    """A request that is not carried out: the status, and the reason in one line."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def busy(reason: str) -> RequestError:
    """There is no room now, but there may be soon."""
    return RequestError(503, f"{reason}; try again soon.", retry_after=RETRY_AFTER)


class MemoryBudget:
    """The bytes of all bodies that are held at the moment."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def take(self, num_bytes: int) -> None:
        """Make room for that many more, or refuse."""
        if self.held + num_bytes > self.most:
            raise busy(f"the requests at work hold {self.most / MIB:,.0f} MiB, which is the most")
        self.held += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """So many are no longer held."""
        self.held -= num_bytes


@contextmanager
def holding(hold: MemoryBudget, request: Request) -> Iterator["Body"]:
    """A body to be read, whose bytes count as held until the end of this."""
    body = Body(request, hold)
    try:
        yield body
    finally:
        hold.give_back(body.num_bytes)


@dataclass
class Body:
    """A request's body as it arrives."""

    request: Request
    hold: MemoryBudget
    num_bytes: int = 0
    chunks: list[bytes] = field(default_factory=list)

    async def read(self, limits: Limits, aligned_at: int = 0) -> memoryview:
        """All of it; refused as soon as it is longer than is accepted, or too slow.

        What begins at the byte `aligned_at` lies where processors read numbers without a detour.
        """
        if self.request.headers.get("content-type", "").startswith(FORM):
            raise RequestError(415, NO_FORM)
        if self.request.headers.get("content-encoding", "identity") != "identity":
            raise RequestError(415, "a compressed body is not accepted; send it as it is, without Content-Encoding.")
        claimed = self.request.headers.get("content-length", "")
        # Before anything is read: whoever waits for "100 Continue" then sends nothing.
        _check_length(int(claimed) if claimed.isdigit() else 0, limits.max_body)
        try:
            async with asyncio.timeout(limits.timeout):
                await self._read(limits.max_body)
        except TimeoutError:
            reason = f"the body took longer than {limits.timeout:g} s to arrive, which is the limit."
            raise RequestError(408, reason, connection="close") from None
        padding = -aligned_at % ALIGNMENT
        whole = bytearray().join([bytes(padding), *self.chunks])
        self.chunks.clear()
        return memoryview(whole)[padding:]

    async def _read(self, most: int) -> None:
        more = True
        while more:
            message = await self.request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk, more = message.get("body", b""), message.get("more_body", False)
            _check_length(self.num_bytes + len(chunk), most)
            self.hold.take(len(chunk))
            self.num_bytes += len(chunk)
            self.chunks.append(chunk)


def check_json_length(num_bytes: int, num_numbers: int) -> None:
    """Refuse JSON that is longer than so many numbers can be: reading it takes time that nobody else gets."""
    most = JSON_BYTES_BESIDE_NUMBERS + JSON_BYTES_FOR_A_NUMBER * num_numbers
    if num_bytes > most:
        raise RequestError(
            413, f"the JSON has {num_bytes:,} bytes, accepted here are {most:,}; send numbers as binary data."
        )


def check_answer_length(num_numbers: int, bytes_for_a_number: int, most: int) -> None:
    """Refuse what would have an answer longer than a body may be: it is held whole, until somebody has read it."""
    if num_numbers * bytes_for_a_number > most:
        raise RequestError(
            413,
            f"the answer would have {num_numbers:,} numbers of up to {bytes_for_a_number} bytes, the limit is "
            f"{most:,} bytes; ask for fewer examples at once.",
        )


def check_num_examples(number: int, most: int) -> None:
    """Refuse a request of too many examples, or of none."""
    if number < 1:
        raise RequestError(400, f"the request asks for {number} examples; it needs at least 1.")
    if number > most:
        raise RequestError(
            413, f"the request asks for {number:,} examples, the limit is {most:,}; send several requests."
        )


class Admission:
    """Refuses requests beyond a number that are at work already."""

    def __init__(self, app: App, most: int) -> None:
        self.app, self.most, self.at_work = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self.app(scope, receive, send)
        elif self.at_work >= self.most:
            reason = f"{self.most:,} requests are at work, which is the limit; try again soon."
            await refuse(send, 503, reason, (b"retry-after", RETRY_AFTER.encode()))
        else:
            self.at_work += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.at_work -= 1


def _check_length(num_bytes: int, most: int) -> None:
    if num_bytes > most:
        raise RequestError(413, f"the body is longer than {most:,} bytes, which is the limit.", connection="close")

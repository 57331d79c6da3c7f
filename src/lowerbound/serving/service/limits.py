"""Limits on requests, and their refusal.

    413  bytes of a body, pixels of an image, examples of a request
    408  a body that does not arrive in time
    503  too many concurrent requests, queued examples, or bytes of bodies in memory; with Retry-After
    504  a response that is not ready in time

Every queue is limited: what does not fit is refused immediately, so that the client can retry later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request

from lowerbound.serving.http.access import App, Receive, Scope, Send, refuse
from lowerbound.serving.http.bodies import read_chunks
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.image_decoding import MAX_PIXELS, MAX_SECONDS

MIB = 2**20
MAX_BODIES = 16  # of the largest size in memory at once
JSON_BYTES_PER_NUMBER = 32
JSON_BYTES_BESIDES_NUMBERS = 64 * 1024
RETRY_AFTER = "1"  # seconds
ALIGNMENT = 16  # bytes

UNLIMITED = ("/v2/health/live", "/v2/health/ready", "/metrics")
"""Paths that are answered even under overload, because they cost nothing."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a service."""

    max_batch: int = 256  # examples per request, and per forward pass
    max_wait: float = 2.0  # milliseconds that a request waits for others to join its batch
    max_body: int = 64 * MIB  # bytes
    max_pixels: int = MAX_PIXELS  # per image
    max_decoding: float = MAX_SECONDS  # seconds, after which an image's decoding process is ended
    max_concurrency: int = 512  # concurrent requests
    max_queue: int = 4096  # examples in the queue
    timeout: float = 30.0  # seconds for the body to arrive, and again for the response


def busy(reason: str) -> RequestError:
    """The refusal of a request that can succeed later."""
    return RequestError(503, f"{reason}; try again shortly.", retry_after=RETRY_AFTER)


class MemoryBudget:
    """The bytes of all request bodies in memory."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.used = max_bytes, 0

    def reserve(self, num_bytes: int) -> None:
        """Reserve that many bytes, or raise RequestError with 503."""
        if self.used + num_bytes > self.max_bytes:
            raise busy(f"the bodies of concurrent requests take {self.max_bytes / MIB:,.0f} MiB, which is the limit")
        self.used += num_bytes

    def release(self, num_bytes: int) -> None:
        """Release that many bytes."""
        self.used -= num_bytes


@contextmanager
def body_within(budget: MemoryBudget, request: Request) -> Iterator["Body"]:
    """A request's body, whose bytes are reserved in `budget` until the end of the context."""
    body = Body(request, budget)
    try:
        yield body
    finally:
        budget.release(body.num_bytes)


@dataclass
class Body:
    """A request's body, and how many bytes of it are reserved."""

    request: Request
    budget: MemoryBudget
    num_bytes: int = 0

    async def read(self, limits: Limits, aligned_at: int = 0) -> memoryview:
        """The whole body; RequestError if it is too long or too slow.

        The byte at offset `aligned_at` is aligned in memory, so that numbers from there on can be used in place.
        """
        chunks = await read_chunks(self.request, limits.max_body, limits.timeout, self._reserve)
        padding = -aligned_at % ALIGNMENT
        return memoryview(bytearray().join([bytes(padding), *chunks]))[padding:]

    def _reserve(self, num_bytes: int) -> None:
        self.budget.reserve(num_bytes)
        self.num_bytes += num_bytes


def check_json_length(num_bytes: int, num_numbers: int) -> None:
    """Refuse JSON that is longer than `num_numbers` numbers can be, because parsing it would block other requests."""
    max_bytes = JSON_BYTES_BESIDES_NUMBERS + JSON_BYTES_PER_NUMBER * num_numbers
    if num_bytes > max_bytes:
        raise RequestError(
            413, f"the JSON has {num_bytes:,} bytes, but the limit here is {max_bytes:,}; send numbers as binary data."
        )


def check_response_length(num_numbers: int, bytes_per_number: int, max_bytes: int) -> None:
    """Refuse a request whose response would be longer than a body may be, because it is kept in memory until read."""
    if num_numbers * bytes_per_number > max_bytes:
        raise RequestError(
            413,
            f"the response would have {num_numbers:,} numbers of up to {bytes_per_number} bytes, but the limit is "
            f"{max_bytes:,} bytes; request fewer examples at once.",
        )


def check_num_examples(number: int, max_batch: int) -> None:
    """Refuse a request with too many examples, or none."""
    if number < 1:
        raise RequestError(400, f"the request has {number} examples; it needs at least 1.")
    if number > max_batch:
        raise RequestError(
            413, f"the request has {number:,} examples, but the limit is {max_batch:,}; send several requests."
        )


class Admission:
    """Refuses requests beyond a number of concurrent ones."""

    def __init__(self, app: App, max_concurrency: int) -> None:
        self.app, self.max_concurrency, self.num_active = app, max_concurrency, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self.app(scope, receive, send)
        elif self.num_active >= self.max_concurrency:
            reason = f"{self.max_concurrency:,} requests are active, which is the limit; try again shortly."
            await refuse(send, 503, reason, (b"retry-after", RETRY_AFTER.encode()))
        else:
            self.num_active += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.num_active -= 1

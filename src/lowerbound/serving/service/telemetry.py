"""What the service tells of itself: numbers for Prometheus, and a line for what went wrong.

Nothing of a failure reaches who asked but a number, under which the log has the whole of it.
"""

import secrets
import sys
import time
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lowerbound.foundation.text import printable
from lowerbound.serving.http.access import App, Receive, Scope, Send, refuse
from lowerbound.serving.service.models import Catalogue, Endpoint

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
EXAMPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
HUNG_UP = 499  # in the numbers alone: nobody was there to hear of it

ASKED_OF = "lowerbound.offer"
"""In a request's scope: the name of the operation that it asked for."""


class Telemetry:
    """All numbers of one service, in a registry of their own."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, catalogue: Catalogue) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "lowerbound_requests", "Requests answered.", ("endpoint", "model", "status"), registry=registry
        )
        self.seconds = Histogram(
            "lowerbound_request_seconds",
            "From a request's head to the end of its answer.",
            ("endpoint",),
            buckets=SECONDS,
            registry=registry,
        )
        self.at_work = Gauge("lowerbound_requests_at_work", "Requests not yet answered.", registry=registry)
        self.queued = Gauge("lowerbound_queued_examples", "Examples that wait for their turn.", registry=registry)
        self.examples = Counter(
            "lowerbound_examples", "Examples that went through a model.", ("model",), registry=registry
        )
        self.passes = Histogram(
            "lowerbound_pass_examples",
            "Examples in one pass through a model.",
            ("model",),
            buckets=EXAMPLES,
            registry=registry,
        )
        self.pass_seconds = Histogram(
            "lowerbound_pass_seconds", "Duration of one pass.", ("model",), buckets=SECONDS, registry=registry
        )
        about = Gauge("lowerbound_run_info", "What is served.", ("run", "version", "latents"), registry=registry)
        for served in catalogue.runs.values():
            about.labels(served.name, served.version, served.model.latent_dim).set(1)

    def note_pass(self, offer: Endpoint, num_examples: int, seconds: float) -> None:
        """So many examples went through a model at once."""
        self.examples.labels(offer.name).inc(num_examples)
        self.passes.labels(offer.name).observe(num_examples)
        self.pass_seconds.labels(offer.name).observe(seconds)

    def text(self) -> bytes:
        """All numbers in Prometheus' format."""
        return generate_latest(self.registry)


class Counted:
    """Counts and times every request, whatever becomes of it."""

    def __init__(self, app: App, telemetry: Telemetry) -> None:
        self.app, self.telemetry = app, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), HUNG_UP

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self.telemetry.at_work.track_inprogress():
            await self.app(scope, receive, watched)
        endpoint = _endpoint(scope)
        self.telemetry.requests.labels(endpoint, scope.get(ASKED_OF, ""), status).inc()
        self.telemetry.seconds.labels(endpoint).observe(time.perf_counter() - start)


class Failures:
    """Turns whatever nobody foresaw into an answer that tells nothing but a number."""

    def __init__(self, app: App, log: Callable[[str], None]) -> None:
        self.app, self.log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            number = secrets.token_hex(4)
            self.log(f"error {number}, {scope['method']} {_endpoint(scope)}:\n{traceback.format_exc()}")
            if not has_begun:
                await refuse(send, 500, f"internal error {number}; the server's log has it under this number.")


def log_to_stderr(line: str) -> None:
    """One line, or one failure, on standard error."""
    print(f"lowerbound serve: {printable(line)}", file=sys.stderr, flush=True)


def _endpoint(scope: Scope) -> str:
    """The path as it is written in the documentation: one series for all models, and one for what is none."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))

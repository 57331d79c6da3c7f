"""Telemetry: Prometheus metrics of the service, and the log of internal errors.

The response to an internal error contains only a number, under which the log has the traceback.
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
CLIENT_CLOSED = 499  # only in metrics, because the client received no response

ENDPOINT_KEY = "lowerbound.endpoint"
"""Key in a request's scope for the name of its endpoint."""


class Telemetry:
    """The metrics of one service, in a registry of their own."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, catalogue: Catalogue) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "lowerbound_requests", "Completed requests.", ("endpoint", "model", "status"), registry=registry
        )
        self.seconds = Histogram(
            "lowerbound_request_seconds",
            "Duration from the request headers to the end of the response.",
            ("endpoint",),
            buckets=SECONDS,
            registry=registry,
        )
        self.active = Gauge("lowerbound_active_requests", "Active requests.", registry=registry)
        self.queued = Gauge("lowerbound_queued_examples", "Examples in the queue.", registry=registry)
        self.examples = Counter("lowerbound_examples", "Computed examples.", ("model",), registry=registry)
        self.batch_examples = Histogram(
            "lowerbound_batch_examples",
            "Examples per batch.",
            ("model",),
            buckets=EXAMPLES,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "lowerbound_batch_seconds", "Duration of a batch.", ("model",), buckets=SECONDS, registry=registry
        )
        about = Gauge("lowerbound_run_info", "Served runs.", ("run", "version", "latents"), registry=registry)
        for served in catalogue.runs.values():
            about.labels(served.name, served.version, served.model.latent_dim).set(1)

    def record_batch(self, endpoint: Endpoint, num_examples: int, seconds: float) -> None:
        """Record a batch."""
        self.examples.labels(endpoint.name).inc(num_examples)
        self.batch_examples.labels(endpoint.name).observe(num_examples)
        self.batch_seconds.labels(endpoint.name).observe(seconds)

    def text(self) -> bytes:
        """All metrics in the format of Prometheus."""
        return generate_latest(self.registry)


class RequestMetrics:
    """Middleware that counts and times every request."""

    def __init__(self, app: App, telemetry: Telemetry) -> None:
        self.app, self.telemetry = app, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), CLIENT_CLOSED

        async def send_and_note(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self.telemetry.active.track_inprogress():
            await self.app(scope, receive, send_and_note)
        endpoint = _endpoint(scope)
        self.telemetry.requests.labels(endpoint, scope.get(ENDPOINT_KEY, ""), status).inc()
        self.telemetry.seconds.labels(endpoint).observe(time.perf_counter() - start)


class InternalErrors:
    """Middleware that logs unexpected exceptions under a number, and responds with 500 and that number."""

    def __init__(self, app: App, log: Callable[[str], None]) -> None:
        self.app, self.log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def send_and_note(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception:
            number = secrets.token_hex(4)
            self.log(f"error {number}, {scope['method']} {_endpoint(scope)}:\n{traceback.format_exc()}")
            if not has_begun:
                await refuse(send, 500, f"internal error {number}; the server's log has the details under this number.")


def log_to_stderr(line: str) -> None:
    """Print a log entry to standard error."""
    print(f"lowerbound serve: {printable(line)}", file=sys.stderr, flush=True)


def _endpoint(scope: Scope) -> str:
    """The path template, so that all models share one series, and unknown paths another."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))

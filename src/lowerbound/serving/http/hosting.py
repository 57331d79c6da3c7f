"""Hosting: runs an ASGI application with uvicorn on a socket until SIGINT or SIGTERM.

The socket is bound before anything is started, so that a port in use is reported immediately. SIGINT or SIGTERM stops
listening; accepted requests are answered, and the process continues with exit status 0. A second signal ends it
immediately.

Limits that uvicorn lacks are added here: time and size of the request headers, bytes around the body, the number of
connections, and clients that never read their response.
"""

import errno
import ipaddress
import json
import re
import socket
from asyncio import AbstractEventLoop, get_running_loop
from asyncio.events import TimerHandle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from threading import Thread
from types import FrameType
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.interrupts import end_at_once

Application = Callable[..., Any]

BACKLOG = 2048  # connections that the system queues until they are accepted
KEEP_ALIVE = 20  # seconds that an idle connection is kept
MAX_HEAD_SECONDS = 20
MAX_HEAD_BYTES = 2**16
FRAMING = 16  # bytes around each byte of a body: a chunk may be a single byte, with its length and two line ends
ABSOLUTE = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE)
MAX_UNREAD = 2**20  # bytes of a body that have arrived and wait for the application, which reads at once
MAX_CONNECTIONS = 4096


def host(
    app: Application, *, host: str, port: int, ready: Callable[[str], None] = lambda url: None, grace: float = 30.0
) -> None:
    """Serve `app` until SIGINT or SIGTERM; `ready` is called with the URL once connections are accepted.

    Requests accepted by then get `grace` seconds to finish. Port 0 picks a free port.
    Raises UsageError, before anything is started, if the address does not belong to this machine or the port is in use.
    """
    bound = bind(host, port)
    server = server_for(app, bound, ready, grace)
    if _is_in_loop():
        _run_beside_loop(server, bound)
    else:
        server.run(sockets=[bound])


def _is_in_loop() -> bool:
    """Whether this thread runs an event loop, as in a notebook, which a server cannot share."""
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_beside_loop(server: Server, bound: socket.socket) -> None:
    """Run a server in a thread of its own until it ends; signals still reach it."""
    thread = Thread(target=server.run, kwargs={"sockets": [bound]}, name="server", daemon=True)
    with server.capture_signals():
        thread.start()
        thread.join()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; UsageError if the address or port cannot be used."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise UsageError(
            f"host {host!r} is not an address ({error.strerror}); give an address of this machine.", hint="host"
        ) from error
    except OverflowError as error:
        raise UsageError(f"port {port} is out of range; accepted: 0 (a free port) to 65535.", hint="port") from error
    except OSError as error:
        hint = "host" if error.errno == errno.EADDRNOTAVAIL else "port"
        raise UsageError(_reason(error, host, port), hint=hint) from error


def url_of(bound: socket.socket) -> str:
    """The URL of a listening socket, for a browser on this machine."""
    address, port = bound.getsockname()[:2]
    # A wildcard address cannot be opened.
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, f"[{address}]" if ":" in address else address)
    return f"http://{shown}:{port}"


def server_for(app: Application, bound: socket.socket, ready: Callable[[str], None], grace: float) -> Server:
    """A server of `app`, to be run with the socket `bound`; setting its `should_exit` stops it from another thread."""
    config = Config(
        app,
        http=_Connection,
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    return _Server(config, lambda: ready(url_of(bound)))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; give another port, or 0 for a free one."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host {host!r} is not an address of this machine; give one that is, or 127.0.0.1."
    if error.errno == errno.EACCES:
        return f"port {port} requires administrator rights; give a port above 1023."
    return f"cannot listen on {host}, port {port}: {error.strerror or error}."


class _Server(Server):
    """Calls back when it is ready, and returns normally when a signal stops it."""

    def __init__(self, config: Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            end_at_once(sig, frame)
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            # Otherwise uvicorn would raise each again, and the process would end by a signal.
            self._captured_signals.clear()


NOT_HTTP = HTTPStatus.BAD_REQUEST, "this is not an HTTP request"
HEAD_TOO_LARGE = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"the request headers are longer than {MAX_HEAD_BYTES:,} bytes",
)


class _Connection(HttpToolsProtocol):
    """One connection, with limits on the head of requests and on how long a response may stay unread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loop: AbstractEventLoop
        self.overhead_bytes = 0  # of the request being read, minus those of its body
        self.body_bytes = 0
        self.head_bytes = 0
        self.is_in_head = True
        self.refusal: tuple[HTTPStatus, str] = NOT_HTTP
        self.head_timer: TimerHandle | None = None
        self.unread = 0

    def connection_made(self, transport: Any) -> None:  # of asyncio or uvloop
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"more than {MAX_CONNECTIONS:,} connections", "retry-after: 1")
            return
        self._start_timing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timing()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self.overhead_bytes += len(data)
        super().data_received(data)
        if self.is_in_head and self.overhead_bytes > MAX_HEAD_BYTES:
            self._refuse(*HEAD_TOO_LARGE)
        elif self.overhead_bytes > MAX_HEAD_BYTES + FRAMING * self.body_bytes:
            self._refuse(HTTPStatus.BAD_REQUEST, "the framing of the request's body exceeds the limit")
        self._time_between_requests()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.is_in_head = True
        self._start_timing()

    def on_url(self, url: bytes) -> None:
        self.head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the body they are trailers, which are ignored: all checks have been made by then.
        if self.is_in_head:
            self.head_bytes += len(name) + len(value) + len(b": \r\n")
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        # Also if the whole head came in one piece.
        is_long, self.head_bytes = self.head_bytes > MAX_HEAD_BYTES, 0
        self.is_in_head = False
        self._stop_timing()
        if is_long:
            self.refusal = HEAD_TOO_LARGE
            raise ValueError(HEAD_TOO_LARGE)  # which the parser turns into a 400 response
        self._replace_host()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.overhead_bytes -= len(body)
        self.body_bytes += len(body)
        super().on_body(body)
        # uvicorn stops reading at 64 KiB, so that a body of a megabyte takes a dozen turns between client and server.
        if self.cycle is not None and len(self.cycle.body) <= MAX_UNREAD and not self.pipeline:
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        self.overhead_bytes = self.body_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Closing waits until the response is read, which may be never.
        if self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(KEEP_ALIVE, self.timeout_keep_alive_handler)

    def send_400_response(self, msg: str) -> None:
        self._refuse(*self.refusal)

    def timeout_keep_alive_handler(self) -> None:
        before, self.unread = self.unread, self.transport.get_write_buffer_size()
        if self.unread and self.unread != before:
            self.timeout_keep_alive_task = self.loop.call_later(KEEP_ALIVE, self.timeout_keep_alive_handler)
        elif self.unread:
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _replace_host(self) -> None:
        """The host of an absolute target, as in GET http://host/, replaces the Host header: RFC 9112, section 3.2.2."""
        absolute = ABSOLUTE.match(self.url)
        others = [header for header in self.headers if header[0] != b"host"]
        if absolute and len(self.headers) - len(others) <= 1:
            self.headers[:] = [*others, (b"host", absolute[1])]

    def _time_out_head(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request headers took longer than {MAX_HEAD_SECONDS} s")

    def _time_between_requests(self) -> None:
        # Empty lines between two requests end the keep-alive timeout without starting a request.
        is_between = self.cycle is not None and self.cycle.response_complete
        if is_between and self.timeout_keep_alive_task is None:
            self._start_timing()

    def _start_timing(self) -> None:
        if self.head_timer is None:
            self.head_timer = self.loop.call_later(MAX_HEAD_SECONDS, self._time_out_head)

    def _stop_timing(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def _refuse(self, status: HTTPStatus, reason: str, *headers: str) -> None:
        """Respond without calling the application, and close the connection."""
        body = json.dumps({"error": f"{reason}."})
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            *headers,
        ]
        self._stop_timing()
        has_begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not self.transport.is_closing():
            if not has_begun:
                self.transport.write("\r\n".join([*lines, "", body]).encode())
            self.transport.close()

"""The server itself: its address, its connections, and heads that do not end or come."""

import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from limited_service import connect, until_closed
from lowerbound.foundation.errors import UsageError
from lowerbound.serving.http import hosting
from served_models import running


def test_a_head_without_end_and_what_is_no_http_are_refused_as_json(serve):
    client = serve()
    for sent, status in (
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * hosting.MAX_HEAD_BYTES, b"431"),
        (b"nonsense\r\n\r\n", b"400"),
    ):
        with connect(client) as connection:
            connection.sendall(sent)
            answer = until_closed(connection)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b'{"error": ' in answer


def test_a_head_that_does_not_come_is_waited_for_no_longer_than_the_limit(serve, monkeypatch):
    monkeypatch.setattr(hosting, "MAX_HEAD_SECONDS", 0.2)
    client = serve()
    with connect(client) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHo")
        assert until_closed(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_an_answer_that_nobody_reads_is_given_up(monkeypatch, connection):
    monkeypatch.setattr(hosting, "KEEP_ALIVE", 0.3)
    lost = threading.Event()

    async def application(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        length = 64 * 2**20  # more than the system's buffers take
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length)]})
        await send({"type": "http.response.body", "body": bytes(length)})
        lost.set()

    with running(application) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as silent:
            silent.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode())
            assert lost.wait(5)
            time.sleep(1)
            # What the system had taken is there, and no more.
            assert len(until_closed(silent)) < 2**25


def test_connections_have_a_limit(serve, monkeypatch):
    client = serve()
    client.get("/v2")  # keeps one
    monkeypatch.setattr(hosting, "MAX_CONNECTIONS", 2)
    with connect(client), connect(client) as second:
        assert until_closed(second).startswith(b"HTTP/1.1 503")


def test_an_address_that_cannot_be_listened_at_is_refused_in_one_line():
    bound = hosting.bind("127.0.0.1", 0)
    with bound, pytest.raises(UsageError, match="is in use; give another port"):
        hosting.bind("127.0.0.1", bound.getsockname()[1])
    with pytest.raises(UsageError, match="is not an address of this machine"):
        hosting.bind("192.0.2.1", 0)
    with pytest.raises(UsageError, match="is not an address"):
        hosting.bind("no such name", 0)


IN_A_LOOP = """
import asyncio
from lowerbound.serving.http.hosting import host

async def application(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})

async def cell():
    host(application, host="127.0.0.1", port=0, ready=lambda url: print(url, flush=True), grace=1)
    print("ended", flush=True)

asyncio.run(cell())
"""


def test_inside_a_running_loop_it_serves_until_ctrl_c_as_anywhere():
    with subprocess.Popen([sys.executable, "-c", IN_A_LOOP], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        assert urlopen(url, timeout=10).read() == b"yes"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    assert (rest, process.returncode) == ("ended\n", 0)

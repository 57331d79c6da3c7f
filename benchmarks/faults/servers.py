"""Runs `serve` and `explore` in a child, and talks to them over raw sockets."""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.faults.child import start_command

PATIENCE = 35.0  # seconds for an answer: a head may take 20, a body 30
STARTING = 60.0  # seconds
URL = re.compile(r"http://[\w.\[\]:]+")
TOKEN = re.compile(r"#token=([\w-]+)")
HOST = b"Host: 127.0.0.1\r\n"
READ_SIZE = 2**16
AT_ONCE = 0.4  # seconds
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Server:
    """A server in a child: its address, its token, and the file of its output."""

    pid: int
    url: str
    authorization: bytes  # a line of a request's head, or nothing
    err: Path
    address: str  # for a browser

    def connect(self) -> socket.socket:
        """Open a connection."""
        address = urlsplit(self.url)
        return socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE)

    def ask(self, raw: bytes) -> bytes:
        """The complete response to one request."""
        with self.connect() as connection:
            connection.sendall(raw)
            return answer_of(connection)

    def get(self, path: str) -> bytes:
        """The body of a response."""
        head = b"GET %s HTTP/1.1\r\n%s%sConnection: close\r\n\r\n" % (path.encode(), HOST, self.authorization)
        return body_of(self.ask(head))

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

    @property
    def said(self) -> str:
        """Its terminal output."""
        return self.err.read_text(errors="replace")


@contextmanager
def serving(folder: Path, words: Sequence[str]) -> Iterator[Server]:
    """Run a server in `folder` until the end of the block."""
    out, err = folder / "server.out", folder / "server.err"
    for path in (out, err):  # of an earlier server
        path.unlink(missing_ok=True)
    pid = start_command(words, folder, out, err)
    try:
        end = time.monotonic() + STARTING
        while not (found := URL.search(out.read_text() if out.exists() else "")):
            if time.monotonic() > end:
                raise RuntimeError(f"{words} did not start: {err.read_text()}")
            time.sleep(0.05)
        token = TOKEN.search(out.read_text())
        authorization = b"Authorization: Bearer %s\r\n" % token[1].encode() if token else b""
        address = f"{found[0]}/" + (f"#token={token[1]}" if token else "")
        yield Server(pid, found[0], authorization, err, address)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def answer_of(connection: socket.socket) -> bytes:
    """The bytes received until the other side closes; TimeoutError after a long silence."""
    parts = []
    while part := connection.recv(READ_SIZE):
        parts.append(part)
    return b"".join(parts)


def first_answer_of(connection: socket.socket, patience: float = AT_ONCE) -> bytes:
    """The bytes up to the end of the first response; empty after some seconds of silence."""
    answer = b""
    connection.settimeout(patience)
    try:
        while not _is_whole(answer) and (part := connection.recv(READ_SIZE)):
            answer += part
            connection.settimeout(PATIENCE)
    except TimeoutError:
        if answer:
            raise
        connection.settimeout(PATIENCE)
    return answer


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    return length is not None and len(body) >= int(length[1])


def body_of(answer: bytes) -> bytes:
    """The bytes after the head."""
    return answer.partition(b"\r\n\r\n")[2]

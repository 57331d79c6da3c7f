"""Who may ask: what a page that someone else wrote can make a browser send, and what a hostile client sends itself."""

import os
import re
import socket
from contextlib import suppress

import pytest

from command_line import in_process, one_line
from lowerbound.foundation.errors import UsageError
from lowerbound.serving.http import hosting
from lowerbound.serving.http.access import Access, access_for, host_name, with_access_checks
from lowerbound.serving.http.tokens import redirect_file
from served_models import application as service
from served_models import digits, running

TOKEN = "a-token-that-nobody-guesses"
HOST = b"Host: localhost\r\n"
CHUNKS = b"Transfer-Encoding: chunked\r\n"
CHUNKED = CHUNKS + b"\r\n"


async def echo(scope, receive, send):
    """Says what it was asked: method, path, and the length of the body, if its path is /read."""
    if scope["type"] != "http":
        raise NotImplementedError
    length, more = 0, scope["path"] == "/read"
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    body = f"{scope['method']} {scope['path']} {length}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port():
    """Where it listens, behind the checks of loopback."""
    with running(with_access_checks(echo, access_for("127.0.0.1"))) as url:
        yield int(url.rpartition(":")[2])


def answer(port, sent):
    """What comes back until the server hangs up."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(ConnectionResetError):
        connection.sendall(sent)
        while chunk := connection.recv(65536):
            received += chunk
    return received


def get(*lines, target=b"/", version=b"1.1"):
    return b"".join([b"GET ", target, b" HTTP/", version, b"\r\nConnection: close\r\n", *lines, b"\r\n"])


def post(*lines, body=b""):
    return b"".join([b"POST /read HTTP/1.1\r\nConnection: close\r\n", HOST, *lines, body])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", b"200"),
        (b"LocalHost:8000", b"200"),
        (b"localhost.", b"200"),
        (b"127.0.0.1:", b"200"),
        (b"[::1]:80", b"200"),
        (b"[0:0:0:0:0:0:0:1]", b"200"),
        (b"", b"421"),
        (b"evil.example", b"421"),
        (b"localhost.evil.example", b"421"),
        (b"[::ffff:127.0.0.1]", b"421"),
        (b"[::1].evil.com", b"400"),
        (b"[::1]evil.com:80", b"400"),
        (b"[::1", b"400"),
        (b"[::1%25lo]", b"400"),
        (b"[:::1]", b"400"),
        (b"::1", b"400"),
        (b"localhost@evil.example", b"400"),
        (b"evil.example@localhost", b"400"),
        (b"localhost:x", b"400"),
        (b"localhost:99999", b"400"),
        (b"localhost:80:80", b"400"),
        (b"localhost evil.example", b"400"),
        (b"localhost,evil.example", b"400"),
        (b"localhost/evil.example", b"400"),
        (b"localhost#", b"400"),
        (b"l\xf6calhost", b"400"),
    ],
)
def test_a_host_header_is_this_servers_name_or_refused(port, host, status):
    assert answer(port, get(b"Host: ", host, b"\r\n")).startswith(b"HTTP/1.1 " + status)


REQUESTS = {
    "two hosts": (get(HOST, HOST), b"400"),
    "a second host": (get(HOST, b"Host: evil.example\r\n"), b"400"),
    "no host": (get(), b"400"),
    "no host, of HTTP/1.0": (get(version=b"1.0"), b"200"),
    "another host in the target": (get(HOST, target=b"http://evil.example/"), b"421"),
    "another host in the target, of HTTP/1.0": (get(target=b"http://evil.example/", version=b"1.0"), b"421"),
    "the same host in the target": (get(b"Host: evil.example\r\n", target=b"http://localhost/x"), b"200"),
    "a user in the target": (get(HOST, target=b"http://localhost@evil.example/"), b"400"),
    "a folded header": (get(HOST, b"X: a\r\n b\r\n"), b"400"),
    "a folded host": (get(b"Host: localhost\r\n evil.example\r\n"), b"400"),
    "a space before the colon": (get(b"Host : localhost\r\n"), b"400"),
    "a carriage return alone": (get(HOST, b"X: a\rHost: evil.example\r\n"), b"400"),
    "a zero": (get(HOST, b"X: a\0b\r\n"), b"400"),
    "two lengths": (post(b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", body=b"xy"), b"400"),
    "the same length twice": (post(b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", body=b"x"), b"400"),
    "a list of lengths": (post(b"Content-Length: 1, 1\r\n\r\n", body=b"x"), b"400"),
    "a length with a sign": (post(b"Content-Length: +1\r\n\r\n", body=b"x"), b"400"),
    "a length and chunks": (post(b"Content-Length: 1\r\n", CHUNKED, body=b"0\r\n\r\n"), b"400"),
    "chunks and a length": (
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", body=b"0\r\n\r\n"),
        b"400",
    ),
    "chunks that are none": (post(b"Transfer-Encoding: xchunked\r\n\r\n", body=b"0\r\n\r\n"), b"400"),
    "chunks twice": (post(CHUNKS, CHUNKED, body=b"0\r\n\r\n"), b"400"),
    "a long head at once": (get(HOST, b"X: ", b"x" * hosting.MAX_HEAD_BYTES, b"\r\n"), b"431"),
    "a long head of short lines": (get(HOST, b"X: y\r\n" * 12_000), b"431"),
    "a long target at once": (get(HOST, target=b"/" + b"x" * hosting.MAX_HEAD_BYTES), b"431"),
    "a head of nearly that length": (get(HOST, b"X: ", b"x" * (hosting.MAX_HEAD_BYTES - 100), b"\r\n"), b"200"),
    "a long extension of a chunk": (post(CHUNKED, body=b"1;" + b"e" * 200_000 + b"\r\nx\r\n0\r\n\r\n"), b"400"),
    "long trailers": (post(CHUNKED, body=b"0\r\nX: " + b"e" * 200_000 + b"\r\n\r\n"), b"400"),
    "a host among the trailers": (post(CHUNKED, body=b"0\r\nHost: evil.example\r\n\r\n"), b"200"),
    "chunks of one byte": (post(CHUNKED, body=b"1\r\nx\r\n" * 40_000 + b"0\r\n\r\n"), b"200"),
    "a proxy's request": (b"CONNECT evil.example:80 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", b"400"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_has_one_meaning_or_is_refused(port, name):
    sent, status = REQUESTS[name]
    received = answer(port, sent)
    assert received.startswith(b"HTTP/1.1 " + status), received
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", received)) == 1


def test_what_follows_a_refused_body_is_no_request(port):
    smuggled = get(HOST, target=b"/smuggled")
    received = answer(port, post(b"Content-Length: 4\r\n", CHUNKED, body=b"0\r\n\r\n" + smuggled))
    assert b"/smuggled" not in received


def test_a_socket_is_not_upgraded(port):
    upgrade = get(HOST, b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
    assert answer(port, upgrade).startswith(b"HTTP/1.1 200")


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},  # another port
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "null"},
]
OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},  # a link
    {"Origin": "http://localhost"},
    {"Origin": "https://LOCALHOST"},  # behind a proxy with TLS
]


def lines(headers):
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_page_of_another_site_is_refused(port, headers):
    for sent in (get(HOST, lines(headers)), post(lines(headers), b"Content-Length: 0\r\n\r\n")):
        received = answer(port, sent)
        assert received.startswith(b"HTTP/1.1 403")
        assert b"access-control" not in received.lower()


@pytest.mark.parametrize("headers", OWN)
def test_our_own_page_a_link_and_what_is_no_browser_are_answered(port, headers):
    assert answer(port, get(HOST, lines(headers))).startswith(b"HTTP/1.1 200")


def test_a_form_on_another_site_is_refused_though_it_leads_here_like_a_link(port):
    link = OWN[3]
    assert answer(port, post(lines(link), b"Content-Length: 0\r\n\r\n")).startswith(b"HTTP/1.1 403")


def test_names_are_compared_in_one_spelling():
    assert host_name(b"[2001:DB8::0:1]:80") == "2001:db8::1"
    with running(with_access_checks(echo, Access(frozenset({"2001:db8:0::1", "Me.Example."})))) as url:
        port = int(url.rpartition(":")[2])
        for host in (b"[2001:db8::1]", b"me.example"):
            assert answer(port, get(b"Host: ", host, b"\r\n")).startswith(b"HTTP/1.1 200")


def test_where_any_name_leads_here_the_header_still_has_to_be_one():
    with running(with_access_checks(echo, Access())) as url:
        port = int(url.rpartition(":")[2])
        assert answer(port, get(b"Host: any.example\r\n")).startswith(b"HTTP/1.1 200")
        for wrong in (get(HOST, HOST), get(), get(b"Host: a@b\r\n")):
            assert answer(port, wrong).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("access", [Access(), Access(frozenset(), TOKEN)])
def test_every_answer_of_the_service_forbids_embedding_and_guessing(access):
    with running(service(digits(), access=access)) as url:
        port = int(url.rpartition(":")[2])
        for target in (b"/", b"/docs", b"/v2", b"/nowhere", b"/v2/health/live"):
            head = answer(port, get(HOST, target=target)).partition(b"\r\n\r\n")[0].lower()
            assert b"x-content-type-options: nosniff" in head
            assert b"frame-ancestors 'none'" in head
            assert b"referrer-policy: no-referrer" in head
            assert head.count(b"content-security-policy") == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666])
@pytest.mark.parametrize("command", ["serve", "explore"])
def test_a_token_file_that_others_may_read_is_refused_with_the_remedy(capsys, tmp_path, command, mode):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(mode)
    printed = in_process(capsys, command, tmp_path, "--token-file", tmp_path / "token", expect=2)
    assert f"(mode {mode:o}); run: chmod 600 {tmp_path / 'token'}" in one_line(printed.err)
    assert TOKEN not in printed.err


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_token_file_for_its_owner_alone_is_read_and_no_further_than_a_token_is_long(tmp_path, mode):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(mode)
    assert access_for("127.0.0.1", tmp_path / "token").token == TOKEN
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "token").write_bytes(b"\0" * 10_000_000)
    with pytest.raises(UsageError, match="is not a token of at least"):
        access_for("127.0.0.1", tmp_path / "token")
    with pytest.raises(UsageError, match="cannot be read"):
        access_for("127.0.0.1", tmp_path)


def test_a_browser_is_led_by_a_file_of_its_owner_alone_that_is_gone_afterwards(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with redirect_file("http://127.0.0.1:1/#token=a&b") as url:
        (path,) = tmp_path.iterdir()
        assert (url, path.stat().st_mode & 0o777, path.stat().st_uid) == (path.as_uri(), 0o600, os.getuid())
        assert "url=http://127.0.0.1:1/#token=a&amp;b" in path.read_text()
        assert not path.name.startswith(".")
    assert list(tmp_path.iterdir()) == []


def test_a_head_in_pieces_is_measured_as_one(port):
    piece = b"X: " + b"y" * 1000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\n" + HOST)
        for _ in range(hosting.MAX_HEAD_BYTES // len(piece) + 1):
            connection.sendall(piece)
        assert connection.recv(65536).startswith(b"HTTP/1.1 431")

"""Who may ask: what a page that someone else wrote can make a browser send, and what a hostile client sends itself."""

import re
import socket
from contextlib import suppress

import pytest

from limited_service import refused
from lowerbound.serving.http import hosting
from lowerbound.serving.http.access import Access, access_for, host_name, with_access_checks
from raw_http import HOST, answer, echo, get
from served_models import running

CHUNKS = b"Transfer-Encoding: chunked\r\n"
CHUNKED = CHUNKS + b"\r\n"


@pytest.fixture(scope="module")
def port():
    """Where it listens, behind the checks of loopback."""
    with running(with_access_checks(echo, access_for("127.0.0.1"))) as url:
        yield int(url.rpartition(":")[2])


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


def test_a_head_in_pieces_is_measured_as_one(port):
    piece = b"X: " + b"y" * 1000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\n" + HOST)
        for _ in range(hosting.MAX_HEAD_BYTES // len(piece) + 1):
            connection.sendall(piece)
        assert connection.recv(65536).startswith(b"HTTP/1.1 431")


def test_another_hosts_name_is_refused(serve):
    client = serve()
    for name in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        refused(client.get("/v2/health/live", headers={"Host": name}), 421, "localhost")
    for name in ("localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"):
        assert client.get("/v2/health/live", headers={"Host": name}).status_code == 200

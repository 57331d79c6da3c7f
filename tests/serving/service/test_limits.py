"""What is too much, one limit after the other; and who may ask at all."""

import asyncio
import base64
import json
import re
import socket
import threading
import time
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from lowerbound.foundation.errors import UsageError
from lowerbound.serving.http import hosting
from lowerbound.serving.http.access import Access, access_for
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.service.batching import compute_batch
from lowerbound.serving.service.limits import Body, Limits, MemoryBudget
from served_models import application, digits, images, running

TOKEN = "a-token-that-nobody-guesses"
PATHS = re.compile(rf"{re.escape(str(Path.cwd()))}|site-packages|Traceback|File \"|\.py\b|object at 0x")


def inference(number=1, raw=True):
    """A request for `digits.encode`: headers and body."""
    x = images(number)
    entry = {"name": "x", "shape": list(x.shape), "datatype": "FP32"}
    entry |= {"parameters": {"binary_data_size": x.nbytes}} if raw else {"data": x.ravel().tolist()}
    text = json.dumps({"inputs": [entry]}).encode()
    return ({"Inference-Header-Content-Length": str(len(text))}, text + x.tobytes()) if raw else ({}, text)


def ask(client, number=1, raw=True):
    headers, body = inference(number, raw)
    return client.post("/v2/models/digits.encode/infer", headers=headers, content=body)


def png(width, height):
    buffer = BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def refused(response, status, *words):
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    reason = response.json()["error"]
    assert all(word in reason for word in words), reason
    assert not PATHS.search(response.text)
    return response


@pytest.fixture
def serve():
    """A client of the service with these limits."""
    opened = []

    def start(compute=compute_batch, access=None, log=lambda line: None, **limits):
        server = running(application(digits(), limits=Limits(**limits), compute=compute, access=access, log=log))
        url = server.__enter__()
        client = httpx.Client(base_url=url, timeout=20)
        opened.extend([client, server])
        return client

    yield start
    for entered in reversed(opened):
        entered.__exit__(None, None, None)


class Held:
    """A pass that takes until it is let go, once the models have answered when the service began."""

    def __init__(self):
        self.may_go, self.has_begun = threading.Event(), threading.Event()

    def __call__(self, endpoint, questions):
        if questions[0].x is not None and questions[0].x.any():
            self.has_begun.set()
            assert self.may_go.wait(20)
        return compute_batch(endpoint, questions)


def test_a_body_is_read_no_further_than_its_limit(serve):
    client = serve(max_body=10_000)
    assert ask(client, 30).status_code == 200
    refused(ask(client, 64), 413, "10,000 bytes")
    # Also where nobody says beforehand how long it will be.
    chunks = (b"x" * 1000 for _ in range(1000))
    refused(client.post("/v2/models/digits.encode/infer", content=chunks), 413, "10,000 bytes")
    refused(client.post("/encode", content=b"x" * 10_001), 413, "10,000 bytes")


def test_an_image_is_measured_before_it_is_decoded(serve):
    client = serve(max_pixels=10_000)
    assert client.post("/encode", content=png(100, 100)).status_code == 200
    refused(client.post("/encode", content=png(101, 100)), 413, "101 × 100", "10,000")
    # A few bytes that claim a hundred gigabytes.
    content = bytearray(png(8, 8))
    content[16:24] = (300_000).to_bytes(4, "big") * 2
    refused(client.post("/encode", content=bytes(content)), 422, "damaged")  # its checksum is wrong
    refused(client.post("/encode", content=claiming(300_000)), 413, "twice the accepted number of pixels")


def claiming(side):
    """A BMP of a few bytes that claims to be so large."""
    buffer = BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(buffer, "BMP")
    content = bytearray(buffer.getvalue())
    content[18:26] = side.to_bytes(4, "little") * 2
    return bytes(content)


def test_the_examples_of_a_request_are_counted(serve):
    client = serve(max_batch=8)
    assert ask(client, 8).status_code == 200
    refused(ask(client, 9), 413, "9 examples", "limit is 8")
    refused(client.get("/generate.png?num=9"), 413, "9 examples", "limit is 8")
    refused(client.get("/decode.png?" + "&".join(["z=0,0"] * 9)), 413, "limit is 8")


def test_an_answer_is_no_longer_than_a_body_may_be(serve):
    client = serve(max_body=20_000)
    z = {"name": "z", "shape": [30, 2], "datatype": "FP32", "data": [0.0] * 60}
    asked = {"inputs": [z], "parameters": {"binary_data_output": True}}
    assert client.post("/v2/models/digits.decode/infer", json=asked).status_code == 200
    del asked["parameters"]
    refused(client.post("/v2/models/digits.decode/infer", json=asked), 413, "1,920 numbers", "20,000 bytes")
    refused(client.get("/generate?num=30"), 413, "20,000 bytes")
    assert client.get("/generate?num=9").status_code == 200
    assert client.get("/generate.png?num=30").status_code == 200
    refused(client.get("/generate.png?num=100"), 413, "20,000 bytes")


def test_a_service_that_computes_no_more_is_not_ready(serve):
    def compute(endpoint, questions):
        if questions[0].x is not None and questions[0].x.any():
            raise asyncio.CancelledError  # ends the task that hands on to the model
        return compute_batch(endpoint, questions)

    client = serve(compute, timeout=0.3)
    assert client.get("/v2/health/ready").status_code == 200
    refused(ask(client), 504)
    refused(client.get("/v2/health/ready"), 503, "the server is not ready")
    assert client.get("/v2/health/live").status_code == 200


def test_too_many_requests_at_once_are_sent_away_until_others_are_done(serve):
    compute = Held()
    client = serve(compute, max_concurrency=2)
    threads = [threading.Thread(target=ask, args=(client,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert compute.has_begun.wait(10)
    deadline = time.monotonic() + 10
    # Until the second is counted, too.
    while (response := ask(client)).status_code != 503 and time.monotonic() < deadline:
        pass
    assert refused(response, 503, "2 requests", "limit").headers["retry-after"] == "1"
    assert client.get("/v2/health/live").status_code == 200
    assert "lowerbound_active_requests 3" in client.get("/metrics").text
    compute.may_go.set()
    for thread in threads:
        thread.join(10)
    assert ask(client).status_code == 200


def test_examples_beyond_the_queue_are_sent_away(serve):
    compute = Held()
    client = serve(compute, max_queue=4, max_batch=4)
    threads = [threading.Thread(target=ask, args=(client, 4)) for _ in range(2)]
    threads[0].start()
    assert compute.has_begun.wait(10)
    threads[1].start()
    while "lowerbound_queued_examples 4" not in client.get("/metrics").text:
        time.sleep(0.01)
    assert refused(ask(client), 503, "4 examples are queued").headers["retry-after"] == "1"
    compute.may_go.set()
    for thread in threads:
        thread.join(10)
    assert ask(client).status_code == 200


def test_bodies_that_are_held_have_a_limit_together():
    budget = MemoryBudget(1000)
    budget.reserve(900)
    with pytest.raises(RequestError, match="take 0 MiB, which is the limit") as refusal:
        budget.reserve(101)
    assert refusal.value.status == 503
    budget.release(900)
    budget.reserve(1000)


def test_an_answer_that_takes_too_long_is_given_up_and_its_place_is_free(serve):
    compute = Held()
    client = serve(compute, timeout=0.3)
    refused(ask(client), 504, "0.3 s")
    refused(ask(client), 504, "0.3 s")  # this one while it was waiting
    compute.may_go.set()
    while "lowerbound_queued_examples 0" not in client.get("/metrics").text:
        time.sleep(0.01)
    assert ask(client).status_code == 200


def connect(client):
    address = urlsplit(str(client.base_url))
    return socket.create_connection((address.hostname, address.port), timeout=10)


def until_closed(connection):
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_the_limit(serve):
    client = serve(timeout=0.3)
    with connect(client) as connection:
        connection.sendall(b"POST /encode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'{"error":"the body took longer than 0.3 s' in answer


def test_who_hangs_up_gives_the_place_free(serve):
    compute = Held()
    client = serve(compute, max_queue=1)
    first = threading.Thread(target=ask, args=(client,))
    first.start()
    assert compute.has_begun.wait(10)
    headers, body = inference()
    lines = [
        f"{name}: {value}" for name, value in {**headers, "Host": "localhost", "Content-Length": len(body)}.items()
    ]
    with connect(client) as connection:
        head = "\r\n".join(["POST /v2/models/digits.encode/infer HTTP/1.1", *lines, "", ""])
        connection.sendall(head.encode() + body)
        while "lowerbound_queued_examples 1" not in client.get("/metrics").text:
            time.sleep(0.01)
        refused(ask(client), 503)
    while "lowerbound_queued_examples 0" not in client.get("/metrics").text:
        time.sleep(0.01)
    compute.may_go.set()
    first.join(10)
    assert 'status="499"' in client.get("/metrics").text


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


def test_a_failure_tells_a_number_and_the_log_has_the_rest(serve):
    def compute(endpoint, questions):
        if questions[0].x is not None and questions[0].x.any():
            raise ValueError("/secret/path/of/a/model")
        return compute_batch(endpoint, questions)

    lines = []
    client = serve(compute, log=lines.append)
    response = refused(ask(client), 500, "internal error")
    number = re.search(r"internal error ([0-9a-f]{8})", response.text)[1]
    assert "secret" not in response.text
    (line,) = lines
    assert number in line
    assert "/secret/path/of/a/model" in line
    assert "Traceback" in line
    assert client.get("/v2/health/ready").status_code == 200


def test_a_token_is_needed_where_there_is_one_except_to_see_that_the_server_lives(serve):
    client = serve(access=Access(frozenset(), TOKEN))
    assert client.get("/v2/health/live").status_code == 200
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/v2", "/v2/models", "/generate.png"):
        response = refused(client.get(path), 401, "Bearer")
        assert response.headers["www-authenticate"].startswith("Bearer")
    for wrong in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", f"Token {TOKEN}", "Basic ####"):
        refused(client.get("/v2", headers={"Authorization": wrong}), 401)
    basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
        assert client.get("/v2", headers={"Authorization": right}).status_code == 200
    document = client.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_another_hosts_name_is_refused(serve):
    client = serve()
    for name in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        refused(client.get("/v2/health/live", headers={"Host": name}), 421, "localhost")
    for name in ("localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"):
        assert client.get("/v2/health/live", headers={"Host": name}).status_code == 200


def test_beyond_loopback_there_is_always_a_token(tmp_path, monkeypatch):
    monkeypatch.delenv("LOWERBOUND_TOKEN", raising=False)
    assert access_for("127.0.0.1").token == ""
    assert access_for("::1").names == {"localhost", "127.0.0.1", "::1"}
    made = access_for("0.0.0.0")
    assert made.is_generated
    assert len(made.token) >= 32
    assert made.token != access_for("0.0.0.0").token
    assert made.names == frozenset()  # all that lead here are right
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)
    assert access_for("0.0.0.0", tmp_path / "token") == Access(frozenset(), TOKEN)
    assert access_for("192.168.1.5", tmp_path / "token").names == {"192.168.1.5"}
    monkeypatch.setenv("LOWERBOUND_TOKEN", TOKEN[::-1])
    assert access_for("127.0.0.1").token == TOKEN[::-1]
    assert access_for("127.0.0.1", tmp_path / "token").token == TOKEN


@pytest.mark.parametrize(
    "content", [b"", b"short", b"a token with spaces in it", b"\xff" * 20, "ünïcödé-ünïcödé-ünïcödé".encode()]
)
def test_a_token_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(UsageError, match="token file"):
        access_for("0.0.0.0", tmp_path / "token")
    with pytest.raises(UsageError, match="cannot be read"):
        access_for("0.0.0.0", tmp_path / "absent")


def test_an_address_that_cannot_be_listened_at_is_refused_in_one_line():
    bound = hosting.bind("127.0.0.1", 0)
    with bound, pytest.raises(UsageError, match="is in use; give another port"):
        hosting.bind("127.0.0.1", bound.getsockname()[1])
    with pytest.raises(UsageError, match="is not an address of this machine"):
        hosting.bind("192.0.2.1", 0)
    with pytest.raises(UsageError, match="is not an address"):
        hosting.bind("no such name", 0)



"""Bodies of requests: how they lie in memory, how long they are, and how long they are waited for."""

import asyncio

import numpy as np

from limited_service import ask, connect, refused, until_closed
from lowerbound.serving.service.limits import Body, Limits, MemoryBudget


def test_a_body_lies_where_numbers_can_be_read_without_a_detour():
    async def read(ahead):
        chunks = [b"h" * ahead + b"\0" * 3, b"\0" * 61]

        async def receive():
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        from starlette.requests import Request

        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        return await Body(request, MemoryBudget(1000)).read(Limits(), aligned_at=ahead)

    for ahead in (0, 1, 15, 16, 17, 123):
        body = asyncio.run(read(ahead))
        assert bytes(body) == b"h" * ahead + b"\0" * 64
        assert np.frombuffer(body[ahead:], np.float32).flags.aligned


def test_a_body_is_read_no_further_than_its_limit(serve):
    client = serve(max_body=10_000)
    assert ask(client, 30).status_code == 200
    refused(ask(client, 64), 413, "10,000 bytes")
    # Also where nobody says beforehand how long it will be.
    chunks = (b"x" * 1000 for _ in range(1000))
    refused(client.post("/v2/models/digits.encode/infer", content=chunks), 413, "10,000 bytes")
    refused(client.post("/encode", content=b"x" * 10_001), 413, "10,000 bytes")


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_the_limit(serve):
    client = serve(timeout=0.3)
    with connect(client) as connection:
        connection.sendall(b"POST /encode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'{"error":"the body took longer than 0.3 s' in answer

"""What the service takes on at once, gives up, and tells of a failure."""

import asyncio
import re
import threading
import time

from limited_service import Held, ask, connect, inference, refused
from lowerbound.serving.service.batching import compute_batch


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


def test_an_answer_that_takes_too_long_is_given_up_and_its_place_is_free(serve):
    compute = Held()
    client = serve(compute, timeout=0.3)
    refused(ask(client), 504, "0.3 s")
    refused(ask(client), 504, "0.3 s")  # this one while it was waiting
    compute.may_go.set()
    while "lowerbound_queued_examples 0" not in client.get("/metrics").text:
        time.sleep(0.01)
    assert ask(client).status_code == 200


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

"""What is too much, one limit after the other."""

import threading
import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from limited_service import Held, ask, refused
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.service.limits import MemoryBudget


def png(width, height):
    buffer = BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_image_is_measured_before_it_is_decoded(serve):
    client = serve(max_pixels=10_000)
    assert client.post("/encode", content=png(100, 100)).status_code == 200
    refused(client.post("/encode", content=png(101, 100)), 413, "10,100 pixels", "10,000")
    # A few bytes that claim a hundred gigabytes.
    content = bytearray(png(8, 8))
    content[16:24] = (300_000).to_bytes(4, "big") * 2
    refused(client.post("/encode", content=bytes(content)), 422, "damaged")  # its checksum is wrong
    refused(client.post("/encode", content=claiming(300_000)), 413, "pixels, but the limit is")


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

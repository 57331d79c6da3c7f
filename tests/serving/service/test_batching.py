"""Passes through a model that several requests share."""

import asyncio
import threading

import numpy as np
import pytest

from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.service.batching import Batcher, compute_batch
from lowerbound.serving.service.limits import Limits
from lowerbound.serving.service.models import catalogue_of
from lowerbound.serving.service.operations import InferenceRequest
from lowerbound.serving.service.telemetry import Telemetry
from served_models import RUNS, images

CATALOGUE = catalogue_of(RUNS)
ENCODE = CATALOGUE.endpoints["digits.encode"]
DECODE = CATALOGUE.endpoints["digits.decode"]


class Held:
    """Computes as the service does, once it is let; remembers the sizes of its passes."""

    def __init__(self):
        self.may_go, self.has_begun = threading.Event(), threading.Event()
        self.passes = []

    def __call__(self, endpoint, requests):
        self.has_begun.set()
        assert self.may_go.wait(10)
        self.passes.append([request.num_examples for request in requests])
        return compute_batch(endpoint, requests)


def batching(test, compute=compute_batch, **limits):
    """Run a test, given a batcher at work."""

    async def run():
        batcher = Batcher(Limits(**limits), Telemetry(CATALOGUE), compute)
        async with batcher.running():
            await asyncio.wait_for(test(batcher), 20)

    asyncio.run(run())


def request(number, seed=0, **options):
    return InferenceRequest(num_examples=number, x=images(number, seed=seed), seed=seed, **options)


def test_what_waits_while_a_pass_is_computed_goes_together_up_to_the_limit():
    compute = Held()

    async def test(batcher):
        asked = [asyncio.create_task(batcher.submit(ENCODE, request(number))) for number in (1, 3, 4, 2, 8)]
        await asyncio.to_thread(compute.has_begun.wait, 10)
        compute.may_go.set()
        answers = await asyncio.gather(*asked)
        assert [len(found["mean"]) for found in answers] == [1, 3, 4, 2, 8]

    batching(test, compute, max_batch=8)
    # All were there before the first pass began, since nothing lets it begin before the loop is free.
    assert compute.passes == [[1, 3, 4], [2], [8]]


def test_operations_take_turns_by_who_has_waited_longest():
    compute = Held()

    async def test(batcher):
        z = InferenceRequest(num_examples=1, x=np.zeros((1, 2), np.float32))
        await asyncio.gather(
            batcher.submit(ENCODE, request(1)),
            batcher.submit(DECODE, z),
            batcher.submit(ENCODE, request(2)),
        )

    compute.may_go.set()
    batching(test, compute)
    assert compute.passes == [[1, 2], [1]]


def test_nothing_is_waited_for_when_no_other_request_is_on_its_way():
    async def test(batcher):
        loop = asyncio.get_running_loop()
        await batcher.submit(ENCODE, request(1))
        start = loop.time()
        await batcher.submit(ENCODE, request(1))
        assert loop.time() - start < 5

    batching(test, max_wait=10_000.0)


def test_a_request_on_its_way_is_waited_for_and_shares_the_pass():
    compute = Held()
    compute.may_go.set()

    async def test(batcher):
        with batcher.arriving():
            first = asyncio.create_task(batcher.submit(ENCODE, request(1)))
            await asyncio.sleep(0.05)
            assert not first.done()
            second = asyncio.create_task(batcher.submit(ENCODE, request(2)))
            await asyncio.sleep(0)
        await asyncio.gather(first, second)

    batching(test, compute, max_wait=10_000.0)
    assert compute.passes == [[1, 2]]


def test_a_request_that_never_comes_is_waited_for_no_longer_than_the_limit():
    async def test(batcher):
        with batcher.arriving():
            await batcher.submit(ENCODE, request(1))

    batching(test, max_wait=20.0)


def test_what_finds_no_room_is_refused_at_once_and_room_comes_back():
    compute = Held()

    async def test(batcher):
        first = asyncio.create_task(batcher.submit(ENCODE, request(4)))
        await asyncio.to_thread(compute.has_begun.wait, 10)
        waiting = [asyncio.create_task(batcher.submit(ENCODE, request(4))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match="8 examples are queued") as refused:
            await batcher.submit(ENCODE, request(1))
        assert refused.value.status == 503
        assert refused.value.headers["retry-after"] == "1"
        # One of them gives up, which makes room for another.
        waiting[1].cancel()
        await asyncio.sleep(0)
        late = asyncio.create_task(batcher.submit(ENCODE, request(3)))
        await asyncio.sleep(0)
        compute.may_go.set()
        await asyncio.gather(first, waiting[0], late)
        assert batcher.num_queued == 0

    batching(test, compute, max_queue=8, max_batch=4)
    assert compute.passes == [[4], [4], [3]]


def test_a_request_that_fails_spoils_none_that_shared_its_pass():
    def compute(endpoint, requests):
        if any(asked.seed == 13 for asked in requests):
            raise RuntimeError("unlucky")
        return compute_batch(endpoint, requests)

    async def test(batcher):
        asked = [batcher.submit(ENCODE, request(1, seed=seed)) for seed in (1, 13, 2)]
        first, second, third = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(second, RuntimeError)
        for found, seed in ((first, 1), (third, 2)):
            np.testing.assert_array_equal(found["mean"], compute_batch(ENCODE, [request(1, seed=seed)])[0]["mean"])
        await batcher.submit(ENCODE, request(1))  # and the next is answered

    batching(test, compute)

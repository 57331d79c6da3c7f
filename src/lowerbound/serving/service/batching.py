"""Batcher: computes the requests of several clients in one forward pass.

A batch consists of the queued requests for the same operation of the same run, in the order of arrival, up to a number
of examples. It starts immediately if no other request is arriving, and otherwise after a few milliseconds. One thread
computes, on all cores that torch uses, while the next batch fills. The queue is limited; requests beyond the limit are
refused. An aborted request is removed from the queue.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from lowerbound.serving.service.limits import Limits, busy
from lowerbound.serving.service.models import Endpoint
from lowerbound.serving.service.operations import InferenceRequest, Outputs, compute
from lowerbound.serving.service.telemetry import Telemetry

Compute = Callable[[Endpoint, Sequence[InferenceRequest]], list[Outputs]]


@dataclass(frozen=True, eq=False)
class QueuedRequest:
    """One request in a queue."""

    request: InferenceRequest
    outputs: asyncio.Future[Outputs]
    since: float  # time of arrival, by the loop's clock

    @property
    def num_examples(self) -> int:
        """Its share of a batch."""
        return self.request.num_examples


def compute_batch(endpoint: Endpoint, requests: Sequence[InferenceRequest]) -> list[Outputs]:
    """One forward pass."""
    return compute(endpoint.operation, endpoint.served.model, requests)


class Batcher:
    """The queues of all endpoints, and the thread that computes, which runs within `running`."""

    def __init__(self, limits: Limits, telemetry: Telemetry, compute: Compute = compute_batch) -> None:
        self.limits, self.telemetry, self.compute = limits, telemetry, compute
        self.queues: dict[Endpoint, deque[QueuedRequest]] = {}
        self.num_queued = 0  # examples
        self.num_arriving = 0  # accepted requests that are not in a queue yet
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether requests are being computed."""
        return self.task is not None and not self.task.done()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compute requests within this context, which ends after the current batch."""
        self.changed = asyncio.Event()  # of this loop
        with ThreadPoolExecutor(1, "model") as thread:
            self.task = asyncio.create_task(self._run(thread))
            try:
                yield
            finally:
                self.task.cancel()
                await asyncio.wait([self.task])

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """Mark a request as arriving within this context."""
        self.num_arriving += 1
        try:
            yield
        finally:
            self.num_arriving -= 1
            self.changed.set()

    async def submit(self, endpoint: Endpoint, request: InferenceRequest) -> Outputs:
        """The outputs, when they are computed; RequestError with 503 if the queue is full."""
        self._reserve(request.num_examples)
        loop = asyncio.get_running_loop()
        queued = QueuedRequest(request, loop.create_future(), loop.time())
        queue = self.queues.setdefault(endpoint, deque())
        queue.append(queued)
        self.changed.set()
        try:
            return await queued.outputs
        except asyncio.CancelledError:
            # The client disconnected or the timeout passed; the place becomes free unless the batch has started.
            if queued in queue:
                queue.remove(queued)
                self._release(request.num_examples)
            raise

    async def _run(self, thread: ThreadPoolExecutor) -> None:
        """Compute batch after batch until cancelled."""
        while True:
            endpoint = self._oldest()
            if endpoint is None:
                self.changed.clear()
                await self.changed.wait()
            else:
                await self._wait_for_others(endpoint)
                await self._compute(thread, endpoint, self._next_batch(endpoint))

    def _reserve(self, num_examples: int) -> None:
        if self.num_queued + num_examples > self.limits.max_queue:
            raise busy(f"{self.num_queued:,} examples are queued, and the limit is {self.limits.max_queue:,}")
        self._release(-num_examples)

    def _release(self, num_examples: int) -> None:
        self.num_queued -= num_examples
        self.telemetry.queued.set(self.num_queued)

    def _oldest(self) -> Endpoint | None:
        """The endpoint with the request that has waited longest."""
        waiting = [
            (queue[0].since, index, endpoint) for index, (endpoint, queue) in enumerate(self.queues.items()) if queue
        ]
        return min(waiting)[2] if waiting else None

    async def _wait_for_others(self, endpoint: Endpoint) -> None:
        queue, loop = self.queues[endpoint], asyncio.get_running_loop()
        deadline = queue[0].since + self.limits.max_wait / 1000
        while queue and self.num_arriving and sum(item.num_examples for item in queue) < self.limits.max_batch:
            remaining = deadline - loop.time()
            if remaining <= 0:
                return
            self.changed.clear()
            try:
                async with asyncio.timeout(remaining):
                    await self.changed.wait()
            except TimeoutError:
                return

    def _next_batch(self, endpoint: Endpoint) -> list[QueuedRequest]:
        """The requests of the next batch, at least one if any is queued."""
        queue, room = self.queues[endpoint], self.limits.max_batch
        batch: list[QueuedRequest] = []
        while queue and (queue[0].num_examples <= room or not batch):
            batch.append(queue.popleft())
            room -= batch[-1].num_examples
        self._release(sum(queued.num_examples for queued in batch))
        return batch

    async def _compute(self, thread: ThreadPoolExecutor, endpoint: Endpoint, batch: list[QueuedRequest]) -> None:
        if not batch:
            return
        start = time.perf_counter()
        loop = asyncio.get_running_loop()
        requests = [queued.request for queued in batch]
        try:
            outputs = await loop.run_in_executor(thread, self.compute, endpoint, requests)
            computed = list(zip(batch, outputs, strict=True))
        except Exception as error:
            await self._retry_separately(thread, endpoint, batch, error)
            return
        self.telemetry.record_batch(endpoint, sum(item.num_examples for item in batch), time.perf_counter() - start)
        for queued, own in computed:
            if not queued.outputs.done():
                queued.outputs.set_result(own)

    async def _retry_separately(
        self, thread: ThreadPoolExecutor, endpoint: Endpoint, batch: list[QueuedRequest], error: Exception
    ) -> None:
        """Compute the requests of a failed batch one by one, so that an invalid one does not fail the others."""
        if len(batch) == 1:
            if not batch[0].outputs.done():
                batch[0].outputs.set_exception(error)
            return
        for queued in batch:
            await self._compute(thread, endpoint, [queued])

"""Requests of several clients in one pass through a model.

A pass takes what waits for the same operation of the same run, in the order of arrival, up to a number of examples. It
begins at once when no other request is on its way, and otherwise after so many milliseconds at most. One thread
computes, on as many cores as torch was given; the next pass fills up meanwhile. How much may wait is bounded: who comes
then is told to come back later. Who has gone before the turn came leaves nothing behind.
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
from lowerbound.serving.service.operations import Answer, InferenceRequest, answer
from lowerbound.serving.service.telemetry import Telemetry

Compute = Callable[[Endpoint, Sequence[InferenceRequest]], list[Answer]]


@dataclass(frozen=True, eq=False)
class Waiting:
    """One request in a queue."""

    question: InferenceRequest
    answer: asyncio.Future[Answer]
    since: float  # of the loop's clock

    @property
    def num_examples(self) -> int:
        """How much of a pass it takes."""
        return self.question.num_examples


def compute_pass(offer: Endpoint, questions: Sequence[InferenceRequest]) -> list[Answer]:
    """One pass through the model."""
    return answer(offer.operation, offer.served.model, questions)


class Batcher:
    """The queues of all operations, and the thread that computes; it is at work within `at_work`."""

    def __init__(self, limits: Limits, telemetry: Telemetry, compute: Compute = compute_pass) -> None:
        self.limits, self.telemetry, self.compute = limits, telemetry, compute
        self.queues: dict[Endpoint, deque[Waiting]] = {}
        self.num_queued = 0  # examples
        self.num_arriving = 0  # requests that were accepted, and are not yet in a queue
        self.changed = asyncio.Event()
        self.passes: asyncio.Task[None] | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether a request that is made now will have its turn."""
        return self.passes is not None and not self.passes.done()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Within this requests are computed; at the end of it the pass that is being computed is waited for."""
        self.changed = asyncio.Event()  # of this loop
        with ThreadPoolExecutor(1, "model") as thread:
            self.passes = asyncio.create_task(self._run(thread))
            try:
                yield
            finally:
                self.passes.cancel()
                await asyncio.wait([self.passes])

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """Within this a request is on its way to a queue."""
        self.num_arriving += 1
        try:
            yield
        finally:
            self.num_arriving -= 1
            self.changed.set()

    async def ask(self, offer: Endpoint, question: InferenceRequest) -> Answer:
        """The answer, once its turn has come; RequestError with 503 where too much waits already."""
        self._take_room(question.num_examples)
        loop = asyncio.get_running_loop()
        waiting = Waiting(question, loop.create_future(), loop.time())
        queue = self.queues.setdefault(offer, deque())
        queue.append(waiting)
        self.changed.set()
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            # Whoever asked has gone, or has waited too long; the place is another's, unless the pass has begun.
            if waiting in queue:
                queue.remove(waiting)
                self._give_room(question.num_examples)
            raise

    async def _run(self, thread: ThreadPoolExecutor) -> None:
        """Pass after pass, until cancelled."""
        while True:
            offer = self._oldest()
            if offer is None:
                self.changed.clear()
                await self.changed.wait()
            else:
                await self._wait_for_others(offer)
                await self._pass(thread, offer, self._taken(offer))

    def _take_room(self, num_examples: int) -> None:
        if self.num_queued + num_examples > self.limits.max_queue:
            raise busy(f"{self.num_queued:,} examples wait, and the limit is {self.limits.max_queue:,}")
        self._give_room(-num_examples)

    def _give_room(self, num_examples: int) -> None:
        self.num_queued -= num_examples
        self.telemetry.queued.set(self.num_queued)

    def _oldest(self) -> Endpoint | None:
        """Whose turn it is: the operation that has had a request waiting for longest."""
        waiting = [(queue[0].since, index, offer) for index, (offer, queue) in enumerate(self.queues.items()) if queue]
        return min(waiting)[2] if waiting else None

    async def _wait_for_others(self, offer: Endpoint) -> None:
        queue, loop = self.queues[offer], asyncio.get_running_loop()
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

    def _taken(self, offer: Endpoint) -> list[Waiting]:
        """The requests of the next pass, at least one if any waits."""
        queue, room = self.queues[offer], self.limits.max_batch
        taken: list[Waiting] = []
        while queue and (queue[0].num_examples <= room or not taken):
            taken.append(queue.popleft())
            room -= taken[-1].num_examples
        self._give_room(sum(waiting.num_examples for waiting in taken))
        return taken

    async def _pass(self, thread: ThreadPoolExecutor, offer: Endpoint, taken: list[Waiting]) -> None:
        if not taken:
            return
        start = time.perf_counter()
        loop = asyncio.get_running_loop()
        questions = [waiting.question for waiting in taken]
        try:
            answers = await loop.run_in_executor(thread, self.compute, offer, questions)
            answered = list(zip(taken, answers, strict=True))
        except Exception as error:
            await self._failed(thread, offer, taken, error)
            return
        self.telemetry.note_pass(offer, sum(item.num_examples for item in taken), time.perf_counter() - start)
        for waiting, found in answered:
            if not waiting.answer.done():
                waiting.answer.set_result(found)

    async def _failed(
        self, thread: ThreadPoolExecutor, offer: Endpoint, taken: list[Waiting], error: Exception
    ) -> None:
        """One request alone has failed; of several, each is tried by itself, so that one cannot spoil the others."""
        if len(taken) == 1:
            if not taken[0].answer.done():
                taken[0].answer.set_exception(error)
            return
        for waiting in taken:
            await self._pass(thread, offer, [waiting])

"""Worker: a thread with a priority queue, so that the thread that answers requests never computes.

Jobs with a lower number run first, equal ones in the order of arrival. A long computation is submitted as many short
jobs, between which others run.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from queue import PriorityQueue
from threading import Thread
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")

INTERACTIVE, NORMAL, BACKGROUND = 0, 1, 2
"""Priorities: following the pointer; a single request; computed ahead of time."""


class Worker:
    """One thread, in which torch uses `num_threads` threads of its own."""

    def __init__(self, name: str, num_threads: int) -> None:
        self.num_threads = num_threads
        self.order = count()
        self.jobs: PriorityQueue[tuple[int, int, Future[Any], Callable[[], Any] | None]] = PriorityQueue()
        # A daemon, because the process may end during a job whose result is no longer needed.
        self.thread = Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    async def __call__(self, job: Callable[[], Result], priority: int = NORMAL) -> Result:
        """The result of `job`, computed in the thread."""
        future: Future[Result] = Future()
        self.jobs.put((priority, next(self.order), future, job))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the thread end after the jobs in its queue."""
        self.jobs.put((BACKGROUND + 1, next(self.order), Future(), None))

    def _work(self) -> None:
        # Read first: on its first computation a new thread gets torch's global number of threads.
        if torch.get_num_threads() != self.num_threads:
            torch.set_num_threads(self.num_threads)
        while True:
            _, _, future, job = self.jobs.get()
            if job is None:
                return
            if future.set_running_or_notify_cancel():
                _run(job, future)


def _run(job: Callable[[], Result], future: Future[Result]) -> None:
    try:
        future.set_result(job())
    except BaseException as error:
        future.set_exception(error)

"""Threads that compute, so that the one that answers requests never does.

A lane is one thread. What is asked for with a lower number goes first; equal ones in the order in which they came. A
long piece of work is given as many short ones, between which others pass.
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

POINTER, ASKED, AHEAD = 0, 1, 2
"""What follows a pointer, what someone waits for, what is computed ahead."""


class Lane:
    """One thread, in which torch takes so many threads of its own."""

    def __init__(self, name: str, num_threads: int) -> None:
        self.num_threads = num_threads
        self.order = count()
        self.jobs: PriorityQueue[tuple[int, int, Future[Any], Callable[[], Any] | None]] = PriorityQueue()
        # A daemon: the process may end in the midst of a job that nobody waits for any longer.
        self.thread = Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    async def __call__(self, job: Callable[[], Result], priority: int = ASKED) -> Result:
        """The result of `job`, computed in the lane."""
        future: Future[Result] = Future()
        self.jobs.put((priority, next(self.order), future, job))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the thread end once it has done what was asked of it."""
        self.jobs.put((AHEAD + 1, next(self.order), Future(), None))

    def _work(self) -> None:
        # Asked first: torch gives a new thread the number of all others when it first computes there.
        if torch.get_num_threads() != self.num_threads:
            torch.set_num_threads(self.num_threads)
        while True:
            _, _, future, job = self.jobs.get()
            if job is None:
                return
            if future.set_running_or_notify_cancel():
                _carry_out(job, future)


def _carry_out(job: Callable[[], Result], future: Future[Result]) -> None:
    try:
        future.set_result(job())
    except BaseException as error:
        future.set_exception(error)

"""A worker does one job after the other, the urgent ones first, and says what went wrong."""

import asyncio
import threading
from contextlib import contextmanager
from functools import partial

import pytest
import torch

from lowerbound.serving.explorer.worker import BACKGROUND, INTERACTIVE, NORMAL, Worker


@contextmanager
def opened(num_threads=1):
    worker = Worker("test", num_threads)
    try:
        yield worker
    finally:
        worker.close()
        worker.thread.join(timeout=10)
        assert not worker.thread.is_alive()


async def in_order(worker, priorities):
    """In which order jobs of these priorities are done, all of which were asked for while the worker was busy."""
    done, release = [], threading.Event()
    busy = asyncio.create_task(worker(partial(release.wait, 10)))
    await asyncio.sleep(0)
    jobs = [asyncio.create_task(worker(partial(done.append, number), each)) for number, each in enumerate(priorities)]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(busy, *jobs)
    return done


def test_urgent_jobs_go_first_and_equal_ones_in_the_order_in_which_they_came():
    with opened() as worker:
        assert asyncio.run(in_order(worker, [BACKGROUND, NORMAL, INTERACTIVE, BACKGROUND, INTERACTIVE])) == [
            2,
            4,
            1,
            0,
            3,
        ]


def test_a_job_is_done_in_the_lanes_own_thread_and_its_result_comes_back():
    with opened() as worker:
        assert asyncio.run(worker(threading.current_thread)) is worker.thread


def test_what_a_job_raises_is_raised_where_it_was_asked_for_and_the_lane_goes_on():
    async def ask(worker):
        with pytest.raises(ZeroDivisionError):
            await worker(lambda: 1 // 0)
        return await worker(lambda: 3)

    with opened() as worker:
        assert asyncio.run(ask(worker)) == 3


def test_a_job_that_nobody_waits_for_any_longer_is_not_begun():
    async def ask(worker):
        done, release = [], threading.Event()
        busy = asyncio.create_task(worker(partial(release.wait, 10)))
        await asyncio.sleep(0)
        given_up = asyncio.create_task(worker(partial(done.append, "given up")))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        release.set()
        await busy
        await worker(partial(done.append, "wanted"))
        return done

    with opened() as worker:
        assert asyncio.run(ask(worker)) == ["wanted"]


def test_a_lanes_number_of_threads_is_its_own():
    here = torch.get_num_threads()
    with opened(num_threads=3) as three, opened(num_threads=2) as two:
        assert asyncio.run(three(torch.get_num_threads)) == 3
        assert asyncio.run(two(torch.get_num_threads)) == 2
        assert asyncio.run(three(torch.get_num_threads)) == 3
    assert torch.get_num_threads() == here

"""Decoding of uploaded image files in worker processes, which can be killed.

A thread cannot be killed: a file that keeps a decoder busy would do so long after its request timed out, and a crash of
the decoder would end the service. A process that does not respond in time, or dies, is replaced, and its file is
refused. Pixels, bytes, strips and tiles of a file are also limited within the process.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Event, Timer
from typing import Any, TypeVar

from lowerbound.data.images import ImageOptions
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import PIXEL_BYTES, Limit
from lowerbound.foundation.errors import DataError
from lowerbound.serving.image_process import READY, DecodingJob, job_header, raw_of, write

MAX_PIXELS = 16_000_000
MAX_SECONDS = 10.0
START_SECONDS = 60.0  # for a process to start, before it gets a file
NUM_PROCESSES = 2  # so that a slow file does not block others

Result = TypeVar("Result")
COMMAND = (sys.executable, "-m", "lowerbound.serving.image_process")


def limit_of_pixels(num_pixels: int) -> Limit:
    """The memory limit of one image of at most `num_pixels` pixels."""
    return Limit(num_pixels * PIXEL_BYTES, can_be_raised=False)


class Decoders:
    """A pool of decoding processes, each started when it is first needed."""

    def __init__(self, max_seconds: float = MAX_SECONDS, num_processes: int = NUM_PROCESSES) -> None:
        self.max_seconds, self.num_processes = max_seconds, num_processes
        self.started: set[_Process | None] = set()
        self.idle: SimpleQueue[_Process | None] = SimpleQueue()
        for _ in range(num_processes):
            self.idle.put(None)
        self.threads = ThreadPoolExecutor(num_processes, "images")

    async def __call__(self, name: str, content: bytes, options: ImageOptions, timeout: float) -> RawArray:
        """The image in a file's bytes; TimeoutError if it is still waiting or being decoded after `timeout` seconds."""
        call = asyncio.get_running_loop().run_in_executor(self.threads, self.decode, name, content, options)
        # A waiting file is dropped; one that is being decoded has its own time limit.
        return await asyncio.wait_for(call, timeout)

    def decode(self, name: str, content: bytes, options: ImageOptions) -> RawArray:
        """The same in this thread. DataError for a file that cannot be decoded, TooLarge for one above a limit."""
        process = self.idle.get()
        try:
            if process is None or not process.is_alive:
                self.started.discard(process)
                process = _Process()
                self.started.add(process)
            return process.decode(DecodingJob(name, content, options), self.max_seconds)
        finally:
            self.idle.put(process)

    def close(self) -> None:
        """End the processes, refusing the files they are decoding. After a restart there are new ones."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.threads = ThreadPoolExecutor(self.num_processes, "images")
        for process in filter(None, tuple(self.started)):
            process.end()


class _Process:
    """One process and its pipes."""

    def __init__(self) -> None:
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        self.popen = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=nothing)
        assert self.popen.stdin is not None and self.popen.stdout is not None
        self.stdin, self.stdout = self.popen.stdin, self.popen.stdout
        self.is_ready = False

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def decode(self, job: DecodingJob, max_seconds: float) -> RawArray:
        """The image; DataError if the process refuses it, does not respond in time, or has ended."""
        if not self.is_ready:
            self._within(START_SECONDS, self._wait, job.name)
            self.is_ready = True
        about, pixels = self._within(max_seconds, partial(self._run, job), job.name)
        return raw_of(job, about, pixels)

    def _within(self, max_seconds: float, exchange: Callable[[], Result], name: str) -> Result:
        """The result of an exchange with the process, which is ended if that fails or takes longer."""
        is_late = Event()
        timer = Timer(max_seconds, self._end_late, (is_late,))
        timer.start()
        try:
            return exchange()
        except (OSError, ValueError):
            self.end()
            why = f"takes longer than {max_seconds:g} s to decode" if is_late.is_set() else "cannot be decoded"
            raise DataError(f"{name} {why}; send another file.") from None
        finally:
            timer.cancel()
            timer.join()  # so that it never ends the process during the next file

    def _end_late(self, is_late: Event) -> None:
        is_late.set()
        self.popen.kill()
        self.popen.wait()

    def _wait(self) -> None:
        if self.stdout.readline() != READY:
            raise ValueError("the process has not started")

    def _run(self, job: DecodingJob) -> tuple[dict[str, Any], bytes]:
        """The response; OSError or ValueError if the process has ended."""
        write(self.stdin, job_header(job), job.content)
        about: dict[str, Any] = json.loads(self.stdout.readline())
        pixels = self.stdout.read(about["num_bytes"])
        if len(pixels) != about["num_bytes"]:
            raise ValueError("the process has ended")
        return about, pixels

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        for stream in (self.stdin, self.stdout):
            with suppress(OSError):  # data that could not be written
                stream.close()

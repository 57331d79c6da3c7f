"""Image files from somebody else are decoded in processes of their own, which can be ended.

A thread cannot be: a file that keeps a decoder busy would do so long after whoever sent it was told that it took too
long, and a decoder that crashes would take the service with it. A process that has not answered in time, or has died,
is replaced; the file that it was about is refused. What a file may take is bounded within the process, too: pixels,
bytes, strips and tiles.
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

from lowerbound.data.examples import RawArray
from lowerbound.data.images import ImageOptions
from lowerbound.data.reading import PIXEL_BYTES, Limit
from lowerbound.foundation.errors import DataError
from lowerbound.serving.image_process import READY, Asked, as_sent, raw_of, write

MAX_PIXELS = 16_000_000
MAX_SECONDS = 10.0
START_SECONDS = 60.0  # that a process may take to start, before it is given a file
NUM_PROCESSES = 2  # so that one that is busy for its last seconds keeps nobody else waiting

Said = TypeVar("Said")
COMMAND = (sys.executable, "-m", "lowerbound.serving.image_process")


def limit_of_pixels(num_pixels: int) -> Limit:
    """The limit on what one image may take that lets it have so many pixels."""
    return Limit(num_pixels * PIXEL_BYTES, can_be_raised=False)


class Decoders:
    """A few processes that decode; each is started when it is first needed."""

    def __init__(self, max_seconds: float = MAX_SECONDS, num_processes: int = NUM_PROCESSES) -> None:
        self.max_seconds, self.num_processes = max_seconds, num_processes
        self.started: set[_Process | None] = set()
        self.idle: SimpleQueue[_Process | None] = SimpleQueue()
        for _ in range(num_processes):
            self.idle.put(None)
        self.threads = ThreadPoolExecutor(num_processes, "images")

    async def __call__(self, name: str, content: bytes, options: ImageOptions, timeout: float) -> RawArray:
        """The image in a file's bytes; TimeoutError where its turn has not come, or it is not done, by then."""
        call = asyncio.get_running_loop().run_in_executor(self.threads, self.decode, name, content, options)
        # One that waits for its turn is forgotten; one that is being decoded has its own limit.
        return await asyncio.wait_for(call, timeout)

    def decode(self, name: str, content: bytes, options: ImageOptions) -> RawArray:
        """The same in this thread. DataError for what cannot be decoded, TooLarge for what takes more than a limit."""
        process = self.idle.get()
        try:
            if process is None or not process.is_alive:
                self.started.discard(process)
                process = _Process()
                self.started.add(process)
            return process.decode(Asked(name, content, options), self.max_seconds)
        finally:
            self.idle.put(process)

    def close(self) -> None:
        """End the processes; what they are at is refused. A server that is started again has new ones."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.threads = ThreadPoolExecutor(self.num_processes, "images")
        for process in filter(None, tuple(self.started)):
            process.end()


class _Process:
    """One process, and the pipes to and from it."""

    def __init__(self) -> None:
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        self.popen = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=nothing)
        assert self.popen.stdin is not None and self.popen.stdout is not None
        self.stdin, self.stdout = self.popen.stdin, self.popen.stdout
        self.is_ready = False

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def decode(self, asked: Asked, max_seconds: float) -> RawArray:
        """The image; DataError for what it refuses, and where it has not answered in time or has ended."""
        if not self.is_ready:
            self._within(START_SECONDS, self._wait, asked.name)
            self.is_ready = True
        about, pixels = self._within(max_seconds, partial(self._ask, asked), asked.name)
        return raw_of(asked, about, pixels)

    def _within(self, max_seconds: float, talk: Callable[[], Said], name: str) -> Said:
        """What is said to the process and by it; where that fails, or takes longer, the process is ended."""
        is_late = Event()
        timer = Timer(max_seconds, self._end_late, (is_late,))
        timer.start()
        try:
            return talk()
        except (OSError, ValueError):
            self.end()
            why = f"takes longer than {max_seconds:g} s to decode" if is_late.is_set() else "cannot be decoded"
            raise DataError(f"{name} {why}; send another file.") from None
        finally:
            timer.cancel()
            timer.join()  # so that it never ends the process in the midst of the next file

    def _end_late(self, is_late: Event) -> None:
        is_late.set()
        self.popen.kill()
        self.popen.wait()

    def _wait(self) -> None:
        if self.stdout.readline() != READY:
            raise ValueError("the process has not started")

    def _ask(self, asked: Asked) -> tuple[dict[str, Any], bytes]:
        """The answer; OSError or ValueError where the process has ended."""
        write(self.stdin, as_sent(asked), asked.content)
        about: dict[str, Any] = json.loads(self.stdout.readline())
        pixels = self.stdout.read(about["num_bytes"])
        if len(pixels) != about["num_bytes"]:
            raise ValueError("the process has ended")
        return about, pixels

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        for stream in (self.stdin, self.stdout):
            with suppress(OSError):  # of what could not be written
                stream.close()

"""prefetched(): items of an iterator, computed ahead by a thread, so that reading overlaps with training."""

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")

WAIT = 0.1  # seconds between looks at whether the reader was abandoned


def prefetched(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """The items in their order, at most `depth` of them ahead; an error is raised where its item would have come.

    The thread ends with the iterator, also if the caller abandons it.
    """
    ready: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(depth)
    is_abandoned = threading.Event()

    def put(entry: tuple[Item | None, BaseException | None, bool]) -> bool:
        while not is_abandoned.is_set():
            try:
                ready.put(entry, timeout=WAIT)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            for item in items:
                if not put((item, None, False)):
                    return
            put((None, None, True))
        except BaseException as error:
            put((None, error, True))

    thread = threading.Thread(target=read, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error, is_last = ready.get()
            if error is not None:
                raise error
            if is_last:
                return
            yield item  # type: ignore[misc]
    finally:
        is_abandoned.set()
        thread.join()

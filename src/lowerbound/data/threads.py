"""in_order(): a function of many items computed by threads, with results in the order of the items, a few ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, on_end: Callable[[], None] = lambda: None
) -> Iterator[Result]:
    """The results, about one for each worker ahead; the first error, in order, is raised and ends the others.

    At the end, also by an error or Ctrl-C, `on_end` is called before the threads are waited for, so that it can stop
    them.
    """
    if workers == 1:
        yield from map(function, items)
        return
    coming = iter(items)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, "lowerbound") as pool:
        try:
            waiting.extend(pool.submit(function, item) for item in islice(coming, workers + 1))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(coming, 1))
                yield result
                del result
        finally:
            on_end()
            pool.shutdown(wait=False, cancel_futures=True)

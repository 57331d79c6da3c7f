"""fresh_store: a part of torchrun's store that belongs to one start of the ranks.

torchrun keeps its store when it restarts the ranks, with the addresses of those that have ended. Numbers of restarts
differ between machines, so the first rank names the start: it answers each rank's request, a random word, with the
name, until all have acknowledged it. Requests of ranks that have ended are answered too, and nobody reads the answer.
"""

import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

PAUSE = 0.02  # seconds


def fresh_store(store: Any, rank: int, num_ranks: int, timeout: timedelta) -> Any:
    """The part of `store`, on all ranks of this start and on no others; TimeoutError if some ranks do not arrive."""
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]

    shared = PrefixStore("lowerbound/rendezvous", store)
    name = _named_by_first(shared, num_ranks, timeout) if rank == 0 else _name_from_first(shared, rank, timeout)
    return PrefixStore(f"lowerbound/{name}", store)


def _named_by_first(store: Any, num_ranks: int, timeout: timedelta) -> str:
    name, deadline = uuid4().hex, time.monotonic() + timeout.total_seconds()
    missing = set(range(1, num_ranks))
    while missing:
        if time.monotonic() > deadline:
            raise TimeoutError(f"ranks {', '.join(map(str, sorted(missing)))} have not arrived")
        for rank in sorted(missing):
            if store.check([f"request/{rank}"]):
                store.set(f"answer/{store.get(f'request/{rank}').decode()}", name)
            if store.check([f"{name}/{rank}"]):
                missing.discard(rank)
        time.sleep(PAUSE)
    return name


def _name_from_first(store: Any, rank: int, timeout: timedelta) -> str:
    word = uuid4().hex
    store.set(f"request/{rank}", word)
    store.wait([f"answer/{word}"], timeout)
    name: str = store.get(f"answer/{word}").decode()
    store.set(f"{name}/{rank}", "here")
    return name

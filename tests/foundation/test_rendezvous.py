"""The part of a store that belongs to one start of the ranks; threads stand for processes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import HashStore

from lowerbound.foundation.rendezvous import fresh_store

SOON = timedelta(seconds=20)


def started(store, num_ranks):
    with ThreadPoolExecutor(num_ranks) as pool:
        return list(pool.map(lambda rank: fresh_store(store, rank, num_ranks, SOON), range(num_ranks)))


def test_all_ranks_of_a_start_share_a_part_that_no_other_start_has():
    store = HashStore()
    first, second = started(store, 3), started(store, 3)
    first[0].set("address", "old")
    assert all(part.get("address") == b"old" for part in first)
    assert not any(part.check(["address"]) for part in second)


def test_the_request_of_a_rank_that_has_ended_does_not_stand_for_its_successor():
    store = HashStore()
    with pytest.raises(RuntimeError):  # it asks before the first rank is there, and gives up
        fresh_store(store, 1, 2, timedelta(milliseconds=50))
    parts = started(store, 2)
    parts[1].set("address", "new")
    assert parts[0].get("address") == b"new"


def test_ranks_that_do_not_arrive_are_named():
    with pytest.raises(TimeoutError, match="ranks 1, 2 have not arrived"):
        fresh_store(HashStore(), 0, 3, timedelta(milliseconds=50))

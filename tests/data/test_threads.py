"""Threads compute ahead, and results keep the order of the items."""

import time

import pytest

from lowerbound.data.threads import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_keep_the_order_of_the_items(workers):
    def slow_first(item: int) -> int:
        time.sleep(0.002 if item % 5 == 0 else 0)
        return item * item

    assert list(in_order(slow_first, range(50), workers)) == [item * item for item in range(50)]


def test_only_a_few_items_are_taken_ahead():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items(), 2)
    assert next(results) == 0
    assert len(taken) <= 4
    results.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_error_in_order_ends_the_others(workers):
    done = []

    def fail(item: int) -> None:
        if item in (4, 6):
            time.sleep(0.01 if item == 4 else 0)
            raise ValueError(item)
        done.append(item)

    with pytest.raises(ValueError, match="4"):
        list(in_order(fail, range(1000), workers))
    assert len(done) < 20

"""Items read ahead by a thread: their order, errors where they belong, and a thread that ends."""

import threading

import pytest

from lowerbound.data.prefetch import prefetched


def test_items_come_in_their_order():
    assert list(prefetched(iter(range(100)), depth=3)) == list(range(100))


def test_an_error_is_raised_where_its_item_would_have_come():
    def failing():
        yield from (1, 2)
        raise ValueError("the third")

    items = prefetched(failing(), depth=8)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(items)


def test_no_more_than_depth_items_are_computed_ahead():
    computed = []
    items = prefetched((computed.append(number) or number for number in range(1000)), depth=4)
    next(items)
    assert len(computed) <= 4 + 3
    items.close()


def test_an_abandoned_iterator_ends_its_thread():
    before = threading.active_count()
    items = prefetched(iter(range(10**6)), depth=2)
    next(items)
    items.close()
    assert threading.active_count() == before

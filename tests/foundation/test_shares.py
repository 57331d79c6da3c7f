from hypothesis import given
from hypothesis import strategies as st

from lowerbound.foundation.shares import WHOLE, Share

NUMBERS = st.integers(1, 9)


@given(st.integers(1, 50), NUMBERS)
def test_the_rows_of_all_ranks_are_the_batch_once_in_order(size, num_ranks):
    rows = [Share(rank, num_ranks).rows(size) for rank in range(num_ranks)]
    taken = [row for part in rows if part.counts for row in range(size)[part.slice]]
    assert taken == list(range(size))
    assert abs(sum(part.weight for part in rows) - 1) < 1e-12


@given(st.integers(1, 50), NUMBERS)
def test_shares_differ_by_at_most_one_row_and_every_rank_computes_one(size, num_ranks):
    counts = [part.stop - part.start for part in (Share(rank, num_ranks).rows(size) for rank in range(num_ranks))]
    assert min(counts) >= 1 and max(counts) - min(counts) <= 1
    assert max(part.stop for part in (Share(rank, num_ranks).rows(size) for rank in range(num_ranks))) == size


def test_a_rank_without_a_row_of_its_own_has_weight_zero():
    rows = [Share(rank, 3).rows(2) for rank in range(3)]
    assert [part.counts for part in rows] == [False, True, True]
    assert [part.weight for part in rows] == [0.0, 0.5, 0.5]


def test_a_single_process_takes_every_row():
    assert WHOLE.is_whole and WHOLE.rows(7).slice == slice(0, 7) and WHOLE.rows(0).size == 0

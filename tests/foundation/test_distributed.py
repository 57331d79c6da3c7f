import subprocess
import sys

import pytest
import torch
from torch.distributed import HashStore

from lowerbound.foundation import distributed
from lowerbound.foundation.distributed import _Group
from lowerbound.foundation.errors import DataError, OtherRankFailed, RankLost, UsageError
from lowerbound.foundation.shares import WHOLE, Share
from ranks import environment

IN_ONE_PROCESS = """
import sys
from lowerbound.foundation import distributed
distributed.join()
with distributed.together():
    pass
assert distributed.is_writer() and distributed.share().is_whole and distributed.texts("a") == ["a"]
assert "torch" not in sys.modules, "torch is imported"
"""


def test_a_single_process_imports_neither_torch_nor_its_processes():
    subprocess.run([sys.executable, "-c", IN_ONE_PROCESS], env=environment(), check=True)


def test_in_a_single_process_everything_is_the_identity():
    rows = torch.arange(6.0).reshape(3, 2)
    assert distributed.join() == WHOLE
    assert distributed.add_up(rows) is rows and distributed.gathered(rows) is rows
    assert distributed.has_to_report(DataError("missing.")) and distributed.with_rank("a line") == "a line"
    with pytest.raises(DataError), distributed.together():
        raise DataError("missing.")


@pytest.mark.parametrize(("environment", "is_launched"), [
    ({}, False), ({"RANK": "0", "WORLD_SIZE": "1"}, False), ({"WORLD_SIZE": "2"}, False),
    ({"RANK": "1", "WORLD_SIZE": "2"}, True),
])  # fmt: skip
def test_ranks_are_launched_if_the_environment_says_that_there_are_several(monkeypatch, environment, is_launched):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert distributed.is_launched() == is_launched
    assert distributed.launched_rank() == (1 if is_launched else 0)


def test_an_environment_that_is_not_of_torchrun_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "first")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="RANK is 'first'; it needs a number"):
        distributed.launched_rank()


@pytest.fixture
def as_rank(monkeypatch):
    """A function that makes this process one of three ranks, in what it reports."""
    store = HashStore()
    monkeypatch.setattr(distributed, "HEARING", distributed.timedelta(milliseconds=50))

    def act(rank):
        monkeypatch.setattr(distributed, "_joined", [_Group(Share(rank, 3), "gloo", None, store, store)])

    return act


def reporting(as_rank, errors):
    """The ranks that report their error, asked in the order of `errors`."""
    found = []
    for rank, error in errors.items():
        as_rank(rank)
        if distributed.has_to_report(error):
            found.append(distributed.with_rank(str(error)))
    return found


def test_an_error_of_all_ranks_is_reported_by_the_first(as_rank):
    error = DataError("x.csv is missing.")
    assert reporting(as_rank, {0: error, 1: error, 2: error}) == ["x.csv is missing."]


def test_an_error_of_other_ranks_is_reported_once_with_the_rank(as_rank):
    error = DataError("x.csv is missing.")
    assert reporting(as_rank, {1: error, 2: error, 0: OtherRankFailed("x.csv")}) == ["rank 1: x.csv is missing."]


def test_a_lost_rank_is_reported_once_and_not_at_all_after_its_cause(as_rank):
    lost = RankLost("another rank has ended.")
    assert reporting(as_rank, {2: lost, 1: lost}) == ["rank 2: another rank has ended."]


def test_a_rank_that_was_lost_to_its_own_error_is_not_reported_again(as_rank):
    assert reporting(as_rank, {0: OSError("disk full"), 1: RankLost("another rank has ended.")}) == ["disk full"]


def test_what_was_begun_is_remembered_for_as_long_as_torchrun_runs(as_rank):
    as_rank(1)
    distributed.note_start("runs/x")  # only the first rank notes it
    assert distributed.is_first_started("runs/x")
    as_rank(0)
    distributed.note_start("runs/x")
    as_rank(2)
    assert not distributed.is_first_started("runs/x") and distributed.is_first_started("runs/y")


def test_the_reason_of_a_lost_connection_is_given_without_the_librarys_advice():
    text = "[/w/gloo/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1. This is typically caused by a crash."
    words = r"ended or cannot be reached \(Connection closed by peer \[127.0.0.1\]:1\)\."
    with pytest.raises(RankLost, match=words), distributed._connected():
        raise RuntimeError(text)

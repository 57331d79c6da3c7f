import warnings

import pytest

from lowerbound.commands import console
from lowerbound.commands.ranks import join_ranks
from lowerbound.foundation import distributed


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setattr(distributed, "join", lambda: None)
    with warnings.catch_warnings():
        yield
    console.out.quiet = console.err.quiet = False


def printed(capsys):
    console.out.print("a result")
    console.err.print("a message")
    console.fail("an error.")
    return capsys.readouterr()


@pytest.mark.parametrize(("rank", "size"), [("0", "1"), ("0", "2")])
def test_the_first_rank_and_a_single_process_print(monkeypatch, capsys, rank, size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    join_ranks()
    assert printed(capsys) == ("a result\n", "a message\nlowerbound: an error.\n")


def test_other_ranks_print_nothing_but_errors(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    join_ranks()
    assert printed(capsys) == ("", "lowerbound: an error.\n")

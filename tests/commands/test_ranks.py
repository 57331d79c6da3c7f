import warnings

import pytest

from lowerbound.cli import app
from lowerbound.commands import console
from lowerbound.commands.ranks import OF_RANKS, check_runs_on_ranks, join_ranks
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import UsageError


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


def test_a_command_of_one_process_is_refused_on_several(monkeypatch):
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in sorted(commands - set(OF_RANKS)):
        with pytest.raises(UsageError, match=f"{name} runs in one process; start it without torchrun"):
            check_runs_on_ranks(name)
    for name in OF_RANKS:
        assert name in commands
        check_runs_on_ranks(name)

"""torchrun without its own forty lines: an error is one line of the first rank, and its exit status is kept."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from lowerbound import ranks


def failing(monkeypatch, error):
    def started(arguments):
        raise error

    monkeypatch.setattr(run, "parse_args", lambda arguments: SimpleNamespace())
    monkeypatch.setattr(run, "run", started)
    with pytest.raises(SystemExit) as ended:
        ranks.main(["-m", "lowerbound"])
    return ended.value.code


@pytest.mark.parametrize(
    ("exit_status", "expected", "printed"),
    [
        (2, 2, ""),
        (1, 1, ""),
        (130, 130, ""),
        (-9, 137, "lowerbound: rank 1 was ended by signal 9, often because memory ran out.\n"),
        (-15, 143, "lowerbound: rank 1 was ended by signal 15.\n"),
    ],
)
def test_the_status_is_that_of_the_rank_that_failed(monkeypatch, capsys, exit_status, expected, printed):
    failure = ProcessFailure(local_rank=1, pid=1, exitcode=exit_status, error_file="")
    assert failing(monkeypatch, ChildFailedError("lowerbound", {1: failure})) == expected
    assert capsys.readouterr() == ("", printed)


def test_signals_end_it_without_a_traceback(monkeypatch, capsys):
    assert failing(monkeypatch, SignalException("got signal", 15)) == 143
    assert failing(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_two_ranks_refuse_a_wrong_name_in_one_line(tmp_path):
    command = [sys.executable, "-m", "lowerbound.ranks", "--nproc-per-node", "2", "-m", "lowerbound", "train", "digitz"]
    ended = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, timeout=150, env=os.environ
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("lowerbound: unknown data source 'digitz'") and ended.stderr.count("\n") == 1

"""One process writes into a run at a time; a lock ends with its owner."""

import os
import signal
import subprocess
import sys

import pytest

from lowerbound.foundation.errors import RunError
from lowerbound.runs.run_lock import LOCK, writing_into

HOLD = """
import sys, time
from pathlib import Path
from lowerbound.runs.run_lock import writing_into
with writing_into(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_who_writes(tmp_path, holder):
    with pytest.raises(RunError, match=rf"another process is writing into .*\(process {holder.pid}, since 20.*: -c "):
        writing_into(tmp_path).__enter__()
    assert (tmp_path / LOCK).exists()


def test_a_lock_ends_with_its_owner_however_that_ends(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with writing_into(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    assert not (tmp_path / LOCK).exists()


def test_a_directory_that_stays_empty_is_removed_where_it_was_made(tmp_path):
    with writing_into(tmp_path / "new" / "deeper"):
        pass
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with writing_into(tmp_path / "old"):
        pass
    assert (tmp_path / "old").exists()


def test_remains_of_killed_writers_are_removed_and_files_in_use_stay(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    remains = [tmp_path / ".report.html.abcd.lowerbound.part", tmp_path / "checkpoints" / ".step.x.lowerbound.part"]
    others = [tmp_path / ".hidden", tmp_path / "film.part"]
    for path in remains + others:
        path.write_text("half")
    with writing_into(tmp_path):
        assert not any(path.exists() for path in remains)
        assert all(path.exists() for path in others)

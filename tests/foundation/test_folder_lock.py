"""One process writes into a folder at a time; a lock ends with its owner."""

import os
import signal
import subprocess
import sys

import pytest

from lowerbound.foundation.errors import RunError
from lowerbound.foundation.folder_lock import LOCK, locked_folder

HOLD = """
import sys, time
from pathlib import Path
from lowerbound.foundation.folder_lock import locked_folder
with locked_folder(Path(sys.argv[1])):
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
        locked_folder(tmp_path).__enter__()
    assert (tmp_path / LOCK).exists()


def test_a_lock_ends_with_its_owner_however_that_ends(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with locked_folder(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    assert not (tmp_path / LOCK).exists()


def test_a_directory_that_stays_empty_is_removed_where_it_was_made(tmp_path):
    with locked_folder(tmp_path / "new" / "deeper"):
        pass
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with locked_folder(tmp_path / "old"):
        pass
    assert (tmp_path / "old").exists()

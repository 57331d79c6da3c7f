"""Ctrl-C where nothing can be lost ends a process at once: in one line, and without what it had put aside."""

import signal
import subprocess
import sys
import threading

import pytest

from lowerbound.foundation.interrupts import ending_at_once

ENDED = """
import os, signal, sys, time
from lowerbound.foundation.interrupts import TEMPORARY, ending_at_once
TEMPORARY.update([sys.argv[1], sys.argv[1] + ".gone"])
with ending_at_once():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    finally:
        print("cleaned up")
"""

IGNORED = """
import os, signal
from lowerbound.foundation.interrupts import ending_at_once
signal.signal(signal.SIGINT, signal.SIG_IGN)
with ending_at_once():
    os.kill(os.getpid(), signal.SIGINT)
print("went on")
"""

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="the signal is Unix's")


def ran(script, *words):
    return subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, timeout=60)


@needs_signals
def test_a_process_ends_at_once_with_one_line_and_without_its_temporary_files(tmp_path):
    path = tmp_path / "token.html"
    path.write_text("secret")
    ended = ran(ENDED, path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "lowerbound: interrupted.\n")
    assert not path.exists()


@needs_signals
def test_a_process_that_ignores_the_signal_goes_on():
    assert (ran(IGNORED).returncode, ran(IGNORED).stdout) == (0, "went on\n")


def test_afterwards_ctrl_c_is_an_exception_again():
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ending_at_once():
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)

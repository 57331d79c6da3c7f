"""The command line in this process, for tests of what it prints."""

import sys

import pytest


def in_process(capsys, *words, expect=0):
    """The command without a process of its own: what it printed, once its exit status is `expect`, or any for None."""
    from lowerbound import cli

    previous, sys.argv = sys.argv, ["lowerbound", *map(str, words)]
    try:
        with pytest.raises(SystemExit) as stop:
            cli.main()
    finally:
        sys.argv = previous
    captured = capsys.readouterr()
    assert expect is None or (stop.value.code or 0) == expect, captured.out + captured.err
    return captured


def one_line(text):
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]

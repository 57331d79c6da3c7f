"""Every process collects the same tests under the same names, or those that share a run (pytest-xdist) cannot."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MOST = 2000
"""Tests that there are at least in the whole suite."""

COLLECT = """
import sys, time
now, shift = time.time, float(sys.argv.pop(1))
time.time = lambda: now() + shift
import pytest
sys.exit(pytest.main())
"""

# Only names matter here: without checked shapes and rewritten assertions collecting takes half the time.
OPTIONS = [
    "--collect-only",
    "-q",
    "--assert=plain",
    "--override-ini=addopts=--import-mode=importlib",
    "-p",
    "no:cacheprovider",
]


def collecting(*arguments: str, hash_seed: int = 0, shift: float = 0.0) -> "subprocess.Popen[str]":
    """A process that collects tests, with an order of sets of its own and its clock shifted by so many seconds."""
    return subprocess.Popen(
        [sys.executable, "-c", COLLECT, str(shift), *OPTIONS, *arguments],
        cwd=TESTS.parent,
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTEST_ADDOPTS": ""},
        stdout=subprocess.PIPE,
        text=True,
    )


def names(process: "subprocess.Popen[str]") -> list[str]:
    """The collected tests, in their order."""
    output, _ = process.communicate()
    assert process.returncode == 0, output[-2000:]
    return [line for line in output.splitlines() if "::" in line]


@pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="workers compare what they collect (tests/conftest.py)")
def test_names_of_tests_depend_neither_on_the_clock_nor_on_the_order_of_sets(request):
    """The tests of this session, collected here and in another process that has another clock and hash seed.

    Where this session is about a part of the tests, all of them are collected in two other processes.
    """
    here = [item.nodeid for item in request.session.items]
    if len(here) >= MOST:
        options = request.config.option
        selection = [*request.config.args, "-m", options.markexpr, "-k", options.keyword]
        hash_seed = (int(os.environ.get("PYTHONHASHSEED", "0").replace("random", "0")) + 1) % 2**32
        elsewhere = names(collecting(*selection, hash_seed=hash_seed, shift=100_000.5))
    else:
        both = collecting(hash_seed=1), collecting(hash_seed=2, shift=100_000.5)  # at once
        here, elsewhere = map(names, both)
    assert len(here) >= MOST
    assert [pair for pair in zip(here, elsewhere, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("content", [gzip.compress(b"a"), os.urandom(9)])
def test_no_test_is_named_by_bytes_which_may_hold_the_time_or_noise(request, content):
    assert request.node.callspec.id in ("content0", "content1")

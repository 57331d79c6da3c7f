import os
import platform
import subprocess
import sys

import pytest

# Three processes show all there is to show; each takes seconds to import torch.
SCRIPT = """
import resource, sys, torch
from concurrent.futures import ThreadPoolExecutor
from lowerbound.foundation.allocator import kept_memory
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def faults_of(num_steps, mebibytes):
    before = faults()
    for _ in range(num_steps):
        torch.empty(mebibytes * 2**18).fill_(1.0)
    return faults() - before

# Of 32 MiB and more glibc maps every block, of 64 MiB and more none fits into the heap of a thread.
print(faults_of(8, 40))
with kept_memory(in_threads=sys.argv[1] == "threads"), ThreadPoolExecutor(1) as thread:
    # The heap grows at first, by some blocks of this size: an aligned block fits into a freed one only by chance.
    faults_of(16, 40)
    print(faults_of(8, 40))
    thread.submit(faults_of, 12, 64).result()
    print(thread.submit(faults_of, 8, 64).result())
print(faults_of(1, 40))
"""
PAGES = 10_240  # of 4 KiB, in 40 MiB

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")


def faults(kept_in="main", **environment):
    """Page faults of 8 steps before the context, of 8 within, of 8 larger ones in a thread, and of one afterwards."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "LD_PRELOAD"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kept_in],
        env=clean | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(line) for line in done.stdout.split()]


@pytest.fixture(scope="module")
def in_the_main_thread():
    return faults()


def test_memory_is_kept_between_steps_and_given_back_at_the_end(in_the_main_thread):
    without, within, _, afterwards = in_the_main_thread
    assert without > 7 * PAGES
    assert within < without / 3
    assert afterwards > PAGES * 0.9


def test_memory_is_kept_in_threads_as_well_where_that_is_asked_for(in_the_main_thread):
    assert in_the_main_thread[2] > 7 * PAGES
    assert faults("threads")[2] < PAGES / 10


def test_a_users_own_choice_of_allocator_is_respected():
    without, within, *_ = faults(MALLOC_MMAP_THRESHOLD_="65536")
    assert within > without / 2

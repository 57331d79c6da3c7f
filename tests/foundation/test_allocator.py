import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, torch
from contextlib import nullcontext
from lowerbound.foundation.allocator import kept_memory

def faults(action):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    action()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def step():
    return torch.empty(2**24).fill_(1.0)  # 64 MiB: 16,384 pages

with {context}:
    # The heap grows at first, by a few blocks of this size: an aligned block fits into a freed one only by chance.
    print(sum(faults(step) for _ in range(30)))
if "kept" in "{context}":
    print(faults(step))
"""


def faults_of_many_steps(context, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "LD_PRELOAD"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(context=context)],
        env=clean | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_memory_is_kept_between_steps_and_given_back_at_the_end():
    without = faults_of_many_steps("nullcontext()")[0]
    within, afterwards = faults_of_many_steps("kept_memory()")
    assert within < without / 3
    assert afterwards > 16_000


IN_A_THREAD = """
import resource, torch
from concurrent.futures import ThreadPoolExecutor
from lowerbound.foundation.allocator import kept_memory

def step():
    torch.empty(2**24).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with kept_memory(in_threads={in_threads}), ThreadPoolExecutor(1) as thread:
    faults = [thread.submit(step).result() for _ in range(20)]
print(faults[-1] - faults[9])
"""


def faults_in_a_thread(in_threads):
    script = IN_A_THREAD.format(in_threads=in_threads)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "LD_PRELOAD"))}
    done = subprocess.run([sys.executable, "-c", script], env=clean, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_memory_is_kept_in_threads_as_well_where_that_is_asked_for():
    assert faults_in_a_thread(in_threads=False) > 100_000
    assert faults_in_a_thread(in_threads=True) < 1000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_a_users_own_choice_of_allocator_is_respected():
    without = faults_of_many_steps("nullcontext()", MALLOC_MMAP_THRESHOLD_="65536")[0]
    within = faults_of_many_steps("kept_memory()", MALLOC_MMAP_THRESHOLD_="65536")[0]
    assert within > without / 2

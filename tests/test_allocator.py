import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, torch
from contextlib import nullcontext
from lowerbound.allocator import kept_memory

def faults(action):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    action()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def step():
    return torch.empty(2**24).fill_(1.0)  # 64 MiB: 16,384 pages

with {context}:
    print(min(faults(step) for _ in range(5)))  # the heap grows at first
if "kept" in "{context}":
    print(faults(step))
"""


def faults_of_a_later_step(context, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "LD_PRELOAD"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(context=context)],
        env=clean | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_memory_is_kept_between_steps_and_given_back_at_the_end():
    without = faults_of_a_later_step("nullcontext()")[0]
    within, afterwards = faults_of_a_later_step("kept_memory()")
    assert within < without / 10
    assert afterwards > 10 * within


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_a_users_own_choice_of_allocator_is_respected():
    without = faults_of_a_later_step("nullcontext()", MALLOC_MMAP_THRESHOLD_="65536")[0]
    within = faults_of_a_later_step("kept_memory()", MALLOC_MMAP_THRESHOLD_="65536")[0]
    assert within > without / 2

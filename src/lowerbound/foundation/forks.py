"""Forked processes compute with one thread of torch: more would wait for good.

A fork copies the memory of torch's threads but not the threads, and OpenMP waits for them at the next computation. So
the workers of a DataLoader or of a pool, which Linux forks, could not use a model that the parent has used. Importing
this module is enough.
"""

import os

import torch


def use_one_thread() -> None:
    """What every forked process does first."""
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=use_one_thread)

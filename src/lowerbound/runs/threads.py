"""Threads of a run: as many as its steps can use and other processes leave idle; the same ones when it is resumed."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from lowerbound.data.batches import one_batch
from lowerbound.data.sources import Splits
from lowerbound.foundation.text import pluralise
from lowerbound.models.vae import VAE
from lowerbound.networks.layers import count_operations
from lowerbound.runs.experiment import Experiment

OPERATIONS_OF_A_THREAD = 3e8
"""Floating-point operations of a training step for each thread: dividing smaller ones costs more than it gains."""

STAT = Path("/proc/stat")
SAMPLED = 0.2
"""Seconds of a moment over which idle cores are counted."""

MOMENTS = 3

BARELY_BUSY = 0.4
"""Share of a core's time for which it may be busy and still counts as idle."""


@contextmanager
def running_threads(
    experiment: Experiment,
    splits: Splits,
    model: VAE,
    device: torch.device,
    message: Callable[[str], None],
    earlier: int,
) -> Iterator[None]:
    """Within this context torch computes with as many threads as suit the run, and `message` gets the choice.

    The number is `training.threads`, or that of the checkpoint which is continued (`earlier`, 0 without one), or is
    chosen: at most the one that torch has, which the user may have set (OMP_NUM_THREADS, torch.set_num_threads).
    """
    before = torch.get_num_threads()
    chosen = experiment.training.threads or earlier
    if not chosen and device.type == "cpu" and before > 1:
        chosen, reason = choose_threads(operations_of_step(experiment, splits, model), before, idle_cores)
        message(f"threads: {chosen} of {before}{reason}")
    torch.set_num_threads(chosen or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(operations: float, most: int, idle: Callable[[], int]) -> tuple[int, str]:
    """The number of threads for steps of so many floating-point operations, at most `most`, and why it is this one.

    `idle` counts idle cores, which takes a moment; it is called where more than one thread would be used.
    """
    useful = max(1, min(most, round(operations / OPERATIONS_OF_A_THREAD)))
    if useful == 1:
        return 1, ", enough for steps this small"
    if (found := max(1, idle())) < useful:
        return found, f", because other processes keep {pluralise(most - found, 'core')} busy (training.threads)"
    return useful, ""


@torch.no_grad()
def operations_of_step(experiment: Experiment, splits: Splits, model: VAE) -> float:
    """Floating-point operations of the networks in a training step: those forwards, and twice as many backwards."""
    batch = one_batch(splits.train.first(1))
    conditioned = model.given(batch.context)
    centre = conditioned.encode(batch.x).centre
    encoder = count_operations(lambda: conditioned.encode(batch.x))
    decoder = count_operations(lambda: conditioned.decode(centre))
    forwards = encoder + experiment.objective.num_samples * decoder
    return 3.0 * min(experiment.training.batch_size, len(splits.train)) * forwards


def idle_cores() -> int:
    """Cores open to this process that nothing uses while it sleeps for a moment; all, where the system does not say.

    The most of a few moments counts: a process that is just ending is not in the way.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    found = 0
    try:
        for _ in range(MOMENTS):
            found = max(found, _idle_now(cores))
            if found == len(cores):
                break
    except (OSError, ValueError):
        return len(cores)
    return found


def _idle_now(cores: set[int]) -> int:
    before = _times(cores)
    time.sleep(SAMPLED)
    passed = _times(cores) - before
    idle, everything = passed[:, 3], np.maximum(1, passed.sum(1))
    return int((idle / everything).sum() + BARELY_BUSY)


def _times(cores: set[int]) -> np.ndarray:
    """Time that each of some cores has spent in each state, of which the fourth is idle (`man 5 proc`)."""
    names = {f"cpu{core}" for core in cores}
    lines = [line.split() for line in STAT.read_text(encoding="ascii").splitlines()]
    return np.array([[int(number) for number in line[1:9]] for line in lines if line and line[0] in names])

"""Time of a training step by number of threads, on idle cores and beside a process that keeps one busy.

    python benchmarks/thread_counts.py [--rounds 3]

Random images of 28 x 28. The numbers of threads alternate within a round. "chosen" is what a run would use that is
started then. Writes benchmarks/results/MACHINE/thread_counts.json.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import product
from multiprocessing import get_context
from typing import Any

import torch
from measuring import alone, digits, markdown, network, noise_images, seconds_per_step, source, training, write_figures
from side_by_side import positive

from lowerbound.objectives.objective import Objective
from lowerbound.runs.experiment import resolve
from lowerbound.runs.threads import choose_threads, idle_cores, operations_of_step

CASES = tuple(product(("dense", "conv"), (32, 128, 512)))
WINDOWS = {32: 40, 128: 10, 512: 3}  # steps of a window, by batch size


def main() -> None:
    """Measure all cases, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=3)
    arguments = parser.parse_args()
    numbers = sorted({1, max(1, (os.cpu_count() or 1) // 2), os.cpu_count() or 1})
    found = {}
    for is_busy in (False, True):
        with busy_core() if is_busy else nullcontext():
            for name, batch_size in CASES:
                case = measured(name, batch_size, numbers, arguments.rounds)
                found[f"{name}, {batch_size}, {'one core busy' if is_busy else 'idle'}"] = case
                print(name, batch_size, is_busy, case, flush=True)
    _, figures = write_figures("thread_counts", {"numbers": numbers, "cases": found})
    print(table(figures))


def measured(name: str, batch_size: int, numbers: list[int], rounds: int) -> dict[str, Any]:
    """Microseconds per image with each number of threads, the least of the rounds' medians, and the number chosen."""
    seconds: dict[int, list[float]] = {num: [] for num in numbers}
    for _ in range(rounds):
        for num in numbers:
            seconds[num].append(alone(_seconds, name, batch_size, num))
    microseconds = {str(num): 1e6 * sorted(values)[len(values) // 2] / batch_size for num, values in seconds.items()}
    return {"microseconds": microseconds, "chosen": chosen(name, batch_size, max(numbers))}


def chosen(name: str, batch_size: int, most: int) -> int:
    """The number of threads that a run would use."""
    experiment = resolve(name, {"training": {"batch_size": batch_size}})
    operations = operations_of_step(experiment, noise_images(max(batch_size, 1000)), network(name))
    return choose_threads(operations, most, idle_cores)[0]


def _seconds(name: str, batch_size: int, num_threads: int) -> float:
    torch.set_num_threads(num_threads)
    window = WINDOWS[batch_size]
    splits = noise_images(batch_size * window * 6)
    windows = seconds_per_step(network(name), splits, training(batch_size, window), 4, Objective())
    return sorted(windows)[len(windows) // 2]


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process computes without a pause."""
    process = get_context("spawn").Process(target=_compute, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _compute() -> None:
    torch.set_num_threads(1)
    x = torch.randn(300, 300)
    while True:
        x = torch.tanh(x @ x)


def table(figures: dict[str, Any]) -> str:
    """The figures as a table in Markdown, with where they come from."""
    numbers = [str(num) for num in figures["numbers"]]
    columns = ("network, batch, machine", *(f"{num} threads" for num in numbers), "chosen")
    rows = [
        (name, *(digits(case["microseconds"][num]) for num in numbers), str(case["chosen"]))
        for name, case in figures["cases"].items()
    ]
    return f"{markdown(columns, rows)}\n\n{source(figures)}"


if __name__ == "__main__":
    main()

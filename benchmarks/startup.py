"""Start-up of a fresh process: time and memory to show help, to import the package and to take the first step.

    python benchmarks/startup.py            about four minutes, 11 rounds
    python benchmarks/startup.py --quick    a trial

Every number is from fresh processes: in each round all commands run once, one after another, `python -c pass` among
them, so that the time beyond the bare interpreter is a difference within rounds. Files were read
before, in a warm-up round. Wall time is from the start of a process to its end; the peak of its resident
memory is what the kernel reports then. Both are measured by a separate bare interpreter, because a process starts with
its parent's peak.

"First step" is `lowerbound train digits --recipe conv` (and `dense`) until the record of the first optimiser step is
shown, where the process ends. Training's memory is the peak of a process that passes once over 10,000 images of 28 × 28
in batches of 128, through `fit` at speed "fast", and the resident memory before `fit` began.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measuring import (
    alone,
    digits,
    markdown,
    network,
    noise_images,
    resident_mib,
    source,
    spread,
    training,
    with_quartiles,
    write_figures,
)

from lowerbound.training.loop import fit

BARE = "python -c pass"
SCRIPT = str(Path(sys.executable).with_name("lowerbound"))
NUM_IMAGES, BATCH_SIZE = 10_000, 128
NETWORKS = ("conv", "dense")
PRECISIONS = ("float32", "bfloat16")

LAUNCHER = """
import os, sys, time
null = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
start = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=null)
_, status, used = os.wait4(pid, 0)
print(time.perf_counter() - start, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
"""

FIRST_STEP = """
import os, sys
from lowerbound import cli
from lowerbound.commands import progress
progress.ProgressDisplay.show = lambda display, progress: os._exit(0)
sys.argv[0] = "lowerbound"
cli.main()
sys.exit(1)
"""

Command = Callable[[], list[str]]
"""The command to run, created each time because a run needs a new directory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="trial run: two rounds")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    num_rounds = 2 if arguments.quick else arguments.rounds
    with commands() as all_commands:
        processes = measure(all_commands, num_rounds)
    memory = [training_memory(*case, num_rounds) for case in product(NETWORKS, PRECISIONS)]
    figures = {"processes": processes, "training_memory": memory}
    path, written = write_figures("startup", figures, arguments.out)
    print(table(written), path, sep="\n\n")


@contextmanager
def commands() -> Iterator[dict[str, Command]]:
    """The measured commands, by their command lines."""
    with TemporaryDirectory() as folder:
        numbers = count()

        def first_step(recipe: str) -> list[str]:
            out = f"{folder}/{next(numbers)}"
            words = ["train", "digits", "--recipe", recipe, "--out", out, "--set", "training.log_every=1"]
            return [sys.executable, "-c", FIRST_STEP, *words]

        yield {
            BARE: lambda: [sys.executable, "-c", "pass"],
            "lowerbound --help": lambda: [SCRIPT, "--help"],
            "lowerbound --version": lambda: [SCRIPT, "--version"],
            "import lowerbound": lambda: [sys.executable, "-c", "import lowerbound"],
            "import torch": lambda: [sys.executable, "-c", "import torch"],
            "first step of lowerbound train, conv": lambda: first_step("conv"),
            "first step of lowerbound train, dense": lambda: first_step("dense"),
        }


def measure(all_commands: dict[str, Command], num_rounds: int) -> dict[str, Any]:
    """Seconds and MiB of each command, and its seconds beyond the bare interpreter."""
    rounds = [{name: launched(command()) for name, command in all_commands.items()} for _ in range(num_rounds + 1)]
    del rounds[0]  # this round read files from the disk
    return {
        name: {
            "seconds": spread([results[name][0] for results in rounds]),
            "seconds_beyond_bare_python": spread([results[name][0] - results[BARE][0] for results in rounds]),
            "peak_mib": spread([results[name][1] for results in rounds]),
        }
        for name in all_commands
    }


def launched(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak MiB of one process."""
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    output = subprocess.run(launcher, capture_output=True, text=True, check=True).stdout
    seconds, mib, exit_status = map(float, output.split())
    if exit_status:
        raise RuntimeError(f"exit status {exit_status:.0f} of {' '.join(command)}")
    return seconds, mib


def training_memory(name: str, precision: str, num_rounds: int) -> dict[str, Any]:
    """Memory of one training, in fresh processes."""
    before, peak = zip(*(alone(train_once, name, precision) for _ in range(num_rounds)), strict=True)
    return {
        "network": name,
        "precision": precision,
        "num_images": NUM_IMAGES,
        "batch_size": BATCH_SIZE,
        "mib_before": spread(before),
        "peak_mib": spread(peak),
    }


def train_once(name: str, precision: str) -> tuple[float, float]:
    """MiB resident before one epoch, and at its peak."""
    model, images = network(name), noise_images(NUM_IMAGES)
    config = replace(training(BATCH_SIZE, 100, precision), num_epochs=1)
    before = resident_mib("VmRSS")
    fit(model, images, config=config)
    return before, resident_mib("VmHWM")


def table(figures: dict[str, Any]) -> str:
    """Tables of start-up times, and of the memory of training."""
    rows = [
        (
            name if name.startswith("first") else f"`{name}`",
            with_quartiles(used["seconds"], 1e-3),
            "" if name == BARE else digits(1e3 * used["seconds_beyond_bare_python"]["median"]),
            digits(used["peak_mib"]["median"]),
        )
        for name, used in figures["processes"].items()
    ]
    columns = ("a fresh process", "ms (quartiles)", "beyond bare python, ms", "peak memory, MiB")
    return "\n\n".join((markdown(columns, rows), memory_table(figures), source(figures)))


def memory_table(figures: dict[str, Any]) -> str:
    rows = [
        (
            f"{case['network']}, {case['precision']}",
            digits(case["mib_before"]["median"]),
            with_quartiles(case["peak_mib"]),
            digits(case["peak_mib"]["median"] - case["mib_before"]["median"]),
        )
        for case in figures["training_memory"]
    ]
    title = f"training on {NUM_IMAGES:,} images, batches of {BATCH_SIZE}"
    return markdown((title, "before `fit`, MiB", "peak (quartiles), MiB", "of `fit`, MiB"), rows)


if __name__ == "__main__":
    main()

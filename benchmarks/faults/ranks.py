"""Faults of training on several ranks under torchrun: a rank is killed, torchrun is killed, the disk is full.

After a killed rank, torchrun's restart must end with the files of an undisturbed run. After torchrun itself was killed,
every rank must end, and `train --resume` under torchrun must end with these files. A checkpoint that cannot be written
must end all ranks with one line of error, and `train --resume` must do the same.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.comparing import Tree, differences, is_left_over, tree
from benchmarks.faults.runs import RESUME, Words, Workplace, training
from benchmarks.faults.tally import Tally

GOOD = frozenset({"same bytes"})
NUM_RANKS = 2
NUM_TRIALS = {"a rank killed": 10, "torchrun killed": 5, "full disk": 2}
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(NUM_RANKS), "--standalone")
RESTARTING = ("--max-restarts", "3", "--monitor-interval", "0.2")
ENDING = 15.0  # seconds in which ranks must end without torchrun
FILE_KIB = 24  # more than config.toml and the log, less than a checkpoint
TRAIN: Words = (*training("digits", "run"), "--set", "training.checkpoint_every=2", "--set", "training.batch_size=128")


@dataclass(frozen=True)
class Ended:
    """How a launch ended."""

    status: int
    output: str
    seconds: float

    @property
    def error_lines(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.startswith("lowerbound: ")]


class Launch:
    """A command on several ranks, in progress."""

    def __init__(self, words: Words, cwd: Path, options: Words = (), file_kib: int = 0) -> None:
        command = [*LAUNCH, *options, "-m", "lowerbound", *words]
        if file_kib:
            # Writes beyond the limit fail, as on a full disk; Python ignores the signal.
            command = ["bash", "-c", f'ulimit -f {file_kib}; exec "$@"', "bash", *command]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def ranks(self) -> list[int]:
        """Process ids of the ranks that run."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    def end(self, timeout: float = 240.0) -> Ended:
        """Wait for it."""
        try:
            _, output = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            for pid in (*self.ranks(), self.process.pid):
                _kill(pid)
            _, output = self.process.communicate()
            output += "\nit did not end"
        return Ended(self.process.returncode, output, time.perf_counter() - self.started)


def run(place: Workplace, bits: random.Random, share: float, names: frozenset[str] = frozenset()) -> Tally:
    """Disturb training on several ranks, at a `share` of the full number of random moments."""
    tally = Tally("several ranks", GOOD)
    undisturbed = Launch(TRAIN, place.fresh(None)).end()
    if undisturbed.status != 0:
        raise RuntimeError(f"training on {NUM_RANKS} ranks: exit status {undisturbed.status}\n{undisturbed.output}")
    expected = tree(place.trial)
    disturbances = {"a rank killed": kill_a_rank, "torchrun killed": kill_torchrun, "full disk": fill_the_disk}
    for name, disturb in disturbances.items():
        for _ in range(0 if names and name not in names else max(1, round(share * NUM_TRIALS[name]))):
            seconds = bits.uniform(0.5, undisturbed.seconds)
            verdict, why = disturb(place.fresh(None), expected, seconds, bits)
            tally.add(name, verdict, f"after {seconds:.2f} s: {why}")
    return tally


def kill_a_rank(trial: Path, expected: Tree, seconds: float, bits: random.Random) -> tuple[str, str]:
    """SIGKILL to a random rank; torchrun restarts all."""
    launch = Launch(TRAIN, trial, RESTARTING)
    time.sleep(seconds)
    if ranks := launch.ranks():
        _kill(bits.choice(ranks))
    ended = launch.end()
    if ended.status != 0 or "Traceback" in ended.output:
        return "failed", ended.output[-600:]
    return compared(trial, expected)


def kill_torchrun(trial: Path, expected: Tree, seconds: float, bits: random.Random) -> tuple[str, str]:
    """SIGKILL to torchrun; the ranks must end, and the run can be resumed."""
    launch = Launch(TRAIN, trial)
    time.sleep(seconds)
    ranks = launch.ranks()
    _kill(launch.process.pid)
    deadline = time.monotonic() + ENDING
    while left := [pid for pid in ranks if _is_running(pid)]:
        if time.monotonic() > deadline:
            for pid in left:
                _kill(pid)
            return "ranks stayed", f"{left}"
        time.sleep(0.05)
    launch.process.communicate()
    return resumed(trial, expected)


def fill_the_disk(trial: Path, expected: Tree, seconds: float, bits: random.Random) -> tuple[str, str]:
    """No room for a checkpoint; all ranks must end with one line."""
    ended = Launch(TRAIN, trial, file_kib=FILE_KIB).end()
    if ended.status == 0 or len(ended.error_lines) != 1 or "rank 1" in ended.error_lines[0]:
        return "no proper refusal", f"exit status {ended.status}, {ended.error_lines}"
    if "[rank" in ended.output:
        return "traceback", ended.output[-600:]
    return resumed(trial, expected)


def resumed(trial: Path, expected: Tree) -> tuple[str, str]:
    """Resume the run, or train it if it had not begun; compare the files."""
    words = RESUME if (trial / "run" / "config.toml").exists() else TRAIN
    report = trial / "run" / "report.html"
    ended = Launch(words, trial).end()
    if ended.status != 0:
        return "stuck", f"finished before: {report.exists()}; {ended.output[-600:]}"
    return compared(trial, expected)


def compared(trial: Path, expected: Tree) -> tuple[str, str]:
    """The files of a run against those of an undisturbed one; nothing else may be left."""
    found = tree(trial)
    if left := [name for name in found if is_left_over(name)]:
        return "left over", ", ".join(left)
    lines = differences(found, expected)
    return ("other bytes", "; ".join(lines)) if lines else ("same bytes", "")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

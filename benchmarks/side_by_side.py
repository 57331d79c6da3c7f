"""Programs of a comparison as long-lived processes, measured in turn: A B C A B C ...

Machines are noisy and differ, so the relevant number is the ratio of two programs within one round, and its median over
the rounds. Each program is a worker of benchmarks/peers/, run by the interpreter of its own environment, which
`make bench-peers` creates in benchmarks/.venvs (LOWERBOUND_PEERS names another folder). All use as many threads as
their libraries choose: environment variables that would change this for some of them are not passed on.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from measuring import LOAD_BEFORE, results_folder, spread

from lowerbound.data.sources import Examples
from lowerbound.foundation.errors import LowerboundError
from lowerbound.training.state import machine

ROOT = Path(__file__).parent
NOT_PASSED_ON = ("OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_", "TF_NUM_", "MALLOC_")
LOG_TAIL = 300  # characters
QUIET = 0.5
Figures = dict[str, Any]


class BenchmarkError(LowerboundError):
    """An error that prevents a comparison; its message is one line."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """A side: its worker, environment, and settings beyond the common ones."""

    script: str
    environment: str = ""  # empty is the one that runs the comparison
    settings: Mapping[str, Any] = field(default_factory=dict)


SIDES = {
    "lowerbound": Side(script="ours.py"),
    "lowerbound float32": Side(script="ours.py", settings={"speed": "fast", "precision": "float32"}),
    "lowerbound bfloat16": Side(script="ours.py", settings={"speed": "fast", "precision": "bfloat16"}),
    "lowerbound plain": Side(script="ours.py", settings={"speed": "plain"}),
    "keras": Side(script="keras_vae.py", environment="keras"),
    "plain torch": Side(script="plain_torch.py"),
    "pythae": Side(script="pythae_vae.py", environment="pythae"),
}


class Worker:
    """One side's process; `ask` waits for its answer."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._log_path = folder / f"{name}.log"
        with self._log_path.open("w") as log:
            self._process = subprocess.Popen(
                [interpreter(SIDES[name].environment), str(ROOT / "peers" / SIDES[name].script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                env=worker_environment(),
            )
        self._read(until="ready")
        self.about = self.ask("about")

    def ask(self, call: str, show: Callable[[Figures], None] = lambda record: None, **arguments: Any) -> Figures:
        """The answer to one request; `show` receives progress messages of the worker. BenchmarkError if it fails."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"call": call, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail()
        return self._read(until="answer", show=show)

    def prepare(self, call: str, **arguments: Any) -> Figures:
        """`ask` with this side's own settings added."""
        return self.ask(call, **arguments, **SIDES[self.name].settings)

    def close(self) -> None:
        """End the process, even if it is busy."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdout.close()
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self, until: str, show: Callable[[Figures], None] = lambda record: None) -> Figures:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = _message(line)
            if message.get("kind") == "error":
                raise BenchmarkError(f"{self.name}: {message['content']['reason']}.")
            if message.get("kind") == until:
                content: Figures = message["content"]
                return content
            if message.get("kind") == "progress":
                show(message["content"])
        self._fail()
        raise AssertionError

    def _fail(self) -> None:
        self._process.wait()
        said = " ".join(self._log_path.read_text(errors="replace").split())
        raise BenchmarkError(f"{self.name} ended with status {self._process.returncode}: ...{said[-LOG_TAIL:]}")


@contextmanager
def started(names: Iterable[str], folder: Path) -> Iterator[dict[str, Worker]]:
    """Start the workers of the named sides; BenchmarkError before any is started if an environment is missing."""
    names = list(names)
    for name in names:
        interpreter(SIDES[name].environment)
    with ExitStack() as stack:
        workers = {}
        for name in names:
            workers[name] = Worker(name, folder)
            stack.callback(workers[name].close)
        yield workers


def interpreter(environment: str) -> str:
    """The Python of a peer's environment."""
    if not environment:
        return sys.executable
    path = Path(os.environ.get("LOWERBOUND_PEERS") or ROOT / ".venvs") / environment
    for python in (path / "bin" / "python", path / "Scripts" / "python.exe"):
        if python.exists():
            return str(python)
    raise BenchmarkError(f"there is no environment {environment!r} at {path}: make it with `make bench-peers`.")


def worker_environment() -> dict[str, str]:
    """This process's environment without variables that affect the threads or memory of only some libraries."""
    passed_on = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)}
    return passed_on | {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}


def hand_over(examples: Examples, path: Path) -> str:
    """Write images as bytes N×28×28 for the workers; returns the path."""
    np.save(path, examples.values[..., 0])
    return str(path)


def random_choice(examples: Examples, num_images: int) -> Examples:
    """The given number of images, the same ones every time."""
    if num_images > len(examples):
        raise BenchmarkError(f"there are {len(examples):,} images, fewer than {num_images:,}.")
    return examples.subset(np.random.default_rng(0).permutation(len(examples))[:num_images])


def alternate(workers: Mapping[str, Worker], request: Mapping[str, Any], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round; sides take turns within a round."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            seconds[name].append(worker.ask(**request)["seconds"])
    return seconds


def times_as_fast(seconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Figures]]:
    """Ratio of every peer's time to ours in each round, for each of our sides."""
    return {
        ours: {
            other: spread([theirs / own for own, theirs in zip(seconds[ours], seconds[other], strict=True)])
            for other in seconds
            if other != ours
        }
        for ours in seconds
        if ours.startswith("lowerbound")
    }


def header(workers: Mapping[str, Worker], unit: str) -> Figures:
    """Provenance that every result contains."""
    return {
        "unit": unit,
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "machine": machine("cpu"),
        "load_before": LOAD_BEFORE,
        "sides": {name: worker.about for name, worker in workers.items()},
    }


def parser_of(description: str | None, name: str) -> argparse.ArgumentParser:
    """Argument parser with the common options of comparisons."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=results_folder() / f"{name}.json")
    return parser


def add_rounds(parser: argparse.ArgumentParser, sides: Sequence[str]) -> None:
    """Argument parser of a comparison in rounds."""
    parser.add_argument("--rounds", type=positive, default=5, help="default: 5")
    parser.add_argument("--sides", nargs="+", choices=sides, default=sides, help="default: all")


def positive(text: str) -> int:
    """A count of at least 1, as an argument."""
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def carry_out(compare: Callable[[Path], None]) -> None:
    """Run a comparison in a temporary folder; user errors are one line on stderr, with exit status 1."""
    if LOAD_BEFORE > QUIET:
        # Threads synchronise, so a busy core slows some sides disproportionately.
        print(f"The machine is busy (load average {LOAD_BEFORE:g}): ratios will be misleading.", file=sys.stderr)
    try:
        with TemporaryDirectory(prefix="lowerbound-bench-") as folder:
            compare(Path(folder))
    except LowerboundError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _message(line: str) -> Figures:
    # Libraries may print while they are imported, before the first message.
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}

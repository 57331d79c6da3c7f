"""Overhead of serving: `infer` over the binary tensor extension, compared with the torch module.

    python benchmarks/serving_throughput.py [--run runs/conv] [--rounds 9]

Three processes: `lowerbound serve`, the module in a process of its own, and this one, the client: tritonclient over
one connection, one request after another. In each round the two alternate for each operation and batch size, so that
slow periods of the machine affect both; the result is the median over rounds of the ratio within a round. All use all
cores, and only one is busy at a time.

    bare        seconds of model.encode(x) or model.reconstruct(x), in inference mode, x in memory
    infer       seconds from the client's call to its response as arrays, minus the client's processor time
    share       bare / infer: the share of the module's images per second
    overhead    infer - bare, in milliseconds per request

The client waits while the server works, so that its processor time (user and system, all threads) does not overlap with
the server's. Without --run, a `conv` trained on a few images of noise is served, which takes as long as any other.
Writes benchmarks/results/MACHINE/serving_throughput.json.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measuring import digits, markdown, source, spread, write_figures
from tritonclient.http import InferenceServerClient, InferInput

import lowerbound as lb
from lowerbound.foundation.allocator import kept_memory
from lowerbound.training.checkpoint import load_model

NAME = "served"
OPERATIONS = ("encode", "reconstruct")
CALLS = {1: 400, 256: 25}  # of each batch size in a round
WARM_UP = 5
START_SECONDS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="A run of images; a conv of 28 × 28, trained on noise, if not given.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        run = arguments.run or new_run(Path(folder) / "conv")
        cases = compare(run, arguments.rounds)
    figures = {"unit": "seconds a request", "run": str(arguments.run or "a new conv"), "rounds": arguments.rounds}
    path, figures = write_figures("serving_throughput", {**figures, "cases": cases}, arguments.out)
    print(table(figures), f"\n{source(figures)}\n{path}")


def new_run(path: Path) -> Path:
    """A run of `conv` on noise: trained weights take as long."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8)
    lb.train(pixels, recipe="conv", epochs=1, settings={"evaluation": {"after_training": False}}, out=path)
    return path


@contextmanager
def serving(*words: str, log: Any = subprocess.DEVNULL) -> Iterator[tuple[str, int]]:
    """`lowerbound serve` in a process of its own: its URL and its process id."""
    command = [sys.executable, "-m", "lowerbound", "serve", *words, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, encoding="utf-8")
    try:
        assert server.stdout is not None
        first = server.stdout.readline()
        if not first:
            raise SystemExit("the server did not start")
        yield first.split()[0], server.pid
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def compare(run: Path, num_rounds: int) -> list[dict[str, Any]]:
    """All operations and batch sizes, round by round."""
    cases = [(operation, size) for operation in OPERATIONS for size in CALLS]
    seconds: dict[tuple[str, int], dict[str, list[float]]] = {
        case: {"bare": [], "infer": [], "wall": []} for case in cases
    }
    with bare(run) as ask, serving(f"{NAME}={run}") as (url, _):
        client = InferenceServerClient(url.removeprefix("http://"), network_timeout=START_SECONDS)
        for number in range(num_rounds):
            for case in cases:
                measured = {"bare": ask(*case), **inferred(client, *case)}
                for side, value in measured.items():
                    seconds[case][side].append(value)
            shown = ", ".join(f"{name} {size}: {share(seconds[name, size])[-1]:.0%}" for name, size in cases)
            print(f"round {number + 1}: {shown}", flush=True)
    return [about(case, seconds[case]) for case in cases]


def inferred(client: InferenceServerClient, operation: str, size: int) -> dict[str, float]:
    """Seconds a request: on the clock, and less the client's own processor time."""
    x = images(size, tuple(client.get_model_metadata(f"{NAME}.{operation}")["inputs"][0]["shape"][1:]))

    def call() -> None:
        tensor = InferInput("x", x.shape, "FP32")
        tensor.set_data_from_numpy(x, binary_data=True)
        result = client.infer(f"{NAME}.{operation}", [tensor])
        assert result.as_numpy("mean" if operation == "encode" else "reconstruction") is not None

    for _ in range(WARM_UP):
        call()
    start, own = time.perf_counter(), time.process_time()
    for _ in range(CALLS[size]):
        call()
    wall, own = time.perf_counter() - start, time.process_time() - own
    return {"wall": wall / CALLS[size], "infer": (wall - own) / CALLS[size]}


@contextmanager
def bare(run: Path) -> Iterator[Any]:
    """The bare model in a process of its own, to be asked for the seconds of a call."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(run, there), daemon=True)
    process.start()
    there.close()  # so that a worker that has died is noticed

    def ask(*case: Any) -> float:
        here.send(case)
        return float(here.recv())

    try:
        yield ask
    finally:
        process.terminate()
        process.join()


@torch.inference_mode()
def work(run: Path, requests: Connection) -> None:
    """Answer requests for an operation and a batch size with the mean seconds of a call."""
    model = load_model(run)
    with kept_memory():
        while True:
            operation, size = requests.recv()
            x = torch.from_numpy(images(size, model.event_shape))
            call = {"encode": lambda x=x: model.encode(x).mean, "reconstruct": lambda x=x: model.reconstruct(x)}[
                operation
            ]
            for _ in range(WARM_UP):
                call()
            start = time.perf_counter()
            for _ in range(CALLS[size]):
                call()
            requests.send((time.perf_counter() - start) / CALLS[size])


def images(size: int, event_shape: tuple[int, ...]) -> np.ndarray:
    """Random pixels in [0, 1]."""
    return np.random.default_rng(0).random((size, *event_shape), np.float32)


def share(seconds: dict[str, list[float]]) -> list[float]:
    """Of the bare model's images per second, round by round."""
    return [bare / infer for bare, infer in zip(seconds["bare"], seconds["infer"], strict=True)]


def about(case: tuple[str, int], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """All figures of one operation and batch size."""
    overhead = [infer - bare for bare, infer in zip(seconds["bare"], seconds["infer"], strict=True)]
    return {
        "operation": case[0],
        "batch_size": case[1],
        **{side: spread(values) for side, values in seconds.items()},
        "share_of_bare": spread(share(seconds)),
        "overhead": spread(overhead),
    }


def table(figures: dict[str, Any]) -> str:
    """The figures as a table for docs/serving.md."""
    columns = ("operation, batch", "bare, ms", "`infer`, ms", "overhead, ms", "relative throughput")
    rows = [
        (
            f"{case['operation']}, {case['batch_size']}",
            *(digits(1e3 * case[side]["median"]) for side in ("bare", "infer")),
            digits(1e3 * case["overhead"]["median"], 2),
            "{median:.0%} ({lower_quartile:.0%} to {upper_quartile:.0%})".format(**case["share_of_bare"]),
        )
        for case in figures["cases"]
    ]
    return markdown(columns, rows)


if __name__ == "__main__":
    main()

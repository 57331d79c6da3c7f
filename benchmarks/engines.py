"""Encoding and decoding by PyTorch and by ONNX Runtime, as `--engine torch` and `--engine onnx` compute them.

    python benchmarks/engines.py [--examples 500] [--rounds 9] [--threads 1]

Networks of the recipes `conv` and `dense` for grey images of 28×28, with new weights; PyTorch with its fast kernels.
Both have the same number of threads and alternate; times are processor time with one thread, so that other processes
matter little. For each round the speed-up of ONNX Runtime over PyTorch, and the seconds of an export. Writes
benchmarks/results/MACHINE/engines.json.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import onnxruntime
import torch
from measuring import HIDDEN, digits, markdown, network, source, spread, with_quartiles, write_figures

from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.seeding import generator
from lowerbound.inference.engine import deviation
from lowerbound.networks.onnx_network import OnnxNetwork, network_bytes

NUM_CALLS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cases = []
    for name in HIDDEN:
        model = network(name).eval()
        for task, original, shape in (
            ("encode", model.encoder, model.event_shape),
            ("decode", model.decoder, (model.latent_dim,)),
        ):
            x = torch.rand(arguments.examples, *shape, generator=generator(0, task))
            cases.append({"network": name, "task": task, **measured(original, x, arguments.rounds)})
    about = {"onnxruntime": onnxruntime.__version__, "examples": arguments.examples, "threads": arguments.threads}
    path, figures = write_figures("engines", {**about, "cases": cases})
    print(table(cases), source(figures), path, sep="\n\n")


@kept_memory()
@torch.no_grad()
def measured(original: torch.nn.Module, x: torch.Tensor, num_rounds: int) -> dict[str, Any]:
    """Seconds of both engines for a batch, their ratio in each round, and the export."""
    start = time.process_time()
    found = OnnxNetwork(original, network_bytes(original, tuple(x.shape[1:])))
    export = time.process_time() - start
    sides = {"torch": lambda: original(x), "onnx": lambda: found(x)}
    rounds = [{name: seconds(action) for name, action in sides.items()} for _ in range(num_rounds + 1)][1:]
    return {
        **{name: spread([one[name] for one in rounds]) for name in sides},
        "times_as_fast": spread([one["torch"] / one["onnx"] for one in rounds]),
        "deviation": deviation(found(x), original(x)),
        "export_seconds": export,
    }


def seconds(action: Callable[[], object]) -> float:
    """Processor time of a call, in the mean over a few."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(NUM_CALLS):
        action()
    return (clock() - start) / NUM_CALLS


def table(cases: list[dict[str, Any]]) -> str:
    """A row for each network and task, in markdown."""
    columns = ("network", "task", "torch, ms", "onnx, ms", "speed-up", "deviation", "export, s")
    rows = [
        (
            case["network"],
            case["task"],
            *(digits(1e3 * case[name]["median"]) for name in ("torch", "onnx")),
            f"{with_quartiles(case['times_as_fast'])}×",
            f"{case['deviation']:.1e}",
            f"{case['export_seconds']:.1f}",
        )
        for case in cases
    ]
    return markdown(columns, rows)


if __name__ == "__main__":
    main()

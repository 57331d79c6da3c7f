"""Cost of encoding, decoding and reconstructing many images and one, compared with Keras and plain PyTorch.

    LOWERBOUND_DATA=DIR python benchmarks/inference.py [--rounds 5] [--images 10000] [--calls 200]

All images are returned as arrays. Every program uses its own fastest way, determined beforehand for each task:
lowerbound and plain PyTorch in batches of 125 or 500; Keras by predict() with batches of 32, its default, 128 or 512,
for one image by predict(), predict_on_batch(), or the model called directly. Seconds for all images, and the median
seconds of many calls with one image; for each round the speed-up of lowerbound over each peer. Writes
benchmarks/results/MACHINE/inference.json after each case.
"""

import argparse
from itertools import product
from pathlib import Path
from typing import Any

from measuring import spread
from side_by_side import (
    Worker,
    add_rounds,
    alternate,
    carry_out,
    hand_over,
    header,
    parser_of,
    positive,
    random_choice,
    started,
    times_as_fast,
)

from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.text_files import write_json

SIDES = ("lowerbound float32", "lowerbound bfloat16", "keras", "plain torch")
NETWORKS = ("conv", "dense")
TASKS = ("encode", "decode", "reconstruct")
ALL, ONE = "all images", "one image"


def main() -> None:
    parser = parser_of(__doc__, "inference")
    add_rounds(parser, SIDES)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--images", type=positive, default=10_000)
    parser.add_argument("--calls", type=positive, default=200, help="with one image, for each round; default: 200")
    arguments = parser.parse_args()
    carry_out(lambda folder: compare(folder, arguments))


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    """Every network, task and number of images in turn."""
    examples = random_choice(load(DataConfig(source="mnist")).test, arguments.images)
    images = hand_over(examples, folder / "images.npy")
    with started(arguments.sides, folder) as workers:
        report = header(workers, "seconds") | {
            "rounds": arguments.rounds,
            "images": arguments.images,
            "calls": arguments.calls,
            "cases": [],
        }
        for network in arguments.networks:
            wanted = {"images": images, "network": network}
            prepared = {name: worker.prepare("prepare_inference", **wanted) for name, worker in workers.items()}
            for task, of in product(TASKS, (ALL, ONE)):
                request = {"call": "infer"} if of == ALL else {"call": "latency", "num_calls": arguments.calls}
                case = {"network": network, "task": task, "of": of, "ways": ways(prepared, f"{task}, {of}")}
                report["cases"].append(case | measure(workers, {**request, "task": task}, case, arguments.rounds))
                write_json(arguments.out, report)
    print(arguments.out)


def measure(workers: dict[str, Worker], request: dict[str, Any], case: dict[str, Any], rounds: int) -> dict[str, Any]:
    """One task."""
    seconds = alternate(workers, request, rounds)
    figures = {name: spread(values) for name, values in seconds.items()}
    shown = ", ".join(f"{name} {1e3 * figure['median']:.3g}" for name, figure in figures.items())
    print(f"{case['network']}, {case['task']} {case['of']}, ms: {shown}", flush=True)
    return {"sides": figures, "times_as_fast": times_as_fast(seconds)}


def ways(prepared: dict[str, dict[str, Any]], what: str) -> dict[str, Any]:
    """The chosen method of each side, and the seconds of all tried ones."""
    return {
        name: {"chosen": answer["chosen"].get(what, "call"), "tried_seconds": answer.get("tried", {}).get(what, {})}
        for name, answer in prepared.items()
    }


if __name__ == "__main__":
    main()

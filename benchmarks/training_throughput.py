"""Training time per image, compared with Keras, plain PyTorch and pythae: two networks, three batch sizes.

    LOWERBOUND_DATA=DIR python benchmarks/training_throughput.py [--rounds 5] [--networks conv dense] [--batch-sizes 32]

A round is one epoch of each program over the same MNIST images, after a first one that is not counted; every program
has its own model, data and optimiser in its own process. Results are microseconds per image, and the speed-up of
lowerbound in each round. Writes benchmarks/results/MACHINE/training_throughput.json after each case.
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

SIDES = ("lowerbound float32", "lowerbound bfloat16", "lowerbound plain", "keras", "plain torch", "pythae")
NUM_IMAGES = {"conv": 4_000, "dense": 20_000}  # for each round: one to three seconds of each side
BATCH_SIZES = (32, 128, 512)


def main() -> None:
    parser = parser_of(__doc__, "training_throughput")
    add_rounds(parser, SIDES)
    parser.add_argument("--networks", nargs="+", choices=list(NUM_IMAGES), default=list(NUM_IMAGES))
    parser.add_argument("--batch-sizes", nargs="+", type=positive, default=list(BATCH_SIZES))
    parser.add_argument("--images", type=positive, help="per round; default: 4,000 for conv, 20,000 for dense")
    arguments = parser.parse_args()
    carry_out(lambda folder: compare(folder, arguments))


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    """Every case in turn."""
    examples = load(DataConfig(source="mnist")).train
    with started(arguments.sides, folder) as workers:
        report = header(workers, "microseconds per image") | {"rounds": arguments.rounds, "cases": []}
        for network, batch_size in product(arguments.networks, arguments.batch_sizes):
            num_images = whole_batches(arguments.images or NUM_IMAGES[network], batch_size)
            images = hand_over(random_choice(examples, num_images), folder / "images.npy")
            case = {"network": network, "batch_size": batch_size, "images_per_round": num_images}
            report["cases"].append(case | measure(workers, images, case, arguments.rounds))
            write_json(arguments.out, report)
    print(arguments.out)


def measure(workers: dict[str, Worker], images: str, case: dict[str, Any], rounds: int) -> dict[str, Any]:
    """One network at one batch size."""
    wanted = {"images": images, "network": case["network"], "batch_size": case["batch_size"]}
    prepared = {name: worker.prepare("prepare_training", **wanted) for name, worker in workers.items()}
    seconds = alternate(workers, {"call": "train"}, rounds)
    figures = {
        name: spread([1e6 * value / case["images_per_round"] for value in values]) for name, values in seconds.items()
    }
    shown = ", ".join(f"{name} {figure['median']:.1f}" for name, figure in figures.items())
    print(f"{case['network']}, batch {case['batch_size']}, µs per image: {shown}", flush=True)
    return {
        "num_parameters": {name: answer["num_parameters"] for name, answer in prepared.items()},
        "sides": figures,
        "times_as_fast": times_as_fast(seconds),
    }


def whole_batches(num_images: int, batch_size: int) -> int:
    """The number of images, rounded down to complete batches."""
    return max(batch_size, num_images - num_images % batch_size)


if __name__ == "__main__":
    main()

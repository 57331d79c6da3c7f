"""Time to the −ELBO of the convolutional tutorial, compared with Keras, and the −ELBO reached in the time of Keras.

    LOWERBOUND_DATA=DIR python benchmarks/time_to_quality.py [--seeds 5] [--max-epochs 30] [--filled 5]

For each seed first Keras, then lowerbound: the same convolutional network, trained on MNIST's 60,000 grey images, with
the 10,000 test images evaluated after every epoch with one draw for each, and no early stopping. A run stops when its
−ELBO is at the target, the value in the second text, or after its last epoch; then it has not reached the target, and
its time is a lower bound. Wall time starts at the first step and includes the evaluation. Tracing and first calls are
warmed up before: in Keras on the model itself, which is then reset, in lowerbound on another model. Finally lowerbound
runs once more for each seed, with its schedule filling the time that Keras needed. Writes
benchmarks/results/MACHINE/time_to_quality.json after each run; --continue keeps the runs that it already holds.
"""

import argparse
import math
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measuring import spread
from side_by_side import Worker, carry_out, hand_over, header, parser_of, positive, started

from lowerbound.data.sources import DataConfig, Examples, load
from lowerbound.foundation.text_files import read_json, write_json

TARGET = 151.33  # nats: the second tutorial's figure
KERAS = {"batch_size": 32}  # and Adam at 1e-3
MODEL = {
    "network": "conv",
    "hidden": [16],
    "channels": [32, 64],
    "likelihood": "bernoulli",
    "output_bias": "mean",
}
RACE = {
    "batch_size": 32,
    "learning_rate": 3e-3,
    "optimiser": "muon",
    "schedule": "one-cycle",
    "warm_up": 1.0,
    "num_epochs": 4,
    "max_gradient_norm": 1000.0,
    "precision": "auto",
}
SIDES = ("keras", "lowerbound")
Race = dict[str, Any]


def main() -> None:
    parser = parser_of(__doc__, "time_to_quality")
    parser.add_argument("--seeds", type=positive, default=5, help="number of seeds, from 0; default: 5")
    parser.add_argument("--max-epochs", type=positive, default=30, help="maximum for Keras; default: 30")
    parser.add_argument("--target", type=float, default=TARGET, help=f"−ELBO in nats; default: {TARGET}")
    parser.add_argument("--images", type=positive, help="to train on; default: all 60,000")
    parser.add_argument("--monitored", type=positive, help="number of test images; default: all 10,000")
    parser.add_argument("--filled", type=int, help="number of seeds for which Keras' time is then filled; default: all")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="measure only what the results lack")
    arguments = parser.parse_args()
    carry_out(lambda folder: compare(folder, arguments))


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    """Every seed in turn."""
    splits = load(DataConfig(source="mnist", validation="test"))
    data = {
        "images": hand_over(first(splits.train, arguments.images), folder / "train.npy"),
        "watched": hand_over(first(splits.validation, arguments.monitored), folder / "watched.npy"),
    }
    with started(SIDES, folder) as workers:
        report = header(workers, "seconds; −ELBO in nats, grey pixels, test images, one draw each") | {
            "target": arguments.target,
            "images": len(first(splits.train, arguments.images)),
            "watched": len(first(splits.validation, arguments.monitored)),
            "keras": {**KERAS, "learning_rate": 1e-3, "max_epochs": arguments.max_epochs},
            "lowerbound": {"model": MODEL, "training": RACE},
            "seeds": [],
        }

        def keep() -> None:
            report["summary"] = summary(report["seeds"])
            write_json(arguments.out, report)

        before = {races["seed"]: races for races in read_json(arguments.out)["seeds"]} if arguments.go_on else {}
        for seed in range(arguments.seeds):
            races: dict[str, Any] = before.get(seed, {"seed": seed})
            report["seeds"].append(races)
            if "keras" not in races:
                races["keras"] = race_keras(workers["keras"], data, seed, arguments)
            if "lowerbound" not in races:
                races["lowerbound"] = race_ours(workers["lowerbound"], data, seed, RACE, arguments.target)
            keep()
        for races in report["seeds"][: arguments.filled]:
            if "in keras' time" not in races:
                races["in keras' time"] = race_against_time(workers["lowerbound"], data, races["seed"], races)
            keep()
    print(arguments.out)


def race_keras(worker: Worker, data: dict[str, str], seed: int, arguments: argparse.Namespace) -> Race:
    """Keras until the target, or for its last epoch."""
    show = partial(show_point, f"seed {seed}, keras")
    wanted = {"seed": seed, "max_epochs": arguments.max_epochs, "target": arguments.target}
    return outcome(worker.ask("race", show, **data, **wanted, **KERAS)["curve"], arguments.target)


def race_ours(worker: Worker, data: dict[str, str], seed: int, training: dict[str, Any], target: float | None) -> Race:
    """Ours until the target, or to the end of its schedule."""
    show = partial(show_point, f"seed {seed}, lowerbound, {training['num_epochs']} epochs laid out")
    answer = worker.ask("race", show, **data, seed=seed, model=MODEL, training=training, target=target)
    return {"num_epochs": training["num_epochs"], **outcome(answer["curve"], target)}


def race_against_time(worker: Worker, data: dict[str, str], seed: int, races: dict[str, Race]) -> Race:
    """Ours for as many whole epochs as fit into the time that Keras needed; at least one."""
    own = races["lowerbound"]
    seconds_per_epoch = own["seconds"] / len(own["curve"])
    num_epochs = max(1, math.floor(races["keras"]["seconds"] / seconds_per_epoch))
    return race_ours(worker, data, seed, {**RACE, "num_epochs": num_epochs}, target=None)


def outcome(curve: list[dict[str, float]], target: float | None) -> Race:
    """A curve with its end; if the target was not reached, `seconds` is a lower bound."""
    last = curve[-1]
    reached = {} if target is None else {"reached": last["negative_elbo"] <= target}
    return {**reached, "seconds": last["seconds"], "negative_elbo": last["negative_elbo"], "curve": curve}


def summary(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Over the seeds: times, their ratios per seed, and the −ELBO reached in the same time."""
    figures: dict[str, Any] = {
        name: {
            "seconds": spread([races[name]["seconds"] for races in seeds]),
            "reached": sum(races[name]["reached"] for races in seeds),
            "of": len(seeds),
            "seconds_per_epoch": median(races[name]["seconds"] / len(races[name]["curve"]) for races in seeds),
        }
        for name in SIDES
    }
    figures["time of lowerbound / keras"] = spread(
        [races["lowerbound"]["seconds"] / races["keras"]["seconds"] for races in seeds]
    )
    filled = [races for races in seeds if "in keras' time" in races]
    if filled:
        figures["in keras' time"] = {
            "negative_elbo": spread([races["in keras' time"]["negative_elbo"] for races in filled]),
            "negative_elbo of keras": spread([races["keras"]["negative_elbo"] for races in filled]),
            "time of lowerbound / keras": spread(
                [races["in keras' time"]["seconds"] / races["keras"]["seconds"] for races in filled]
            ),
        }
    return figures


def first(examples: Examples, num_images: int | None) -> Examples:
    """The first images of a split, which is in random order; all of them if no number is given."""
    return examples if num_images is None else examples.subset(np.arange(min(num_images, len(examples))))


def show_point(what: str, point: dict[str, float]) -> None:
    print(f"{what}, epoch {point['epoch']}: {point['seconds']:.1f} s, −ELBO {point['negative_elbo']:.2f}", flush=True)


if __name__ == "__main__":
    main()

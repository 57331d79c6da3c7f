"""Effect of optimiser, schedule and precision on the reference network: −ELBO after equal steps, steps to a target.

    LOWERBOUND_DATA=DIR python benchmarks/optimisers.py [--seeds 5] [--epochs 4]

The convolutional network of 134,165 parameters on MNIST's 60,000 grey images at batch 32, its output bias starting at
the mean image, the 10,000 test images evaluated after every epoch with one draw for each. Two trainings at a time, in
processes of one thread each: seconds are comparable only within this table. Writes
benchmarks/results/MACHINE/optimisers.json after each training.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from measuring import source, write_figures
from side_by_side import positive

import lowerbound as lb
from lowerbound.data.batches import mean_of
from lowerbound.data.sources import DataConfig
from lowerbound.foundation.seeding import generator

TARGET = 151.33  # nats: reported by the convolutional tutorial
MODEL = lb.ModelConfig(network="conv", hidden=(16,), channels=(32, 64), output_bias="mean")
SHARED = {"batch_size": 32, "max_gradient_norm": 1000.0, "log_every": 1_000_000}
ONE_CYCLE = {"learning_rate": 3e-3, "schedule": "one-cycle", "warm_up": 1.0}
WAYS: dict[str, dict[str, Any]] = {
    "Adam, 1e-3 throughout": {"learning_rate": 1e-3, "precision": "bfloat16"},
    "Adam, one-cycle to 3e-3": {**ONE_CYCLE, "precision": "bfloat16"},
    "Muon, one-cycle to 3e-3": {**ONE_CYCLE, "optimiser": "muon", "precision": "bfloat16"},
    "Muon, one-cycle to 3e-3, float32": {**ONE_CYCLE, "optimiser": "muon"},
}
Curve = list[dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=positive, default=5)
    parser.add_argument("--epochs", type=positive, default=4)
    parser.add_argument("--out", type=Path, help="output file; default: results/MACHINE/optimisers.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in the worker processes, and as recorded in the results
    figures: dict[str, Any] = {"target": TARGET, "num_epochs": arguments.epochs, "curves": {way: {} for way in WAYS}}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        # Seed by seed, so that partial results are balanced.
        jobs = {
            pool.submit(train, WAYS[way], seed, arguments.epochs): (way, seed)
            for seed in range(arguments.seeds)
            for way in WAYS
        }
        for job in as_completed(jobs):
            way, seed = jobs[job]
            figures["curves"][way][str(seed)] = job.result()
            print(f"{way}, seed {seed}: {[round(point['negative_elbo'], 2) for point in job.result()]}", flush=True)
            path, written = write_figures("optimisers", figures, arguments.out)
    print(table(written))
    print(path)


def train(settings: dict[str, Any], seed: int, num_epochs: int) -> Curve:
    """Seconds, steps and −ELBO of the validation images after each epoch."""
    torch.set_num_threads(1)
    splits = lb.load_data(DataConfig(source="mnist", validation="test"))
    config = lb.TrainingConfig(**SHARED, **settings, num_epochs=num_epochs, seed=seed)
    model = lb.build_model(MODEL, splits.train.event_shape, generator(seed, "initial weights"), mean_of(splits.train))
    return [
        {"seconds": progress.seconds, "step": progress.step, "negative_elbo": -progress.validation.elbo}
        for progress in lb.training_steps(model, splits, lb.Objective(), config)
        if progress.validation is not None
    ]


def table(figures: dict[str, Any]) -> str:
    """−ELBO at the end, and time to the target, over the seeds."""
    lines = [
        f"| | −ELBO after {figures['num_epochs']} epochs, nats | over seeds | ≤ {figures['target']:g} by "
        "| steps to it | seconds to it |",
        "|---|---|---|---|---|---|",
    ]
    for way, curves in figures["curves"].items():
        if not curves:
            continue
        ends = [curve[-1]["negative_elbo"] for curve in curves.values()]
        met = [point for curve in curves.values() if (point := first_at(curve, figures["target"])) is not None]
        spread = f"{mean(ends):.2f} ± {stdev(ends):.2f}" if len(ends) > 1 else f"{ends[0]:.2f}"
        steps = f"{mean(point['step'] for point in met):,.0f}" if met else "not reached"
        seconds = f"{mean(point['seconds'] for point in met):.0f}" if met else "not reached"
        listed = ", ".join(f"{end:.2f}" for end in ends)
        lines.append(f"| {way} | {spread} | {listed} | {len(met)} of {len(ends)} | {steps} | {seconds} |")
    note = "Mean ± standard deviation over seeds; steps and seconds are means over the seeds that reach the target."
    return "\n".join(lines) + f"\n\n{note}\n\n{source(figures)}"


def first_at(curve: Curve, target: float) -> dict[str, float] | None:
    """The first point at or below the target."""
    return next((point for point in curve if point["negative_elbo"] <= target), None)


if __name__ == "__main__":
    main()

"""How well anomaly scores detect unseen kinds of images: one digit left out, black images, noise.

    LOWERBOUND_DATA=DIR python benchmarks/anomalies.py [--digits 0 1 ...] [--epochs 14] [--set model.latent_dim=2]

For each digit a model with two latents is trained on the others; its validation images, of those digits too, calibrate
the scores. AUROC of each score: the left-out digit's test images against the other digits', and all of the latter
against a hundred all-black images, images of uniform noise, and of Gaussian noise around 1/2 with deviation 1/4,
clipped to [0, 1]. Two processes of one thread each. Writes benchmarks/results/MACHINE/anomalies.json after each digit.
"""

import argparse
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from measuring import source, write_figures
from sklearn.metrics import roc_auc_score

import lowerbound as lb
from lowerbound.commands.assignments import parse_settings
from lowerbound.data.batches import mean_of
from lowerbound.data.sources import DataConfig, Examples, Splits
from lowerbound.evaluation.anomaly_scores import SCORES, Calibration, measure
from lowerbound.foundation.seeding import generator
from lowerbound.runs.experiment import Settings, merge, resolve

NUM_MADE = 100  # images of each synthetic kind
NUM_PROCESSES = 2
STRANGE = ("left-out digit", "black", "uniform noise", "Gaussian noise")

# A Gaussian, because the floor of grey pixels under a Bernoulli is higher for thick digits than for thin ones.
SETTINGS: Settings = {
    "model": {
        "hidden": [256],
        "activation": "silu",
        "likelihood": "gaussian",
        "likelihood_options": {"learn_sigma": True, "sigma": 0.2, "mean_map": "sigmoid"},
    },
    "training": {"optimiser": "adam", "batch_size": 128, "learning_rate": 4e-3, "min_steps": 0, "patience": 0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", nargs="+", type=int, choices=range(10), default=list(range(10)))
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--set", nargs="+", default=[], dest="settings", help="override settings of this script")
    parser.add_argument("--importance", action="store_true", help="also compute the importance-weighted score (slow)")
    parser.add_argument("--out", type=Path, help="output file; default: results/MACHINE/anomalies.json")
    arguments = parser.parse_args()
    given = parse_settings(arguments.settings)
    settings = merge(SETTINGS, {"training": {"num_epochs": arguments.epochs}})
    if "likelihood" in given.get("model", {}):  # its options replace these
        del settings["model"]["likelihood_options"]
    settings = merge(settings, given)
    figures: dict[str, Any] = {"settings": settings, "digits": {}}
    with get_context("spawn").Pool(NUM_PROCESSES) as pool:
        work = partial(left_out, settings, arguments.importance)
        for digit, found in pool.imap(work, arguments.digits, chunksize=1):
            figures["digits"][str(digit)] = found
            print(digit, {kind: rounded(scores) for kind, scores in found.items()}, flush=True)
            _, written = write_figures("anomalies", figures, arguments.out)
    print(table(written))


def left_out(settings: Settings, importance: bool, digit: int) -> tuple[int, dict[str, dict[str, float]]]:
    """AUROC of each score for each kind of anomalous image, for a model trained without `digit`."""
    torch.set_num_threads(1)
    splits = lb.load_data(DataConfig(source="mnist"))
    model = trained(settings, replace(splits, train=without(splits.train, digit)), digit)
    calibration = Calibration(measure(model, without(splits.validation, digit), importance=importance))

    def scores(examples: Examples) -> dict[str, np.ndarray]:
        return calibration.scores(measure(model, examples, importance=importance))

    normal = scores(without(splits.test, digit))
    strange = {"left-out digit": only(splits.test, digit), **made_up()}
    found = {kind: scores(examples) for kind, examples in strange.items()}
    return digit, {kind: {name: auroc(normal[name], of[name]) for name in normal} for kind, of in found.items()}


def trained(settings: Settings, splits: Splits, digit: int) -> lb.VAE:
    """A model of the other digits, with the best weights on their validation images."""
    experiment = resolve("conv-quick", settings)
    splits = replace(splits, validation=without(splits.validation, digit))
    weights = generator(experiment.training.seed, "initial weights")
    model = lb.build_model(experiment.model, splits.train.event_shape, weights, mean_of(splits.train))
    lb.fit(model, splits, experiment.objective, experiment.training)
    return model


def rounded(scores: dict[str, float]) -> dict[str, float]:
    """Values rounded to three digits."""
    return {name: round(value, 3) for name, value in scores.items()}


def without(examples: Examples, digit: int) -> Examples:
    """The examples with another label."""
    return examples.subset(np.flatnonzero(examples.labels != digit))


def only(examples: Examples, digit: int) -> Examples:
    """The examples with this label."""
    return examples.subset(np.flatnonzero(examples.labels == digit))


def made_up() -> dict[str, Examples]:
    """Synthetic images that are not digits."""
    stream = np.random.default_rng(0)
    shape = (NUM_MADE, 28, 28, 1)
    gaussian = (stream.normal(0.5, 0.25, shape).clip(0, 1) * 255).round().astype(np.uint8)
    return {
        "black": Examples(np.zeros(shape, np.uint8), 255.0),
        "uniform noise": Examples(stream.integers(0, 256, shape, np.uint8), 255.0),
        "Gaussian noise": Examples(gaussian, 255.0),
    }


def auroc(normal: np.ndarray, strange: np.ndarray) -> float:
    """AUROC: the probability that an anomalous example's score is above a normal one's."""
    truth = np.concatenate([np.zeros(len(normal)), np.ones(len(strange))])
    return float(roc_auc_score(truth, np.concatenate([normal, strange])))


def table(figures: dict[str, Any]) -> str:
    """Table of the AUROC of each score: mean and minimum over left-out digits."""
    digits = figures["digits"].values()
    names = [name for name in SCORES if name in next(iter(digits))["black"]]
    lines = ["| score | " + " | ".join(STRANGE) + " |", "|---" * (1 + len(STRANGE)) + "|"]
    for name in names:
        cells = []
        for kind in STRANGE:
            values = [digit[kind][name] for digit in digits]
            cells.append(f"{mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "AUROC: mean (least to greatest) over the models, each without one digit.", "", source(figures)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

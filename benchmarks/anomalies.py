"""How well anomaly scores tell what a model has never seen: one digit left out, black images, noise.

    LOWERBOUND_DATA=DIR python benchmarks/anomalies.py [--recipe conv-quick] [--digits 0 1 ...] [--epochs 4]

For each digit a model with two latents is trained on the others; its validation images, of those digits too, calibrate
the scores. AUROC of each score: the left-out digit's test images against the other digits', and all of the latter
against a hundred all-black images, images of uniform noise, and of Gaussian noise around 1/2 with deviation 1/4, cut to
[0, 1]. Writes benchmarks/results/anomalies.json after each digit.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from measuring import source, write_figures
from sklearn.metrics import roc_auc_score

import lowerbound as lb
from lowerbound.data.batches import mean_of
from lowerbound.data.sources import DataConfig, Examples, Splits
from lowerbound.evaluation.anomaly import SCORES, Calibration, measure
from lowerbound.experiment import resolve
from lowerbound.seeding import generator

NUM_MADE = 100  # images of each made-up kind
STRANGE = ("left-out digit", "black", "uniform noise", "Gaussian noise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="conv-quick")
    parser.add_argument("--digits", nargs="+", type=int, choices=range(10), default=list(range(10)))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--importance", action="store_true", help="also the importance-weighted score, which is slow")
    parser.add_argument("--out", type=Path, help="where the figures go; default: results/anomalies.json")
    arguments = parser.parse_args()
    splits = lb.load_data(DataConfig(source="mnist"))
    figures: dict[str, Any] = {"recipe": arguments.recipe, "num_epochs": arguments.epochs, "digits": {}}
    for digit in arguments.digits:
        figures["digits"][str(digit)] = left_out(splits, digit, arguments)
        print(digit, {name: round(value, 3) for name, value in figures["digits"][str(digit)]["left-out digit"].items()})
        _, written = write_figures("anomalies", figures, arguments.out)
    print(table(written))


def left_out(splits: Splits, digit: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """AUROC of each score for each kind of strange image, by a model that has never seen `digit`."""
    settings = {"training": {"num_epochs": arguments.epochs, "min_steps": 0, "patience": 0}}
    experiment = resolve(arguments.recipe, settings)
    train, validation = (without(part, digit) for part in (splits.train, splits.validation))
    model = lb.build_model(
        experiment.model, train.event_shape, generator(experiment.training.seed, "initial weights"), mean_of(train)
    )
    for _ in lb.fit(
        model, replace(splits, train=train, validation=validation), experiment.objective, experiment.training
    ):
        pass
    calibration = Calibration(measure(model, validation, importance=arguments.importance))
    normal = scores(calibration, model, without(splits.test, digit), arguments)
    strange = {"left-out digit": only(splits.test, digit), **made_up()}
    found = {}
    for kind, examples in strange.items():
        of_kind = scores(calibration, model, examples, arguments)
        found[kind] = {name: auroc(normal[name], of_kind[name]) for name in normal}
    return found


def scores(
    calibration: Calibration, model: lb.VAE, examples: Examples, arguments: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Every score of some examples."""
    return calibration.scores(measure(model, examples, importance=arguments.importance))


def without(examples: Examples, digit: int) -> Examples:
    """The examples with another label."""
    return examples.subset(np.flatnonzero(examples.labels != digit))


def only(examples: Examples, digit: int) -> Examples:
    """The examples with this label."""
    return examples.subset(np.flatnonzero(examples.labels == digit))


def made_up() -> dict[str, Examples]:
    """Images that are no digits."""
    stream = np.random.default_rng(0)
    shape = (NUM_MADE, 28, 28, 1)
    gaussian = (stream.normal(0.5, 0.25, shape).clip(0, 1) * 255).round().astype(np.uint8)
    return {
        "black": Examples(np.zeros(shape, np.uint8), 255.0),
        "uniform noise": Examples(stream.integers(0, 256, shape, np.uint8), 255.0),
        "Gaussian noise": Examples(gaussian, 255.0),
    }


def auroc(normal: np.ndarray, strange: np.ndarray) -> float:
    """The chance that a strange example's score is above a normal one's."""
    truth = np.concatenate([np.zeros(len(normal)), np.ones(len(strange))])
    return float(roc_auc_score(truth, np.concatenate([normal, strange])))


def table(figures: dict[str, Any]) -> str:
    """AUROC of each score, the mean over left-out digits with the least."""
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

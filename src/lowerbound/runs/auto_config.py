"""Automatic configuration without a recipe: likelihood, network, latents and training, chosen to fit the data.

Every choice is made of settings, which the user's own settings override; it is described as it is after that.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lowerbound.data.data_kinds import Kind, kind_of
from lowerbound.data.sources import Examples
from lowerbound.foundation.text import pluralise
from lowerbound.networks.residual import DEEPEST_SIDE, num_stages
from lowerbound.runs.experiment import AUTO, Experiment, Settings, from_settings, merge
from lowerbound.training.config import TrainingConfig

FILTERS = (32, 64, 128, 128, 128, 128)
MIN_CONVOLVED_SIDE = 8  # pixels; smaller images get a dense network
SMALL_SIDE = 32  # pixels; up to this size two plain convolutions are enough


@dataclass(frozen=True)
class Choice:
    """One choice, with its reason."""

    what: str
    value: str  # as text
    reason: str
    settings: Settings


LIKELIHOODS: dict[Kind, tuple[str, dict[str, Any], str]] = {
    "binary": ("bernoulli", {}, "values are 0 or 1"),
    "grey": ("discretized-logistic", {}, "values are on discrete levels, so bits per dimension are exact"),
    "colour": ("discretized-logistic", {}, "values are on discrete levels, so bits per dimension are exact"),
    "levels": ("discretized-logistic", {}, "values are on discrete levels, so bits per dimension are exact"),
    "unit": ("gaussian", {"learn_sigma": True, "sigma": 0.1, "mean_map": "sigmoid"}, "values are continuous in [0, 1]"),
    "counts": ("negative-binomial", {}, "values are counts without an upper limit"),
    "real": ("gaussian-per-element", {}, "values are unbounded"),
    "table": ("table", {}, "columns have different kinds, or cells are missing"),
}


def choose(examples: Examples, given: Settings | None = None) -> tuple[Choice, ...]:
    """The choices for training on `examples` that the user's settings, `given`, leave open."""
    given = given or {}
    makers = {
        "model.likelihood": _likelihood,
        "model.network": _network,
        "model.latent_dim": _latents,
        "training.schedule": _training,
    }
    open_ones = [make for key, make in makers.items() if key.partition(".")[2] not in _section(given, key)]
    if _section(given, "model.levels").get("levels"):
        open_ones = [make for make in open_ones if make is not _latents]  # their number is the sum over levels
    return tuple(make(examples, given) for make in open_ones)


def _section(given: Settings, key: str) -> Mapping[str, Any]:
    """The user's settings in the section of a key."""
    section: Mapping[str, Any] = given.get(key.partition(".")[0], {})
    return section


def chosen_settings(choices: Iterable[Choice]) -> Settings:
    """The settings of all choices together."""
    together: Settings = {}
    for choice in choices:
        together = merge(together, choice.settings)
    return together


def _likelihood(examples: Examples, given: Settings) -> Choice:
    name, options, reason = LIKELIHOODS[kind_of(examples)]
    options = dict(options)
    levels = examples.support.num_levels
    if name == "discretized-logistic" and levels != 256:
        options["num_levels"] = levels
    settings = {"model": {"likelihood": name, "likelihood_options": options}}
    stated = _with_given(settings, given).model.likelihood_options
    value = name + (f" ({', '.join(f'{key} {option}' for key, option in stated.items())})" if stated else "")
    return Choice("likelihood", value, reason, settings)


def _network(examples: Examples, given: Settings) -> Choice:
    model, reason = _network_of(examples)
    settings = {"model": model}
    stated = _with_given(settings, given).model
    if stated.network == "dense":
        size = f"{' and '.join(map(str, stated.hidden))} units" if stated.hidden else "no hidden layer"
    else:
        _, height, width = examples.event_shape
        num = len(stated.channels)
        size = pluralise(num_stages(height, width, num) if stated.network == "resnet" else num, "stage")
    return Choice("network", f"{stated.network} ({size})", reason, settings)


def _network_of(examples: Examples) -> tuple[dict[str, Any], str]:
    """The settings of the network for a layout and size, with the reason."""
    shape = examples.event_shape
    if examples.layout != "image":
        widths = [128, 128] if math.prod(shape) <= 64 else [512, 512]
        return {"network": "dense", "hidden": widths}, "examples are not images"
    _, height, width = shape
    if min(height, width) < MIN_CONVOLVED_SIDE:
        reason = f"images are less than {MIN_CONVOLVED_SIDE} pixels wide or high"
        return {"network": "dense", "hidden": [512]}, reason
    if max(height, width) <= SMALL_SIDE:
        stages = num_stages(height, width, 2)
        reason = f"images are at most {SMALL_SIDE} pixels wide and high"
        return {"network": "conv", "channels": list(FILTERS[:stages]), "hidden": [128]}, reason
    stages = num_stages(height, width, len(FILTERS))
    model = {"network": "resnet", "channels": list(FILTERS), "hidden": [], "activation": "silu"}
    return model, f"each stage halves the image, down to about {DEEPEST_SIDE} pixels"


def _latents(examples: Examples, given: Settings) -> Choice:
    shape = examples.event_shape
    if examples.layout == "image":
        num = 8 * 2 ** max(0, min(3, round(math.log2(max(shape[1:]) / 8))))
        reason = "images of 8 pixels get 8 latents, and each doubling of the size doubles their number"
    else:
        num = max(2, min(16, math.prod(shape) // 2))
        reason = "this is half the number of values in an example, limited to 2 to 16"
    return Choice("latents", str(num), reason, {"model": {"latent_dim": num}})


def _training(examples: Examples, given: Settings) -> Choice:
    batch_size = max(8, min(64, 2 ** round(math.log2(max(1, len(examples) / 20)))))
    training = {
        "num_epochs": 20,
        "min_steps": 3000,
        "batch_size": batch_size,
        "learning_rate": 1e-3,
        "schedule": "one-cycle",
        "warm_up": 1.0,
        "max_gradient_norm": 1000.0,
        "precision": "auto",
    }
    settings = {"training": training, "model": {"output_bias": "mean"}}
    stated = _with_given(settings, given).training
    value, reason = _training_in_words(len(examples), stated, _section(given, "training").keys())
    return Choice("training", value, reason, settings)


def _with_given(settings: Settings, given: Settings) -> Experiment:
    """The experiment of a choice and the user's settings."""
    return from_settings(AUTO, merge(settings, given))


def _training_in_words(num_examples: int, stated: TrainingConfig, given: Collection[str]) -> tuple[str, str]:
    """What of a training is chosen, where the user has given some keys of it, and why."""
    parts = [] if "batch_size" in given else [f"batches of {stated.batch_size}"]
    reasons = []
    if "num_epochs" not in given or "min_steps" not in given:
        needs_more = stated.for_examples(num_examples).num_epochs > stated.num_epochs
        least = f" but at least {stated.min_steps:,} steps" if needs_more else ""
        parts.append(pluralise(stated.num_epochs, "epoch") + least)
        reasons = ["small data sets need more epochs"] if needs_more else []
        reasons.append("the weights of the best epoch on held-out examples are kept")
    if "learning_rate" not in given:
        parts.append(f"one-cycle learning rate up to {stated.learning_rate:g}")
    return ", ".join(parts) or "one-cycle learning rate", "; ".join(reasons) or "this suits networks of these sizes"

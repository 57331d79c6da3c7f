"""Automatic configuration without a recipe: likelihood, network, latents and training, chosen to fit the data.

Every choice is made of settings, so the user's own settings override it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lowerbound.data.data_kinds import Kind, kind_of
from lowerbound.data.sources import Examples
from lowerbound.foundation.text import pluralise
from lowerbound.networks.residual import DEEPEST_SIDE, num_stages
from lowerbound.runs.experiment import Settings, merge

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
    decides: str  # the key; a user who sets it makes this choice

    def is_made_in(self, settings: Settings) -> bool:
        """Whether the user's settings make this choice."""
        section, _, key = self.decides.partition(".")
        return key in settings.get(section, {})


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


def choose(examples: Examples) -> tuple[Choice, ...]:
    """The choices for training on `examples`."""
    return _likelihood(examples), _network(examples), _latents(examples), _training(examples)


def chosen_settings(choices: Iterable[Choice]) -> Settings:
    """The settings of all choices together."""
    together: Settings = {}
    for choice in choices:
        together = merge(together, choice.settings)
    return together


def _likelihood(examples: Examples) -> Choice:
    name, options, reason = LIKELIHOODS[kind_of(examples)]
    options = dict(options)
    levels = examples.support.num_levels
    if name == "discretized-logistic" and levels != 256:
        options["num_levels"] = levels
    value = name + (f" ({', '.join(f'{key} {option}' for key, option in options.items())})" if options else "")
    return Choice(
        "likelihood", value, reason, {"model": {"likelihood": name, "likelihood_options": options}}, "model.likelihood"
    )


def _network(examples: Examples) -> Choice:
    shape = examples.event_shape
    if examples.layout != "image":
        widths = [128, 128] if math.prod(shape) <= 64 else [512, 512]
        value, reason = f"dense ({' and '.join(map(str, widths))} units)", "examples are not images"
        return Choice("network", value, reason, {"model": {"network": "dense", "hidden": widths}}, "model.network")
    _, height, width = shape
    if min(height, width) < MIN_CONVOLVED_SIDE:
        reason = f"images are less than {MIN_CONVOLVED_SIDE} pixels wide or high"
        return Choice(
            "network", "dense (512 units)", reason, {"model": {"network": "dense", "hidden": [512]}}, "model.network"
        )
    if max(height, width) <= SMALL_SIDE:
        stages = num_stages(height, width, 2)
        model: dict[str, Any] = {"network": "conv", "channels": list(FILTERS[:stages]), "hidden": [128]}
        reason = f"images are at most {SMALL_SIDE} pixels wide and high"
    else:
        stages = num_stages(height, width, len(FILTERS))
        model = {"network": "resnet", "channels": list(FILTERS), "hidden": [], "activation": "silu"}
        reason = f"each stage halves the image, down to about {DEEPEST_SIDE} pixels"
    value = f"{model['network']} ({pluralise(stages, 'stage')})"
    return Choice("network", value, reason, {"model": model}, "model.network")


def _latents(examples: Examples) -> Choice:
    shape = examples.event_shape
    if examples.layout == "image":
        num = 8 * 2 ** max(0, min(3, round(math.log2(max(shape[1:]) / 8))))
        reason = "images of 8 pixels get 8 latents, and each doubling of the size doubles their number"
    else:
        num = max(2, min(16, math.prod(shape) // 2))
        reason = "this is half the number of values in an example, limited to 2 to 16"
    return Choice("latents", str(num), reason, {"model": {"latent_dim": num}}, "model.latent_dim")


def _training(examples: Examples) -> Choice:
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
    value = f"batches of {batch_size}, 20 epochs but at least 3,000 steps"
    reason = "small data sets need more epochs; the weights of the best epoch on held-out examples are kept"
    settings = {"training": training, "model": {"output_bias": "mean"}}
    return Choice("training", value, reason, settings, "training.schedule")

"""From what is asked of a training to the experiment and its data."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from lowerbound.data.data_kinds import columns_in_words, described
from lowerbound.data.sources import SOURCES, Examples, Splits
from lowerbound.data.sources import load as load_data
from lowerbound.foundation.errors import UsageError
from lowerbound.models.config import ModelConfig
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.probability.parts import option_checks
from lowerbound.runs.auto_config import choose, settings_of
from lowerbound.runs.experiment import Experiment, Settings, from_settings, merge, resolve


def prepare(
    recipe: str, settings: Settings, say: Callable[[str], None] = lambda message: None, splits: Splits | None = None
) -> tuple[Experiment, Splits]:
    """An experiment and its data; without a recipe what is chosen for data of their kind, below the settings.

    `say` hears what was found in the data, and what was chosen.
    """
    experiment = resolve(recipe or "dense", settings)
    splits = splits or load_data(experiment.data)
    if experiment.data.source not in SOURCES:
        num_examples = len(splits.train) + len(splits.validation) + len(splits.test)
        say(f"{splits.name}: {described(num_examples, splits.train)}")
    if splits.train.columns:
        say(f"columns: {columns_in_words(splits.train.columns)}")
    for line in (*splits.notes, *splits.skipped):
        say(line)
    if not recipe and experiment.data.source not in SOURCES:
        choices = [choice for choice in choose(splits.train) if not choice.is_made_in(settings)]
        for choice in choices:
            say(f"{choice.what}: {choice.value} (because {choice.reason})")
        experiment = from_settings("chosen", merge(settings_of(choices), settings))
    return replace(experiment, model=_with_data(experiment.model, splits.train)), splits


def _with_data(model: ModelConfig, examples: Examples) -> ModelConfig:
    """What a likelihood has to know of the data, unless it was set: the number of levels."""
    options, num_levels = model.likelihood_options, examples.support.num_levels
    if num_levels and "num_levels" in option_checks(LIKELIHOODS[model.likelihood]):
        options = {"num_levels": num_levels, **options}
    return replace(model, likelihood_options=options)


def default_path(recipe: str, settings: Settings) -> Path:
    """runs/RECIPE-DATA, the directory of a run that was given none; runs/DATA where nothing but data was given."""
    source = resolve(recipe or "dense", settings).data.source
    recipe = recipe or ("dense" if source in SOURCES else "")
    return Path("runs") / "-".join(filter(None, [Path(recipe).stem, Path(source).stem.replace(":", "-")]))


def keywords_as_settings(
    latent_dim: int | None,
    likelihood: str,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int | None,
) -> Settings:
    """The common settings that are keywords of `train`."""
    given: Settings = {
        "model": {"latent_dim": latent_dim, "likelihood": None if likelihood == "auto" else likelihood},
        # A number of epochs that is given is meant, however few steps they make.
        "training": {
            "num_epochs": epochs,
            "min_steps": None if epochs is None else 0,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
        },
    }
    kept = {name: {key: value for key, value in keys.items() if value is not None} for name, keys in given.items()}
    return {name: keys for name, keys in kept.items() if keys}


def choose_device(name: str) -> torch.device:
    """ "cpu" or "cuda"; "auto" takes the GPU where there is one."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}; accepted: auto, cpu, cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no GPU for device 'cuda'; use --device cpu, or install a CUDA build of torch.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")

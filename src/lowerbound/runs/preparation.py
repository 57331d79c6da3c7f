"""Preparing a run: reading the data, choosing settings that were left open, the run directory's name, the device."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lowerbound.data.data_kinds import describe_columns, describe_examples
from lowerbound.data.sources import SOURCES, Examples, Splits
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.text import pluralise, skipped_lines
from lowerbound.models.config import ModelConfig
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.probability.parts import option_checks
from lowerbound.runs.auto_config import choose, chosen_settings
from lowerbound.runs.experiment import AUTO, Experiment, Settings, from_settings, merge, tables
from lowerbound.runs.run_data import conditioned_by, splits_of_source


@dataclass(frozen=True, eq=False)
class Prepared:
    """A completely specified experiment, and its data."""

    experiment: Experiment
    splits: Splits
    in_memory: bool = False  # whether a program held the data

    def with_seed(self, seed: int) -> "Prepared":
        """The same experiment with another training seed; the splits do not depend on it."""
        training = replace(self.experiment.training, seed=seed)
        return replace(self, experiment=replace(self.experiment, training=training))


def prepare(
    experiment: Experiment,
    *,
    auto_below: Settings | None = None,
    message: Callable[[str], None] = lambda text: None,
    splits: Splits | None = None,
) -> Prepared:
    """The experiment with what its data decide: number of epochs, levels of the likelihood.

    With `auto_below`, the settings that the user gave, model and training are chosen to fit the data wherever these
    leave them open. `message` receives descriptions of the data and of the choices. `splits` are data that were read
    before.
    """
    in_memory = splits is not None
    splits = conditioned_by(experiment, splits or splits_of_source(experiment))
    is_known = experiment.data.source in SOURCES and auto_below is None
    for line in _about(splits, is_known):
        message(line)
    if auto_below is not None:
        given = tables(auto_below)
        choices = choose(splits.train, given)
        for choice in choices:
            message(f"{choice.what}: {choice.value}, because {choice.reason}")
        experiment = from_settings(AUTO, merge(chosen_settings(choices), given))
    experiment = replace(
        experiment,
        model=_with_levels(experiment.model, splits.train),
        training=experiment.training.for_examples(len(splits.train)),
    )
    return Prepared(experiment, splits, in_memory)


def _about(splits: Splits, is_known: bool) -> list[str]:
    """A description of the data; only notes for a named source with its recipe."""
    num_examples = len(splits.train) + len(splits.validation) + len(splits.test)
    lines = [] if is_known else [f"{splits.name}: {describe_examples(num_examples, splits.train)}"]
    lines += [f"columns: {describe_columns(splits.train.columns)}"] if splits.train.columns else []
    return [*lines, *splits.notes, *skipped_lines(splits.skipped)]


def _with_levels(model: ModelConfig, examples: Examples) -> ModelConfig:
    """The number of levels of the data, for a likelihood that needs it, unless it was set."""
    options, num_levels = model.likelihood_options, examples.support.num_levels
    likelihood = LIKELIHOODS.get(model.likelihood)  # none for 'own', which is refused when the model is built
    if num_levels and likelihood is not None and "num_levels" in option_checks(likelihood):
        options = {"num_levels": num_levels, **options}
    return replace(model, likelihood_options=options)


def default_path(experiment: Experiment) -> Path:
    """The directory of a run that was given none: runs/RECIPE-DATA, or runs/DATA without a recipe."""
    recipe = "" if experiment.recipe == AUTO else experiment.recipe
    data = Path(experiment.data.source).stem.replace(":", "-")
    return Path("runs") / "-".join(filter(None, [recipe, data]))


def choose_device(name: str) -> torch.device:
    """ "cpu" or "cuda"; "auto" is the GPU if there is one; each of several ranks on a machine has its own."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}; accepted: auto, cpu, cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "torch does not find a GPU for device 'cuda'; use device 'cpu', or install a CUDA build of torch."
        )
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda") if distributed.share().is_whole else _own_gpu(distributed.local_rank())


def _own_gpu(local_rank: int) -> torch.device:
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"torch finds {pluralise(torch.cuda.device_count(), 'GPU')} on this machine, and torchrun has started more "
            "ranks; start one for each GPU, or use device 'cpu'."
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)

"""LoadedRun: a run's model with its configuration and stored results; decoding and sampling, which need no data."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.data.conditions import check_one_for_each, resolved
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import codes_from_prior, to_images
from lowerbound.evaluation.results import ARRAYS, Results, read_results
from lowerbound.foundation.errors import DataError, RunError, UsageError
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.text import pluralise
from lowerbound.models.stored_units import to_stored_units
from lowerbound.models.vae import VAE
from lowerbound.reporting.tiles import displayable
from lowerbound.runs.experiment import Experiment
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import read_stored
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.serving.loaded_model import LoadedModel, first_values

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class LoadedRun(LoadedModel):
    """A run's model, and the content of its files."""

    path: Path
    config: dict[str, Any]  # of config.toml
    experiment: Experiment
    trained: TrainedModel
    device: torch.device
    results: Arrays  # of results.safetensors; empty if there is none
    label_names: tuple[str, ...]  # of results.json
    engine: str = "auto"  # "torch" if only the server may decode
    level: int = 0  # position of the lowest level of latents that is decoded as it is; those below follow from it
    values: Mapping[str, Any] = field(default_factory=dict)  # of a conditional model's conditions, see `given`

    @property
    def latent_dim(self) -> int:
        """Number of latents."""
        return self.model.latent_dim

    def given(self, values: Mapping[str, Any]) -> "LoadedRun":
        """The run with values of the model's conditions, by name: one for all latents, or one for each.

        UsageError for a condition that the model does not have.
        """
        return replace(self, values=resolved(self.schema, values))

    def check_values(self, num: int) -> None:
        """UsageError for a list of values of a condition that has not one for each of `num` latents."""
        for name, value in self.values.items():
            if isinstance(value, list):
                check_one_for_each(name, value, num)

    def at_level(self, number: int) -> "LoadedRun":
        """The run that decodes a level of latents, 1 being the nearest x, with the levels below at their means.

        UsageError for a level that the model does not have.
        """
        num_levels = max(1, len(self.model.level_names))
        if not 1 <= number <= num_levels:
            raise UsageError(f"level is {number}; the model has {pluralise(num_levels, 'level')} of latents, from 1.")
        return replace(self, level=number - 1)

    def model_for(self, num: int, start: int = 0) -> VAE:
        """The model for latents from `start` on, `num` of them; of conditions without a value, with the first one."""
        known = {
            name: value[start : start + num] if isinstance(value, list) else value
            for name, value in self.values.items()
        }
        return self.trained.given(first_values(self.model) | known, num) if self.schema.conditions else self.model

    @property
    def has_variances(self) -> bool:
        """Whether posteriors are spread over real latents."""
        return not (self.model.is_deterministic or self.model.why_not_real)


def load_run(run: Path, device: str = "auto", engine: str = "auto") -> LoadedRun:
    """A run that has a model; RunError if its files are damaged."""
    stored = read_stored(run)
    chosen = choose_device(device)
    trained = load(run)
    trained.vae.to(chosen)
    results, _ = results_or_reason(run)
    label_names = tuple(results.context.get("data", {}).get("label_names", ()))
    return LoadedRun(run, stored.content, stored.experiment, trained, chosen, results.arrays, label_names, engine)


@torch.inference_mode()
def decode(loaded: LoadedRun, z: Float[np.ndarray, "n latent"], start: int = 0) -> Arrays:
    """Decoded latents: "images" as RGB bytes, or "values", the best guess of each element; and "log_prior" in nats.

    A model without a prior has no "log_prior". `start` is the place of the first latent among those that values of
    conditions are given for.
    """
    latents = torch.from_numpy(z).to(loaded.device)
    model = loaded.model_for(len(z), start)
    if loaded.level:
        latents = model.prior().completed(latents, loaded.level)
    decoded = displayed(loaded.schema, best_guess(model, model.decode(latents)))
    if not model.has_prior:
        return decoded
    return {**decoded, "log_prior": model.prior.log_prob(latents).float().cpu().numpy()}


def displayed(schema: Schema, x: torch.Tensor) -> Arrays:
    """Examples as the page displays them: "images" as RGB bytes, or rows of "values" in stored units."""
    if schema.layout == "image":
        return {"images": displayable(to_images(x))}
    # In double precision where an offset has more digits than a float.
    return {"values": to_stored_units(x, schema).reshape(len(x), -1).cpu().numpy()}


@torch.inference_mode()
def sample_prior(loaded: LoadedRun, num: int, temperature: float, seed: int) -> Float[np.ndarray, "n latent"]:
    """Draws from the prior at a temperature: the ones that `lowerbound sample` decodes."""
    if not loaded.model.has_prior:
        raise DataError(f"{loaded.path.name} is a deterministic autoencoder; it has no prior to sample from.")
    return codes_from_prior(loaded.model_for(num), num, seed, temperature).float().cpu().numpy()


def decoding_batch_size(loaded: LoadedRun) -> int:
    """How many examples are decoded at once: few enough that waiting jobs start soon."""
    return max(1, min(32, 2**17 // math.prod(loaded.model.event_shape)))


def results_or_reason(run: Path, read: Callable[[Path], Results] = read_results) -> tuple[Results, str]:
    """A run's results, or empty ones with the reason; no reason if none have been written yet."""
    try:
        return read(run), ""
    except RunError as error:
        return Results((), {}, {}), str(error) if (run / ARRAYS).exists() else ""

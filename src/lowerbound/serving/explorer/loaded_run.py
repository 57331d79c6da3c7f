"""A run that is opened: its model, and what can be asked of that without any data."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import codes_from_prior, to_images
from lowerbound.evaluation.results import ARRAYS, Results, read_results
from lowerbound.foundation.errors import DataError, RunError
from lowerbound.foundation.schema import Schema
from lowerbound.models.stored_units import in_stored_units
from lowerbound.reporting.tiles import displayable
from lowerbound.runs.experiment import Experiment
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import read_stored
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.serving.loaded_model import LoadedModel

Arrays = dict[str, np.ndarray]
Shown = Literal["images", "values"]


@dataclass(frozen=True, eq=False)
class Space(LoadedModel):
    """A run's model and what its files say of it."""

    path: Path
    stored: dict[str, Any]  # config.toml
    experiment: Experiment
    trained: TrainedModel
    device: torch.device
    known: Arrays  # of results.safetensors; empty where there is none
    label_names: tuple[str, ...]  # as results.json has them

    @property
    def latent_dim(self) -> int:
        """Number of latents."""
        return self.model.latent_dim


def open_space(run: Path, device: str = "auto") -> Space:
    """The model of a run that has one; RunError where its files are damaged."""
    stored = read_stored(run)
    chosen = choose_device(device)
    trained = load(run)
    trained.vae.to(chosen)
    results, _ = known_results(run)
    label_names = tuple(results.context.get("data", {}).get("label_names", ()))
    return Space(run, stored.content, stored.experiment, trained, chosen, results.arrays, label_names)


@torch.inference_mode()
def decode(space: Space, z: Float[np.ndarray, "n latent"]) -> Arrays:
    """What latents stand for: "images" in RGB bytes, or "values", the best guess of each element."""
    expected = best_guess(space.model, space.model.decode(torch.from_numpy(z).to(space.device)))
    return as_shown(space.schema, expected)


def as_shown(schema: Schema, x: torch.Tensor) -> Arrays:
    """Examples as the page shows them: images as RGB bytes, all others as a row of values each, in stored units."""
    if schema.layout == "image":
        return {"images": displayable(to_images(x))}
    # In double precision where an offset takes more digits than a float has.
    return {"values": in_stored_units(x, schema).reshape(len(x), -1).cpu().numpy()}


@torch.inference_mode()
def draw_codes(space: Space, num: int, temperature: float, seed: int) -> Float[np.ndarray, "n latent"]:
    """Draws from the prior, its standard deviation scaled by `temperature`: those that `lowerbound sample` decodes."""
    if space.model.is_deterministic:
        raise DataError(f"{space.path.name} is a deterministic autoencoder; it has no prior to sample from.")
    return codes_from_prior(space.model, num, seed, temperature).float().cpu().numpy()


def examples_at_once(space: Space) -> int:
    """How many examples are decoded in one go: so few that no one who waits behind them waits long."""
    return max(1, min(32, 2**17 // math.prod(space.model.event_shape)))


def known_results(run: Path, read: Callable[[Path], Results] = read_results) -> tuple[Results, str]:
    """A run's results, and why there are none: empty ones and no reason where none were written yet."""
    try:
        return read(run), ""
    except RunError as error:
        return Results((), {}, {}), str(error) if (run / ARRAYS).exists() else ""

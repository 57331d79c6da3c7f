"""LoadedRun: a run's model with its configuration and stored results; decoding and sampling, which need no data."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import codes_from_prior, to_images
from lowerbound.evaluation.results import ARRAYS, Results, read_results
from lowerbound.foundation.errors import DataError, RunError
from lowerbound.foundation.schema import Schema
from lowerbound.models.stored_units import to_stored_units
from lowerbound.reporting.tiles import displayable
from lowerbound.runs.experiment import Experiment
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import read_stored
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.serving.loaded_model import LoadedModel

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

    @property
    def latent_dim(self) -> int:
        """Number of latents."""
        return self.model.latent_dim

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
def decode(loaded: LoadedRun, z: Float[np.ndarray, "n latent"]) -> Arrays:
    """Decoded latents: "images" as RGB bytes, or "values", the best guess of each element; and "log_prior" in nats.

    A model without a prior has no "log_prior".
    """
    latents = torch.from_numpy(z).to(loaded.device)
    decoded = displayed(loaded.schema, best_guess(loaded.model, loaded.model.decode(latents)))
    if not loaded.model.has_prior:
        return decoded
    return {**decoded, "log_prior": loaded.model.prior.log_prob(latents).float().cpu().numpy()}


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
    return codes_from_prior(loaded.model, num, seed, temperature).float().cpu().numpy()


def decoding_batch_size(loaded: LoadedRun) -> int:
    """How many examples are decoded at once: few enough that waiting jobs start soon."""
    return max(1, min(32, 2**17 // math.prod(loaded.model.event_shape)))


def results_or_reason(run: Path, read: Callable[[Path], Results] = read_results) -> tuple[Results, str]:
    """A run's results, or empty ones with the reason; no reason if none have been written yet."""
    try:
        return read(run), ""
    except RunError as error:
        return Results((), {}, {}), str(error) if (run / ARRAYS).exists() else ""

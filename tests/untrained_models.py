"""Models that have read their data and learned nothing: all that tests of reading and scoring need, in milliseconds."""

from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.batches import deviation_of, mean_of
from lowerbound.data.sources import Splits
from lowerbound.evaluation.anomaly_scores import calibrated, measure
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.storage import write_toml
from lowerbound.models.vae import VAE, build_model
from lowerbound.runs.experiment import Experiment
from lowerbound.runs.inputs import InputOptions, read_inputs
from lowerbound.runs.preparation import prepare
from lowerbound.runs.provenance import config_of
from lowerbound.runs.run_data import MEMORY, splits_in_memory
from lowerbound.runs.trained_model import CALIBRATION, TrainedModel, load
from lowerbound.training.checkpoint import save_model

SMALL = {"network": "dense", "hidden": [16], "latent_dim": 3}


def untrained(source: Path | str, data: dict[str, Any] | None = None, **model: Any) -> TrainedModel:
    """A model with the schema that training on `source` would find, and starting weights."""
    settings = {"data": {"source": str(source), **(data or {})}, "model": {**SMALL, **model}}
    experiment, splits = prepare("", settings)
    assert splits.schema is not None
    return TrainedModel(_built(experiment, splits), splits.schema)


def untrained_run(path: Path, held: Any, **model: Any) -> TrainedModel:
    """The same of a file or of data in memory, in a run directory that has what commands read, and no report."""
    in_memory = not isinstance(held, str)
    splits = splits_in_memory(held, None, {}) if in_memory else None
    settings = {"data": {"source": MEMORY if in_memory else held}, "model": {**SMALL, **model}}
    experiment, splits = prepare("", settings, splits=splits)
    vae = _built(experiment, splits)
    write_toml(path / "config.toml", config_of(experiment, splits, "", in_memory))
    save_model(path / "model.safetensors", vae, splits.schema, {})
    calibrated(vae, splits.validation).write(path / CALIBRATION)
    return load(path)


def _built(experiment: Experiment, splits: Splits) -> VAE:
    statistics = mean_of(splits.train), deviation_of(splits.train)
    stream = generator(0, "initial weights")
    shape, columns = splits.train.event_shape, splits.train.columns
    return build_model(experiment.model, shape, stream, *statistics, columns=columns).eval()


def negative_elbo(model: TrainedModel, path: Path | str, skip_broken: bool = False) -> np.ndarray:
    """−ELBO of each example of a file, in nats."""
    examples = read_inputs(model, [str(path)], InputOptions(skip_broken=skip_broken)).examples
    return measure(model.vae, examples, importance=False).negative_elbo

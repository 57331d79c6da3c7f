"""Models that have read their data and learned nothing: all that tests of reading and scoring need, in milliseconds."""

from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.batches import deviation_of, mean_of
from lowerbound.evaluation.anomaly import measure
from lowerbound.inputs import InputOptions, read_inputs
from lowerbound.model import build_model
from lowerbound.run import prepare
from lowerbound.seeding import generator
from lowerbound.trained_model import TrainedModel

SMALL = {"network": "dense", "hidden": [16], "latent_dim": 3}


def untrained(source: Path | str, data: dict[str, Any] | None = None, **model: Any) -> TrainedModel:
    """A model with the schema that training on `source` would find, and starting weights."""
    settings = {"data": {"source": str(source), **(data or {})}, "model": {**SMALL, **model}}
    experiment, splits = prepare("", settings)
    statistics = mean_of(splits.train), deviation_of(splits.train)
    stream = generator(0, "initial weights")
    vae = build_model(
        experiment.model, splits.train.event_shape, stream, *statistics, columns=splits.train.columns
    ).eval()
    assert splits.schema is not None
    return TrainedModel(vae, splits.schema)


def negative_elbo(model: TrainedModel, path: Path | str, skip_broken: bool = False) -> np.ndarray:
    """−ELBO of each example of a file, in nats."""
    examples = read_inputs(model, [str(path)], InputOptions(skip_broken=skip_broken)).examples
    return measure(model.vae, examples, importance=False).negative_elbo

"""What an exported file says of itself: text by name, so that it is understood without the run it comes from."""

import json
from dataclasses import asdict
from pathlib import Path

import lowerbound
from lowerbound.data.sources import SOURCES
from lowerbound.errors import RunError
from lowerbound.inputs import layout_of
from lowerbound.model import VAE
from lowerbound.run import read_experiment
from lowerbound.storage import FORMAT_VERSION, read_json
from lowerbound.training.checkpoint import model_checksum

AXES = {
    "image": "batch × channel × height × width",
    "array": "batch × the axes of an example",
    "table": "batch × column",
}


def about_run(run: Path, model: VAE, divided_by: float | None) -> dict[str, str]:
    """Where a model comes from and how its inputs and outputs are to be read."""
    stored, experiment = read_experiment(run)
    source = experiment.data.source
    about = {
        "lowerbound": lowerbound.__version__,
        "format_version": str(FORMAT_VERSION),
        "recipe": experiment.recipe,
        # Of someone's own files the name will do: where they lie is nobody's business.
        "data": source if source in SOURCES else Path(source).name,
        "data_checksum": str(stored["run"]["data_checksum"]),
        "convention": _convention(run),
        "checksum": model_checksum(run),
        "layout": _layout(run, model, divided_by),
    }
    return about | about_model(model)


def about_model(model: VAE) -> dict[str, str]:
    """A model's parts by name, and its shapes."""
    config = model.config
    about = {
        "network": config.network,
        "likelihood": config.likelihood,
        "posterior": config.posterior,
        "prior": config.prior,
        "latent_dim": str(model.latent_dim),
        "event_shape": json.dumps(list(model.event_shape)),
        "units": "nats",
    }
    return about | ({"columns": json.dumps([asdict(column) for column in config.columns])} if config.columns else {})


def _convention(run: Path) -> str:
    """What log p(x|z) means for the run's data, as its results have it."""
    try:
        return str(read_json(run / "results.json")["scores"][0]["convention"])
    except (RunError, LookupError):
        return "unknown: the run was never evaluated"


def _layout(run: Path, model: VAE, divided_by: float | None) -> str:
    layout = layout_of(run)
    values = "in [0, 1]" if model.likelihood.is_within_unit_interval else "in the data's own unit"
    if layout == "table":
        values = "in each column's own unit, levels as codes from 0, missing cells as NaN"
    elif divided_by not in (None, 1):
        values += f", what is stored divided by {divided_by:g}"
    return f"{AXES[layout]}; float32, values {values}"

"""Metadata of exported files: origin, parts, shapes and data schema, as text by name."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lowerbound
from lowerbound.data.sources import SOURCES
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.storage import FORMAT_VERSION
from lowerbound.models.vae import VAE
from lowerbound.runs.run_data import read_stored
from lowerbound.runs.trained_model import TrainedModel
from lowerbound.training.checkpoint import model_checksum

AXES = {
    "image": "batch × channel × height × width",
    "array": "batch × the axes of an example",
    "table": "batch × column",
}


def run_metadata(run: Path, trained: TrainedModel) -> dict[str, str]:
    """A model's origin, and the meaning of its inputs and outputs."""
    stored = read_stored(run)
    source = stored.experiment.data.source
    about = {
        "lowerbound": lowerbound.__version__,
        "format_version": str(FORMAT_VERSION),
        "recipe": stored.experiment.recipe,
        # Only the name of your own files, without their path.
        "data": source if source in SOURCES else Path(source).name,
        "data_checksum": str(stored.content["run"]["data_checksum"]),
        "convention": trained.convention,
        "checksum": model_checksum(run),
        "layout": _layout(trained),
        "schema": json.dumps(schema_metadata(trained.schema), ensure_ascii=False),
    }
    return about | model_metadata(trained.vae)


def model_metadata(model: VAE) -> dict[str, str]:
    """The names of a model's parts, and its shapes."""
    config = model.config
    about = {
        "network": config.network,
        "likelihood": config.likelihood,
        "posterior": config.posterior,
        "prior": config.prior,
        "latent_dim": str(model.latent_dim),
        "latent_shape": json.dumps(list(model.latent_shape)),
        "event_shape": json.dumps(list(model.event_shape)),
        "units": "nats",
    }
    return about | ({"columns": json.dumps([asdict(column) for column in model.columns])} if model.columns else {})


def schema_metadata(schema: Schema) -> dict[str, Any]:
    """The schema that converts stored numbers to x, for readers without this package."""
    about = {name: getattr(schema, name) for name in ("layout", "shape", "dtype", "range", "offset", "binarisation")}
    about |= {"columns": [asdict(column) for column in schema.columns]}
    return about | ({"conditions": [asdict(column) for column in schema.conditions]} if schema.conditions else {})


def _layout(trained: TrainedModel) -> str:
    """Axes, type and values of x, and the conversion of stored numbers to x."""
    return f"{AXES[trained.schema.layout]}; {', '.join(['float32', *_values(trained)])}"


def _values(trained: TrainedModel) -> Iterator[str]:
    schema, is_within = trained.schema, trained.vae.likelihood.is_within_unit_interval
    if schema.layout == "table":
        yield "cells in their column's unit minus its offset, levels as codes from 0, missing cells as NaN"
        return
    if is_within or not schema.is_scaled:
        yield "values in [0, 1]" if is_within else "values in the data's unit"
    if schema.is_scaled:
        low, high = schema.range
        shifted = f"(stored {'+' if low < 0 else '-'} {abs(low):g})" if low else "stored"
        yield f"x = {shifted} / {high - low:g}"
    elif any(schema.offset):
        yield "x = stored - offset"

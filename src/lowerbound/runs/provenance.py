"""Provenance of a run: its config.toml, and the context of its results (data, versions, machine, training)."""

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lowerbound
from lowerbound.data.sources import SOURCES, Splits
from lowerbound.data.splits import checksum
from lowerbound.foundation.run_identity import read_config, run_id, sealed
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.storage import FORMAT_VERSION
from lowerbound.models.vae import VAE
from lowerbound.networks.layers import count_parameters
from lowerbound.runs.experiment import Experiment
from lowerbound.runs.run_data import absolute_paths
from lowerbound.training.speed import choose_precision
from lowerbound.training.state import machine


def config_of(experiment: Experiment, splits: Splits, command: str, in_memory: bool = False) -> dict[str, Any]:
    """The content of config.toml: what was run, what the data are, and every setting."""
    assert splits.schema is not None
    content = {
        "format_version": FORMAT_VERSION,
        "recipe": experiment.recipe,
        "run": {
            "id": run_id(experiment.settings(), splits.checksum),
            "command": command,
            "lowerbound": lowerbound.__version__,
            "data_checksum": splits.checksum,
            "event_shape": list(splits.train.event_shape),
            "layout": splits.train.layout,
            "in_memory": in_memory,
            # Only here: reports, pages and exports contain no absolute paths.
            **({} if in_memory else absolute_paths(experiment.data)),
        },
        "schema": _without_defaults(splits.schema),
        **experiment.settings(),
    }
    return sealed(content)


def context_of(
    path: Path,
    experiment: Experiment,
    splits: Splits,
    model: VAE,
    device: torch.device,
    history: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What was run, for results.json and the report; `history` has the log's records at the ends of epochs."""
    encoder, decoder = model.layers()
    training = experiment.training
    return {
        "recipe": experiment.recipe,
        "command": _without_places(read_config(path)["run"]["command"]),
        "seed": training.seed,
        "fitted_from": read_config(path)["run"].get("fitted_from", ""),
        "data": _data_context(splits),
        "config": settings_without_places(experiment),
        "layers": {"encoder": [asdict(layer) for layer in encoder], "decoder": [asdict(layer) for layer in decoder]},
        "likelihood_parameters": count_parameters(model.likelihood),
        "training": {
            "epochs": len(history),
            "best_epoch": history[-1]["best_epoch"],
            "stopped_early": len(history) < training.num_epochs,
            "seconds": history[-1]["seconds"],
            "precision": str(choose_precision(training.precision, device)).removeprefix("torch."),
        },
        "versions": {
            "lowerbound": lowerbound.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "machine": machine(device),
    }


def _without_defaults(schema: Schema) -> dict[str, Any]:
    """The fields of a schema that differ from their defaults."""
    usual = {field.name: field.default for field in fields(Schema)}
    return {key: value for key, value in asdict(schema).items() if getattr(schema, key) != usual[key]}


def _without_places(command: str) -> str:
    """A command whose absolute paths are reduced to their last part."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in words)


def settings_without_places(experiment: Experiment) -> dict[str, Any]:
    """The settings of an experiment, with absolute paths reduced to their last part."""
    settings: dict[str, Any] = experiment.settings()
    for key in ("source", "data_dir", "labels"):
        if Path(settings["data"][key]).is_absolute():
            settings["data"][key] = Path(settings["data"][key]).name
    factors = settings["data"]["factors"]
    settings["data"]["factors"] = [Path(name).name if Path(name).is_absolute() else name for name in factors]
    return settings


def _data_context(splits: Splits) -> dict[str, Any]:
    source = SOURCES.get(splits.name)
    return {
        "name": splits.name,
        "source": splits.source,
        "licence": source.licence if source else "",
        "sizes": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
        "event_shape": list(splits.train.event_shape),
        "layout": splits.train.layout,
        "columns": [asdict(column) for column in splits.train.columns],
        "label_names": list(splits.label_names),
        "conditions": [asdict(column) for column in (splits.schema.conditions if splits.schema else ())],
        "factor_names": [] if splits.test.factors is None else list(splits.test.factors.names),
        "notes": list(splits.notes),
        "skipped": list(splits.skipped),
        "checksum": splits.checksum,
        "test_checksum": checksum([splits.test]),
        "monitored": splits.monitored,
    }

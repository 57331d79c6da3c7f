"""run_info: the description of a run for the page, with its model, data, scores, notes and available functions."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.data_kinds import describe_shape
from lowerbound.data.sources import SOURCES
from lowerbound.evaluation.results import Results, Score, read_scores
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.seeding import generator
from lowerbound.models.construction import build_model
from lowerbound.networks.layers import count_parameters
from lowerbound.probability.posteriors import POSTERIORS, PointMassPosterior
from lowerbound.probability.spaces import CodeVectors, OneHot, Space
from lowerbound.reporting import wording
from lowerbound.reporting.terms import adapted_wording
from lowerbound.runs.experiment import Experiment
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import read_stored
from lowerbound.serving.explorer.epochs import describe_frames
from lowerbound.serving.explorer.latents import Latents, stored_latents, widest_axes
from lowerbound.serving.explorer.loaded_run import LoadedRun, results_or_reason
from lowerbound.serving.explorer.messages import without_paths
from lowerbound.serving.explorer.page_decoder import can_decode
from lowerbound.serving.explorer.points import Dataset
from lowerbound.serving.explorer.prior_geometry import prior_description
from lowerbound.serving.explorer.projection import has_umap
from lowerbound.serving.explorer.quantities import quantities_of
from lowerbound.serving.explorer.run_folder import RunEntry
from lowerbound.serving.loaded_model import first_values

Info = dict[str, Any]

DYNAMIC_BINARISATION = (
    "Pixels are binarised dynamically: the page shows the grey values, which are their probabilities; encoding and "
    "scoring use one fixed draw per image."
)


def training_run_info(entry: RunEntry, device: str) -> Info:
    """The description of a run that has no model yet."""
    stored = read_stored(entry.path)
    experiment, schema = stored.experiment, stored.schema
    stream = generator(0, "to be counted")
    model = build_model(
        experiment.model, schema.event_shape, stream, columns=schema.columns, conditions=schema.conditions
    )
    return {
        **_identity(entry, stored.content, experiment, str(choose_device(device))),
        **_model(schema, experiment),
        **_points(None, experiment.model.latent_dim, None),
        "num_parameters": count_parameters(model),
        "data": {"name": _name_of(experiment), "source": _origin(_name_of(experiment))},
        "convention": "",
        "convention_note": "",
        "label_names": [],
        "prior_geometry": None,
        "given": {},
        "scores": [],
        "quantities": [],
        "frames": None,
        "can": {"encode": False, "score": False, "sample": False, "decode": False, "images": False, "umap": False},
        "notes": ["No model yet: this run is still training, or was stopped."],
    }


def run_info(entry: RunEntry, loaded: LoadedRun, points: Dataset | None, problem: str) -> Info:
    """The description of a run that has a model; `problem` is why its examples are unavailable."""
    results, problem_with_results = results_or_reason(entry.path, read_scores)
    convention = points.convention if points else next((score.convention for score in results.scores), "")
    name = points.data_name if points else _name_of(loaded.experiment)
    stored = stored_latents(loaded)
    return {
        **_identity(entry, loaded.config, loaded.experiment, str(loaded.device)),
        **_model(loaded.schema, loaded.experiment),
        **_points(points, loaded.latent_dim, stored),
        "num_parameters": count_parameters(loaded.model),
        "data": {"name": name, "source": _origin(name)},
        "convention": convention,
        "convention_note": wording.explain_convention(convention),
        "label_names": _label_names(loaded, points),
        "prior_geometry": prior_description(loaded.model_for(1)),
        "given": first_values(loaded.model),
        "scores": [_score(score, results) for score in results.scores],
        "quantities": [asdict(quantity) for quantity in quantities_of(loaded, points)],
        "frames": describe_frames(entry.path),
        "can": _can(loaded) | {"images": points is not None, "umap": has_umap()},
        "notes": _notes(loaded, points, problem, results, problem_with_results),
    }


def _identity(entry: RunEntry, stored: dict[str, Any], experiment: Experiment, device: str) -> Info:
    return {
        "id": entry.id,
        "title": entry.title,
        "recipe": experiment.recipe,
        "state": entry.state,
        "monitored": entry.monitored,
        "device": device,
        "has_report": (entry.path / "report.html").is_file(),
    }


def _model(schema: Schema, experiment: Experiment) -> Info:
    model, event_shape = experiment.model, list(schema.event_shape)
    size = dict(zip(("channels", "height", "width"), event_shape, strict=True)) if schema.layout == "image" else None
    columns = [asdict(column) | {"levels": list(column.levels)} for column in schema.columns]
    return {
        "layout": schema.layout,
        "event_shape": event_shape,
        "range": schema.range,
        "offset": schema.offsets,
        "shape_in_words": describe_shape(event_shape),
        "latent_dim": model.latent_dim,
        "space": _space(POSTERIORS[model.posterior].space_with(model.posterior_options)),
        "posterior": model.posterior,
        "prior": model.prior,
        "likelihood": model.likelihood,
        "is_deterministic": POSTERIORS[model.posterior] is PointMassPosterior,
        "image": size,
        "columns": columns or None,
        "levels": list(model.levels) if model.is_hierarchical else [],
        "conditions": [asdict(column) | {"levels": list(column.levels)} for column in schema.conditions],
    }


def _space(space: Space) -> Info:
    return {"name": space.name, "about": space.about, **asdict(space)}


def _points(points: Dataset | None, latent_dim: int, stored: Latents | None) -> Info:
    """The number of points in each split, and the two latents to show first."""
    if points:
        splits = [{"name": name, "count": len(part)} for name, part in zip(points.names, points.parts, strict=True)]
    else:
        splits = [{"name": "test", "count": len(stored)}] if stored else []
    axes = widest_axes(stored.mean) if stored and latent_dim > 2 else list(range(min(2, latent_dim)))
    return {"splits": splits, "num_codes": sum(split["count"] for split in splits), "axes": axes}


def _can(loaded: LoadedRun) -> dict[str, bool]:
    return {
        "encode": loaded.schema.has_pictures,
        "score": not loaded.model.is_deterministic,
        "sample": loaded.model.has_prior,
        "decode": can_decode(loaded),
    }


def _score(score: Score, results: Results) -> dict[str, str]:
    return {
        "name": score.name,
        "quantity": wording.score_title(score.name),
        "split": score.split,
        "value": f"{score.text} {score.unit}".strip(),
        "meaning": adapted_wording(results, wording.score_description(score)),
    }


def _label_names(loaded: LoadedRun, points: Dataset | None) -> list[str]:
    """The names of the labels, or their numbers if they have no names."""
    names = points.label_names if points else loaded.label_names
    if names or points is None:
        return list(names)
    return [str(label) for label in range(int(np.max(points.labels, initial=-1)) + 1)]


def _notes(loaded: LoadedRun, points: Dataset | None, problem: str, results: Results, unreadable: str) -> list[str]:
    notes = []
    if problem:
        shown = (
            "The page shows the codes in the run's results (test split)."
            if stored_latents(loaded)
            else "Nothing can be plotted."
        )
        notes.append(f"{problem} {shown}")
    if isinstance(loaded.model.space, OneHot):
        notes.append("Dots with the same code are spread on the plane, so that they do not cover each other.")
    if isinstance(loaded.model.space, CodeVectors):
        notes.append("Points that are not codes are decoded as they are; in training the decoder sees codes alone.")
    if points:
        notes += [note[:1].upper() + note[1:] + "." for note in points.notes]
        notes += [DYNAMIC_BINARISATION] if points.is_redrawn else []
    if unreadable:
        notes.append(f"The results cannot be shown: {without_paths(unreadable, loaded.path)}")
    elif not results.scores:
        notes.append("No results yet: they are written at the end of training, or by `lowerbound evaluate`.")
    return notes


def _name_of(experiment: Experiment) -> str:
    """The name of a source, file or folder, without its path."""
    return Path(experiment.data.source).name


def _origin(name: str) -> str:
    source = SOURCES.get(name)
    return source.origin if source else "your own file or folder"

"""What a run is, for the page: its model, its data, its numbers, and what can be asked of it."""

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
from lowerbound.reporting import wording
from lowerbound.reporting.number_format import format_estimate
from lowerbound.runs.experiment import Experiment
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import read_stored
from lowerbound.serving.explorer.latents import Latents, stored_codes, widest_axes
from lowerbound.serving.explorer.loaded_run import Space, known_results
from lowerbound.serving.explorer.messages import without_paths
from lowerbound.serving.explorer.points import Dataset
from lowerbound.serving.explorer.run_folder import RunEntry

Info = dict[str, Any]

REDRAWN = (
    "Training pixels are made black and white anew on every pass: they are shown as the grey values that are their "
    "probabilities, and encoded and scored on one draw, always the same."
)


def info_of_training(found: RunEntry, device: str) -> Info:
    """What can be said of a run that has no model yet."""
    stored = read_stored(found.path)
    experiment, schema = stored.experiment, stored.schema
    stream = generator(0, "to be counted")
    model = build_model(experiment.model, schema.event_shape, stream, columns=schema.columns)
    return {
        **_identity(found, stored.content, experiment, str(choose_device(device))),
        **_model(schema, experiment),
        **_codes(None, experiment.model.latent_dim, None),
        "num_parameters": count_parameters(model),
        "data": {"name": _name_of(experiment), "source": _origin(_name_of(experiment))},
        "convention": "",
        "convention_note": "",
        "label_names": [],
        "scores": [],
        "can": {"encode": False, "score": False, "sample": False, "images": False},
        "notes": ["There is no model yet: this run is being trained, or was stopped before its end."],
    }


def info_of(found: RunEntry, space: Space, points: Dataset | None, problem: str) -> Info:
    """What is known of a run that has a model; without its points, `problem` says why."""
    results, unread = known_results(found.path, read_scores)
    convention = points.convention if points else next((score.convention for score in results.scores), "")
    name = points.data_name if points else _name_of(space.experiment)
    known = stored_codes(space)
    return {
        **_identity(found, space.stored, space.experiment, str(space.device)),
        **_model(space.schema, space.experiment),
        **_codes(points, space.latent_dim, known),
        "num_parameters": count_parameters(space.model),
        "data": {"name": name, "source": _origin(name)},
        "convention": convention,
        "convention_note": wording.explain_convention(convention),
        "label_names": _label_names(space, points),
        "scores": [_score(score, results) for score in results.scores],
        "can": _can(space) | {"images": points is not None},
        "notes": _notes(space, points, problem, results, unread),
    }


def _identity(found: RunEntry, stored: dict[str, Any], experiment: Experiment, device: str) -> Info:
    return {
        "id": found.id,
        "title": found.title,
        "recipe": experiment.recipe,
        "state": found.state,
        "device": device,
        "has_report": (found.path / "report.html").is_file(),
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
        "posterior": model.posterior,
        "prior": model.prior,
        "likelihood": model.likelihood,
        "is_deterministic": POSTERIORS[model.posterior] is PointMassPosterior,
        "image": size,
        "columns": columns or None,
    }


def _codes(points: Dataset | None, latent_dim: int, known: Latents | None) -> Info:
    """How many codes there are, of which splits, and the axes to show first."""
    if points:
        splits = [{"name": name, "count": len(part)} for name, part in zip(points.names, points.parts, strict=True)]
    else:
        splits = [{"name": "test", "count": len(known)}] if known else []
    axes = widest_axes(known.mean) if known and latent_dim > 2 else list(range(min(2, latent_dim)))
    return {"splits": splits, "num_codes": sum(split["count"] for split in splits), "axes": axes}


def _can(space: Space) -> dict[str, bool]:
    return {
        "encode": space.schema.has_pictures,
        "score": not space.model.is_deterministic,
        "sample": not space.model.is_deterministic,
    }


def _score(score: Score, results: Results) -> dict[str, str]:
    return {
        "name": score.name,
        "quantity": wording.score_title(score.name),
        "split": score.split,
        "value": f"{format_estimate(score.value, score.standard_error, score.unit)} {score.unit}".strip(),
        "meaning": wording.in_data_terms(results, wording.score_description(score)),
    }


def _label_names(space: Space, points: Dataset | None) -> list[str]:
    """As the data have them; labels without names are called by their numbers."""
    names = points.label_names if points else space.label_names
    if names or points is None:
        return list(names)
    return [str(label) for label in range(int(np.max(points.labels, initial=-1)) + 1)]


def _notes(space: Space, points: Dataset | None, problem: str, results: Results, unread: str) -> list[str]:
    notes = []
    if problem:
        shown = "the codes of the test examples that its results hold" if stored_codes(space) else "no codes"
        notes.append(f"{problem} Shown are {shown}, and no examples.")
    if points:
        notes += [note[:1].upper() + note[1:] + "." for note in points.notes]
        notes += [REDRAWN] if points.is_redrawn else []
    if unread:
        notes.append(f"Its results are not shown: {without_paths(unread, space.path)}")
    elif not results.scores:
        notes.append("This run has no results yet: they come at the end of a training, or of `lowerbound evaluate`.")
    return notes


def _name_of(experiment: Experiment) -> str:
    """A source's name, or that of a file or folder; where it lies is nobody's business."""
    return Path(experiment.data.source).name


def _origin(name: str) -> str:
    source = SOURCES.get(name)
    return source.origin if source else "a file or folder of one's own"

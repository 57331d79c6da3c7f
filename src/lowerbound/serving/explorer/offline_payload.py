"""payload_of: the content of a run in the offline page, with latents, bounds, examples, scores, curves and models.

The examples are the test split, then the validation split, then training examples, up to a maximum; indices count
through the training, validation and test examples, as with a server. If images would make the page too large, only the
last of them are embedded, which are those of the test split.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from gzip import compress
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.data.examples import Examples
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.errors import LowerboundError, RunError, UsageError
from lowerbound.foundation.text import pluralise
from lowerbound.models.support import describe_binarisation, unsupported_values
from lowerbound.models.vae import VAE
from lowerbound.objectives.terms import estimate_terms
from lowerbound.probability.priors import StandardNormalPrior
from lowerbound.serving.explorer.epochs import frame_arrays
from lowerbound.serving.explorer.info import Info, run_info
from lowerbound.serving.explorer.latents import Latents, encode_chunk, join_chunks, no_latents, stored_latents
from lowerbound.serving.explorer.loaded_run import Arrays, LoadedRun, load_run
from lowerbound.serving.explorer.metrics_stream import new_records
from lowerbound.serving.explorer.offline_models import models_of, reason_without_encoder
from lowerbound.serving.explorer.points import (
    Dataset,
    chunks_of,
    displayed_examples,
    load_points,
    model_input,
    model_of,
    reason_unavailable,
)
from lowerbound.serving.explorer.prior_geometry import prior_contours, sampling_data
from lowerbound.serving.explorer.quantities import is_column, quantities_of, values_of
from lowerbound.serving.explorer.run_folder import RunEntry, RunFolder
from lowerbound.serving.explorer.scoring import noise_for
from lowerbound.serving.explorer.tensors import as_bytes

MAX_EXAMPLES = 10_000
MAX_CONTOUR_LATENTS = 6  # for whose pairs contours of the prior are embedded
MAX_CONTOUR_LATENTS_OF_LEVELS = 3  # the same for each level of a condition
MAX_BYTES = 18_000_000  # of the whole payload, compressed; a third more in base64
NUM_DRAWS = 16  # from the posterior, for each example
NUM_MEASURED = 200  # examples from which the compressed size of all is estimated
BATCH = 500
NUM_BYTES = 256  # values of a pixel in a browser

Blocks = dict[str, bytes]


@dataclass(frozen=True, eq=False)
class Payload:
    """The payload except for the models."""

    info: Info
    facts: dict[str, Any]  # what the page needs besides
    latents: Arrays
    values: Arrays  # of quantities that are neither among the latents nor columns of the examples
    examples: np.ndarray | None
    history: list[dict[str, Any]]
    prior: dict[str, Any]


def payload_of(run: Path, data_dir: str = "", device: str = "auto", data: str = "") -> Blocks:
    """The payload's blocks by name, each compressed; RunError for a run without a model."""
    entry = _finished(run)
    loaded = load_run(run, device)
    if loaded.model.takes_context and loaded.model.encoding is None:
        raise UsageError(
            f"{run} has networks of your own that take a context, of which the page knows nothing: run the explorer "
            "without the offline file."
        )
    programs = {name: compressed(content) for name, content in models_of(loaded).items()}
    room = MAX_BYTES - sum(map(len, programs.values()))
    contents = _contents(entry, loaded, room, *_points(loaded, data, data_dir))
    examples = {} if contents.examples is None else {"examples": compressed(as_bytes({"examples": contents.examples}))}
    return {
        "info": compressed(_json(contents.info)),
        "facts": compressed(_json(contents.facts)),
        "codes": compressed(as_bytes(contents.latents)),
        "values": compressed(as_bytes(contents.values)),
        "prior": compressed(_json(contents.prior)),
        "metrics": compressed(_json({"records": contents.history})),
        **examples,
        **_frames(run, contents.info),
        **programs,
    }


def _frames(run: Path, info: Info) -> Blocks:
    """The frames of training, if the run has them."""
    return {"frames": compressed(as_bytes(frame_arrays(run)))} if info["frames"] else {}


def compressed(content: bytes) -> bytes:
    """Content as gzip without a date, so that the same run gives the same page."""
    return compress(content, 9, mtime=0)


def _finished(run: Path) -> RunEntry:
    folder = RunFolder(run)
    if not folder.is_single:
        raise UsageError(f"{run} contains several runs, and the offline page shows one; give a run.")
    (entry,) = folder.runs()
    if entry.state == "broken":
        raise RunError(entry.reason)
    if entry.state == "training":
        raise RunError(f"{run} has no model yet; wait until its training has ended.")
    return entry


def _prior(loaded: LoadedRun, latents: Latents, axes: list[int]) -> dict[str, Any]:
    """How the page samples the prior, and contours for pairs of the shown latents and those of largest variance.

    Of a prior that depends on a condition with levels, "of_levels" has both for each level; of one that depends on
    anything else the page has neither.
    """
    model, conditions = loaded.model, loaded.schema.conditions
    if not model.has_prior:
        return {"sampling": None, "contours": {}, "is_same_for_all": True}
    by_variance = np.argsort(-latents.mean.var(0), kind="stable").tolist() if len(latents) else []
    chosen = list(dict.fromkeys([*axes, *by_variance, *range(loaded.latent_dim)]))
    if not model.prior.takes_context:
        return _prior_of(model, chosen[:MAX_CONTOUR_LATENTS])
    if len(conditions) != 1 or not conditions[0].levels:
        return {"sampling": None, "contours": {}, "is_same_for_all": False}
    name, few = conditions[0].name, chosen[:MAX_CONTOUR_LATENTS_OF_LEVELS]
    of_levels = {level: _prior_of(loaded.given({name: level}).model_for(1), few) for level in conditions[0].levels}
    return {"of_levels": of_levels, "is_same_for_all": False}


def _prior_of(model: VAE, latents: Sequence[int]) -> dict[str, Any]:
    is_same_for_all = isinstance(model.prior, StandardNormalPrior)
    pairs = list(combinations(sorted(latents), 2))[: 1 if is_same_for_all else None]
    contours = {f"{first},{second}": prior_contours(model, (first, second)) for first, second in pairs}
    return {"sampling": sampling_data(model), "contours": contours, "is_same_for_all": is_same_for_all}


def _contents(entry: RunEntry, loaded: LoadedRun, room: int, points: Dataset | None, problem: str) -> Payload:
    latents = _latents(loaded, points)
    arrays = latents.arrays() | (_bounds(loaded, points) if points else _stored_bounds(loaded)) | _context(points)
    values = _values(loaded, points, arrays)
    room -= len(compressed(as_bytes(arrays | values)))
    examples = None if points is None else _examples(points, room)
    info = run_info(entry, loaded, points, problem)
    # Bounds are known for all examples of this page, not only for those of the test split.
    info |= {"quantities": [one | {"split": ""} if one["name"] in arrays else one for one in info["quantities"]]}
    reason = reason_without_encoder(loaded.model) if loaded.schema.has_pictures else ""
    prior = _prior(loaded, latents, info["axes"])
    can = {"encode": info["can"]["encode"] and not reason, "umap": False}
    can["sample"] = "of_levels" in prior or prior["sampling"] is not None
    info |= {"can": info["can"] | can}
    num_embedded = 0 if examples is None else len(examples)
    notes = [*info["notes"], *_notes(info, num_embedded), *([f"Images cannot be encoded: {reason}"] if reason else [])]
    return Payload(
        info | {"device": "this browser", "notes": notes},
        _facts(loaded, points, len(latents) - num_embedded),
        arrays,
        values,
        examples,
        new_records(entry.path, 0)["records"],
        prior,
    )


def _context(points: Dataset | None) -> Arrays:
    """The conditions of each example of a conditional model, as it takes them."""
    if points is None or points.schema is None or not points.schema.conditions:
        return {}
    parts = [np.asarray(part.given, np.float32).reshape(len(part), -1) for part in points.parts]
    return {"context": np.concatenate(parts)}


def _values(loaded: LoadedRun, points: Dataset | None, known: Arrays) -> Arrays:
    """The quantities of the examples that the page cannot read from the known arrays or the rows of a table."""
    names = [quantity.name for quantity in quantities_of(loaded, points)]
    return {name: values_of(loaded, points, name) for name in names if name not in known and not is_column(name)}


def _points(loaded: LoadedRun, data: str = "", data_dir: str = "") -> tuple[Dataset | None, str]:
    """The examples, or the reason why they are unavailable."""
    try:
        return _at_most(load_points(loaded, data, data_dir), MAX_EXAMPLES), ""
    except LowerboundError as error:
        return None, reason_unavailable(loaded, error, data)


def _at_most(points: Dataset, most: int) -> Dataset:
    """The first examples of each split: as many of the last split as fit, then of the splits before it."""
    kept: dict[str, Examples] = {}
    for name, part in reversed(list(zip(points.names, points.parts, strict=True))):
        num = min(len(part), most - sum(len(other) for other in kept.values()))
        if num:
            kept[name] = part.subset(np.arange(num))
    names = tuple(reversed(kept))
    return replace(points, names=names, parts=tuple(kept[name] for name in names))


def _latents(loaded: LoadedRun, points: Dataset | None) -> Latents:
    if points is not None:
        return join_chunks(points, [encode_chunk(loaded, points, chunk) for chunk in chunks_of(points)])
    return stored_latents(loaded) or no_latents(loaded)


@kept_memory()
@torch.inference_mode()
def _bounds(loaded: LoadedRun, points: Dataset) -> Arrays:
    """The ELBO of each example with its rate and distortion, in nats."""
    parts = [
        _bounds_of(model_of(loaded.model, points, *chunk), model_input(points, *chunk).to(loaded.device))
        for chunk in chunks_of(points)
    ]
    return {name: torch.cat([part[name] for part in parts]).float().cpu().numpy() for name in parts[0]}


def _bounds_of(model: VAE, x: Float[torch.Tensor, "n *event"]) -> dict[str, Float[torch.Tensor, " n"]]:
    posterior = model.encode(x)
    if model.is_deterministic:
        return {"reconstruction_error": -model.decode(posterior.mean).log_prob(x)}
    terms = estimate_terms(model, x, noise_for(x), NUM_DRAWS, posterior)
    names = ("elbo", "elbo_standard_error", "rate", "distortion")
    return {name: getattr(terms, name) for name in names}


def _stored_bounds(loaded: LoadedRun) -> Arrays:
    """The bounds in the results, for runs whose data are unavailable."""
    names = {"elbo": "elbo_per_image", "reconstruction_error": "reconstruction_error_per_image"}
    return {name: loaded.results[stored] for name, stored in names.items() if stored in loaded.results}


def _examples(points: Dataset, room: int) -> np.ndarray | None:
    """The last examples as the page displays them: as many as fit into `room` bytes, compressed."""
    num_measured = min(NUM_MEASURED, len(points))
    measured = _displayed(points, len(points) - num_measured)
    each = len(compressed(measured.tobytes())) / num_measured
    num = min(len(points), max(0, int(room / each)))
    return _displayed(points, len(points) - num) if num else None


def _displayed(points: Dataset, first: int) -> np.ndarray:
    """Examples from index `first` on: images with one or three channels, or rows of values."""
    parts = []
    for start in range(first, len(points), BATCH):
        (part,) = displayed_examples(points, list(range(start, min(start + BATCH, len(points))))).values()
        parts.append(part if points.parts[0].event_shape[0] == 3 or part.ndim == 2 else part[..., :1])
    return np.concatenate(parts)


def _notes(info: Info, num_embedded: int) -> list[str]:
    """How the offline page differs from the one with a server."""
    splits = ", ".join(f"{split['name']} {split['count']:,}" for split in info["splits"])
    what = "images" if info["image"] else "values"
    share = "all" if num_embedded == info["num_codes"] else f"the last {num_embedded:,}"
    shown = f"the {what} of {share}" if num_embedded else f"no {what}"
    embedded = f"the codes of {pluralise(info['num_codes'], 'example')} ({splits or 'no splits'}), and {shown}"
    notes = [f"This page is one file, and its decoder runs in the browser. It contains {embedded}."]
    if info["can"]["sample"]:
        notes.append("Samples are drawn in the browser: the same seed gives other samples than `lowerbound sample`.")
    return notes


def _facts(loaded: LoadedRun, points: Dataset | None, first_embedded: int) -> dict[str, Any]:
    return {
        "first_embedded": first_embedded,
        "num_draws": NUM_DRAWS if points else loaded.experiment.evaluation.num_draws,
        **(_reading(loaded) if loaded.schema.has_pictures else {}),
    }


def _reading(loaded: LoadedRun) -> dict[str, Any]:
    """How the browser reads an image file by the run's schema, which images it can score, and their convention."""
    schema, likelihood = loaded.schema, loaded.model.likelihood
    low, high = schema.range
    num_steps = high - low if schema.is_integer else 0
    pixels = torch.arange(NUM_BYTES) / (NUM_BYTES - 1)
    x = (pixels * num_steps).round() / num_steps if num_steps else pixels
    is_wrong = unsupported_values(likelihood, schema, x)
    kinds = {"grey": not is_wrong.any(), "binary": not is_wrong[[0, -1]].any()}
    reason = f"the model accepts {likelihood.accepted(schema.support.is_binary, low, high)}"
    if schema.binarisation != "none":
        reason += f" ({describe_binarisation(schema)}), and this page does not binarise grey pixels"
    has_more_bits = not schema.is_integer or num_steps > NUM_BYTES - 1
    note = "read with 8 bits per channel, the most that a browser offers; the run's data have more"
    return {
        "resize": schema.resize,
        "num_steps": num_steps,
        "conventions": {kind: loaded.trained.convention for kind, is_scored in kinds.items() if is_scored},
        "no_bound": f"no bound: {reason}",
        "encode_notes": [note] if has_more_bits else [],
    }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode()

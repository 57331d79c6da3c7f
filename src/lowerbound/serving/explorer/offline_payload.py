"""What a page without a server carries of a run: its codes with their bounds, examples, numbers, curves and model.

The examples are those of the test split, then those that training watched, then training examples, until there are
enough; an index counts through training, validation and test examples, as with a server. Where pictures would make the
page too large, the last of them are carried: those of the test split again.
"""

import json
from dataclasses import dataclass, replace
from gzip import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.data.examples import Examples
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.errors import LowerboundError, RunError, UsageError
from lowerbound.models.support import binarisation_in_words, unsupported
from lowerbound.objectives.rates import true_rate
from lowerbound.probability.samples import PosteriorSamples, draw
from lowerbound.serving.explorer.info import Info, info_of
from lowerbound.serving.explorer.latents import Latents, codes_of, encode_chunk, stored_codes
from lowerbound.serving.explorer.loaded_run import Arrays, Space, open_space
from lowerbound.serving.explorer.metrics_stream import follow
from lowerbound.serving.explorer.points import Dataset, chunks_of, load_points, pictures_of, seen, why_absent
from lowerbound.serving.explorer.run_folder import RunEntry, RunFolder
from lowerbound.serving.explorer.scoring import noise_for
from lowerbound.serving.explorer.shared_weights import share_weights
from lowerbound.serving.explorer.tensors import as_bytes
from lowerbound.serving.portable.onnx_form import decoder_bytes, onnx_bytes
from lowerbound.serving.portable.parts import whole_part

MAX_EXAMPLES = 10_000
MAX_BYTES = 18_000_000  # of all that is carried, compressed; a third more as text
NUM_DRAWS = 16  # from the posterior, for each example
MEASURED_FIRST = 200  # examples whose compressed size tells that of all
AT_ONCE = 500
BYTES = 256  # that a pixel may be in a browser

Blocks = dict[str, bytes]


@dataclass(frozen=True, eq=False)
class Contents:
    """Everything that is carried but the model."""

    info: Info
    facts: dict[str, Any]  # what the page has to know beside it
    codes: Arrays
    examples: np.ndarray | None
    history: list[dict[str, Any]]


def blocks_of(run: Path, data_dir: str = "", device: str = "auto", data: str = "") -> Blocks:
    """All that is carried, by name, each compressed; RunError for a run that has no model (yet)."""
    found = _finished(run)
    space = open_space(run, device)
    programs = {name: packed(content) for name, content in _programs(space).items()}
    room = MAX_BYTES - sum(map(len, programs.values()))
    contents = _contents(found, space, room, *_points(space, data, data_dir))
    examples = {} if contents.examples is None else {"examples": packed(as_bytes({"examples": contents.examples}))}
    return {
        "info": packed(_json(contents.info)),
        "facts": packed(_json(contents.facts)),
        "codes": packed(as_bytes(contents.codes)),
        "metrics": packed(_json({"records": contents.history})),
        **examples,
        **programs,
    }


def packed(content: bytes) -> bytes:
    """As gzip compresses it, without a date: the same run gives the same page."""
    return compress(content, 9, mtime=0)


def _finished(run: Path) -> RunEntry:
    folder = RunFolder(run)
    if not folder.is_single:
        raise UsageError(f"{run} holds several runs, a page without a server shows one; give that one.")
    (found,) = folder.runs()
    if found.state == "broken":
        raise RunError(found.reason)
    if found.state == "training":
        raise RunError(f"{run} has no model yet; wait until its training has ended.")
    return found


def _programs(space: Space) -> Blocks:
    """The decoder and, where a browser can read examples, the whole model."""
    model = space.model
    shown = "best_guess" if space.layout == "table" else "mean"
    posterior = ("code",) if model.is_deterministic else ("mean", "log_variance")
    models = {"decoder": decoder_bytes(model)}
    if space.schema.has_pictures:
        models["vae"] = onnx_bytes(whole_part(model))
    return share_weights(models, {"decoder": (shown,), "vae": (*posterior, "log_likelihood")})


def _contents(found: RunEntry, space: Space, room: int, points: Dataset | None, problem: str) -> Contents:
    codes = _codes(space, points)
    arrays = codes.arrays() | (_bounds(space, points) if points else _stored_bounds(space))
    room -= len(packed(as_bytes(arrays)))
    examples = None if points is None else _examples(points, room)
    info = info_of(found, space, points, problem)
    num_carried = 0 if examples is None else len(examples)
    notes = [*info["notes"], *_notes(info, num_carried)]
    return Contents(
        info | {"device": "this browser", "notes": notes},
        _facts(space, points, len(codes) - num_carried),
        arrays,
        examples,
        follow(found.path, 0)["records"],
    )


def _points(space: Space, data: str = "", data_dir: str = "") -> tuple[Dataset | None, str]:
    """The examples or, where they are unavailable, why."""
    try:
        return _at_most(load_points(space, data, data_dir), MAX_EXAMPLES), ""
    except LowerboundError as error:
        return None, why_absent(space, error, data)


def _at_most(points: Dataset, most: int) -> Dataset:
    """The first examples of each split: of the last split as many as there is room for, then of those before it."""
    kept: dict[str, Examples] = {}
    for name, part in reversed(list(zip(points.names, points.parts, strict=True))):
        num = min(len(part), most - sum(len(other) for other in kept.values()))
        if num:
            kept[name] = part.subset(np.arange(num))
    names = tuple(reversed(kept))
    return replace(points, names=names, parts=tuple(kept[name] for name in names))


def _codes(space: Space, points: Dataset | None) -> Latents:
    if points is not None:
        return codes_of(points, [encode_chunk(space, points, chunk) for chunk in chunks_of(points)])
    none = np.zeros(0)
    nothing = Latents(np.zeros((0, space.latent_dim), np.float32), None, none.astype(np.int32), none.astype(np.uint8))
    return stored_codes(space) or nothing


@kept_memory()
@torch.inference_mode()
def _bounds(space: Space, points: Dataset) -> Arrays:
    """Each example's ELBO, with its rate and distortion, in nats."""
    parts = [_bounds_of(space, seen(points, *chunk).to(space.device)) for chunk in chunks_of(points)]
    return {name: torch.cat([part[name] for part in parts]).float().cpu().numpy() for name in parts[0]}


def _bounds_of(space: Space, x: Float[torch.Tensor, "n *event"]) -> dict[str, Float[torch.Tensor, " n"]]:
    model = space.model
    posterior = model.encode(x)
    if model.is_deterministic:
        return {"reconstruction_error": -model.decode(posterior.mean).log_prob(x)}
    z = draw(posterior, noise_for(x), NUM_DRAWS)
    log_likelihood = torch.stack([model.decode(draw).log_prob(x) for draw in z])
    samples = PosteriorSamples.of_one_group(z, log_likelihood, posterior, model.prior())
    rate, distortion = true_rate(samples), -log_likelihood.mean(0)
    errors = log_likelihood.std(0) / NUM_DRAWS**0.5
    return {"elbo": -(rate + distortion), "elbo_standard_error": errors, "rate": rate, "distortion": distortion}


def _stored_bounds(space: Space) -> Arrays:
    """What the results hold, where the data are gone."""
    names = {"elbo": "elbo_per_image", "reconstruction_error": "reconstruction_error_per_image"}
    return {name: space.known[stored] for name, stored in names.items() if stored in space.known}


def _examples(points: Dataset, room: int) -> np.ndarray | None:
    """The last examples as they are shown, so many as fit into so many bytes, compressed."""
    num_measured = min(MEASURED_FIRST, len(points))
    measured = _shown(points, len(points) - num_measured)
    each = len(packed(measured.tobytes())) / num_measured
    num = min(len(points), max(0, int(room / each)))
    return _shown(points, len(points) - num) if num else None


def _shown(points: Dataset, first: int) -> np.ndarray:
    """Examples from number `first` on: pictures with one channel or three, or rows of values."""
    parts = []
    for start in range(first, len(points), AT_ONCE):
        (part,) = pictures_of(points, list(range(start, min(start + AT_ONCE, len(points))))).values()
        parts.append(part if points.parts[0].event_shape[0] == 3 or part.ndim == 2 else part[..., :1])
    return np.concatenate(parts)


def _notes(info: Info, num_carried: int) -> list[str]:
    """What a reader must know who has seen the page with a server."""
    splits = ", ".join(f"{split['name']} {split['count']:,}" for split in info["splits"])
    what = "pictures" if info["image"] else "values"
    share = "of all" if num_carried == info["num_codes"] else f"of the last {num_carried:,}"
    shown = f"{what} {share} of them" if num_carried else f"no {what}"
    carried = f"the codes of {info['num_codes']:,} examples ({splits or 'none are known'}), and {shown}"
    notes = [f"This page is one file, and its decoder runs in the browser. It carries {carried}."]
    if info["can"]["sample"]:
        notes.append("Samples come from this page's own generator: `lowerbound sample` draws others for the same seed.")
    return notes


def _facts(space: Space, points: Dataset | None, first_carried: int) -> dict[str, Any]:
    return {
        "first_carried": first_carried,
        "num_draws": NUM_DRAWS if points else space.experiment.evaluation.num_draws,
        **(_reading(space) if space.schema.has_pictures else {}),
    }


def _reading(space: Space) -> dict[str, Any]:
    """How a browser reads an image file by the run's schema, and which images it can score, under which convention."""
    schema, likelihood = space.schema, space.model.likelihood
    low, high = schema.range
    num_steps = high - low if schema.is_integer else 0
    pixels = torch.arange(BYTES) / (BYTES - 1)
    x = (pixels * num_steps).round() / num_steps if num_steps else pixels
    is_wrong = unsupported(likelihood, schema, x)
    kinds = {"grey": not is_wrong.any(), "binary": not is_wrong[[0, -1]].any()}
    why = f"the model accepts {likelihood.accepted(schema.support.is_binary, low, high)}"
    if schema.binarisation != "none":
        why += f" ({binarisation_in_words(schema)}), and this page binarises no grey pixels"
    has_more = not schema.is_integer or num_steps > BYTES - 1
    more = "read with 8 bits of each pixel, which is all that a browser tells; the run's data have more"
    return {
        "resize": schema.resize,
        "num_steps": num_steps,
        "conventions": {kind: space.trained.convention for kind, is_scored in kinds.items() if is_scored},
        "no_bound": f"no bound: {why}",
        "encode_notes": [more] if has_more else [],
    }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode()

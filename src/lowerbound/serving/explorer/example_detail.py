"""What is said of a single example: a point of the scatter, or an image that someone brings."""

from base64 import b64encode
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.data.batches import scaled
from lowerbound.data.examples import to_model_scale
from lowerbound.serving.explorer.latents import Latents, nearest_codes
from lowerbound.serving.explorer.loaded_run import Space, as_shown
from lowerbound.serving.explorer.neighbours import nearest_pixels
from lowerbound.serving.explorer.points import Dataset, seen_one
from lowerbound.serving.explorer.scoring import Bound, bound_of, finite, noise_for
from lowerbound.serving.explorer.uploads import Upload

Answer = dict[str, Any]


def about_point(space: Space, points: Dataset | None, codes: Latents, index: int) -> Answer:
    """One point: which example it is, its posterior, and its bound.

    Without the data the bound is what the results hold.
    """
    if points is None:
        convention, bound = "", _stored_bound(space, index)
    else:
        x = seen_one(points, index).to(space.device)
        convention, bound = points.convention, bound_of(space.model, x, noise_for(x))
    split = int(codes.split[index])
    label = int(codes.labels[index])
    return {
        "index": index,
        "id_in_split": index - int(np.searchsorted(codes.split, split)),
        "split": codes.split_names[split],
        "label": None if label < 0 else label,
        "label_name": codes.label_name(index),
        **_posterior(codes.mean[index], None if codes.log_variance is None else codes.log_variance[index]),
        **bound.as_json(),
        "convention": convention,
    }


def about_neighbours(codes: Latents, z: Float[np.ndarray, " latent"]) -> list[Answer]:
    """The points whose codes lie nearest to z."""
    return _named(nearest_codes(codes, z), codes)


def about_upload(space: Space, upload: Upload) -> Answer:
    """An image's posterior and bound, and what the model saw of it."""
    x = scaled(upload.examples).to(space.device)
    is_scored = not upload.problem
    bound = bound_of(space.model, x, noise_for(x)) if is_scored else Bound()
    return {
        **_posterior_of(space, x),
        **bound.as_json(),
        "convention": space.trained.convention if is_scored else "",
        "seen": _seen(as_shown(space.schema, x)["images"][0]),
        "notes": [*upload.notes, *([] if is_scored else [f"no bound: {upload.problem}"])],
    }


def neighbours_of_upload(points: Dataset | None, codes: Latents, upload: Upload, answer: Answer) -> Answer:
    """Examples that look most like an image, and those whose codes lie nearest to its own."""
    x = to_model_scale(upload.examples.values.reshape(-1), upload.examples.range)
    return {
        "pixels": [] if points is None else _named(nearest_pixels(points, x), codes),
        "codes": about_neighbours(codes, np.array(answer["mean"], np.float32)),
    }


def _stored_bound(space: Space, index: int) -> Bound:
    """What the results say of a test example."""
    elbos, errors = space.known.get("elbo_per_image"), space.known.get("reconstruction_error_per_image")
    return Bound(
        elbo=None if elbos is None else float(elbos[index]),
        reconstruction_error=None if errors is None else float(errors[index]),
        num_draws=0 if elbos is None else space.experiment.evaluation.num_draws,
    )


@torch.inference_mode()
def _posterior_of(space: Space, x: Float[torch.Tensor, "1 *event"]) -> Answer:
    posterior = space.model.encode(x)
    log_variance = None if space.model.is_deterministic else posterior.variance.log()[0].cpu().numpy()
    return _posterior(posterior.mean[0].cpu().numpy(), log_variance)


def _posterior(mean: np.ndarray, log_variance: np.ndarray | None) -> Answer:
    spread = None if log_variance is None else finite(log_variance.tolist())
    return {"mean": finite(mean.tolist()), "log_variance": spread}


def _named(found: list[tuple[int, float]], codes: Latents) -> list[Answer]:
    return [
        {"index": index, "distance": finite(distance), "label_name": codes.label_name(index)}
        for index, distance in found
    ]


def _seen(image: np.ndarray) -> Answer:
    return {"shape": list(image.shape), "data": b64encode(np.ascontiguousarray(image).tobytes()).decode()}

"""The details of one example, a point of the scatter or an uploaded image: posterior, bound and neighbours."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.data.batches import context_of_all, scaled
from lowerbound.data.examples import to_model_scale
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import DiagonalNormal, Distribution
from lowerbound.serving.explorer.latents import Latents, name_of_label
from lowerbound.serving.explorer.loaded_run import LoadedRun, displayed
from lowerbound.serving.explorer.neighbours import nearest_latents, nearest_pixels
from lowerbound.serving.explorer.points import Dataset, model_of, one_model_input
from lowerbound.serving.explorer.scoring import Bound, estimate_bound, finite, noise_for
from lowerbound.serving.explorer.uploads import Upload

MAX_COVARIANCE = 64  # latents

Detail = dict[str, Any]


def point_detail(loaded: LoadedRun, points: Dataset, index: int) -> Detail:
    """An example's index, split and label, its posterior and its bound."""
    x = one_model_input(points, index).to(loaded.device)
    split, place = points.place(index)
    model = model_of(loaded.model, points, split, place, 1)
    labels = points.parts[split].labels
    about = {"index": index, "id_in_split": place, "split": points.names[split]}
    label = _label(-1 if labels is None else int(labels[place]), points.label_names)
    bound, given = estimate_bound(model, x, noise_for(x)), _given(loaded, points, split, place)
    return about | label | _encode(loaded, model, x) | bound.as_json() | given | {"convention": points.convention}


def stored_detail(loaded: LoadedRun, latents: Latents, index: int) -> Detail:
    """The details of a test example in the results, for a run whose data are unavailable."""
    about = {"index": index, "id_in_split": index, "split": latents.split_names[int(latents.split[index])]}
    label = _label(int(latents.labels[index]), latents.label_names)
    posterior = _posterior(latents.mean[index], None) | {"covariance": None}
    return about | label | posterior | _stored_bound(loaded, index).as_json() | {"convention": ""}


def latent_neighbours(latents: Latents, z: Float[np.ndarray, " latent"]) -> list[Detail]:
    """The examples whose posterior means are nearest to z."""
    return _labelled(nearest_latents(latents, z), latents)


def upload_detail(loaded: LoadedRun, upload: Upload) -> Detail:
    """An image's posterior and bound, and the image as the model sees it."""
    x = scaled(upload.examples).to(loaded.device)
    is_scored, model = not upload.problem, loaded.model_for(1)
    bound = estimate_bound(model, x, noise_for(x)) if is_scored else Bound()
    return {
        **_encode(loaded, model, x),
        **bound.as_json(),
        "convention": loaded.trained.convention if is_scored else "",
        "seen": _image(displayed(loaded.schema, x)["images"][0]),
        "notes": [*upload.notes, *([] if is_scored else [f"no bound: {upload.problem}"])],
    }


def upload_neighbours(points: Dataset | None, latents: Latents, upload: Upload, detail: Detail) -> Detail:
    """The examples nearest to an image by their pixels, and by their posterior means."""
    x = to_model_scale(upload.examples.values.reshape(-1), upload.examples.range)
    return {
        "pixels": [] if points is None else _labelled(nearest_pixels(points, x), latents),
        "codes": latent_neighbours(latents, np.array(detail["mean"], np.float32)),
    }


def _stored_bound(loaded: LoadedRun, index: int) -> Bound:
    """The bound of a test example in the results."""
    elbos, errors = loaded.results.get("elbo_per_image"), loaded.results.get("reconstruction_error_per_image")
    return Bound(
        elbo=None if elbos is None else float(elbos[index]),
        reconstruction_error=None if errors is None else float(errors[index]),
        num_draws=0 if elbos is None else loaded.experiment.evaluation.num_draws,
    )


def _given(loaded: LoadedRun, points: Dataset, split: int, place: int) -> Detail:
    """The values of a conditional model's conditions for one example, as they are written in the data."""
    columns, part = loaded.schema.conditions, points.parts[split]
    if not columns:
        return {}
    own = np.asarray(context_of_all(part.subset(np.array([place])))).reshape(-1)
    written = [column.as_written(own[index : index + 1].astype(np.float32))[0] for index, column in enumerate(columns)]
    return {"given": {column.name: str(value) for column, value in zip(columns, written, strict=True)}}


@torch.inference_mode()
def _encode(loaded: LoadedRun, model: VAE, x: Float[torch.Tensor, "1 *event"]) -> Detail:
    posterior = model.encode(x)
    log_variance = posterior.variance.log()[0].cpu().numpy() if loaded.has_variances else None
    return _posterior(posterior.centre[0].cpu().numpy(), log_variance) | {"covariance": _covariance(loaded, posterior)}


def _covariance(loaded: LoadedRun, posterior: Distribution) -> list[list[float]] | None:
    """The covariance of a posterior that is not diagonal; None for a large one, of which only variances are sent."""
    if not loaded.has_variances or isinstance(posterior, DiagonalNormal) or loaded.latent_dim > MAX_COVARIANCE:
        return None
    covariance: list[list[float]] = posterior.covariance[0].cpu().tolist()
    return covariance


def _posterior(mean: np.ndarray, log_variance: np.ndarray | None) -> Detail:
    spread = None if log_variance is None else finite(log_variance.tolist())
    return {"mean": finite(mean.tolist()), "log_variance": spread}


def _label(label: int, names: Sequence[str]) -> Detail:
    return {"label": None if label < 0 else label, "label_name": name_of_label(label, names)}


def _labelled(neighbours: list[tuple[int, float]], latents: Latents) -> list[Detail]:
    return [
        {"index": index, "distance": finite(distance), "label_name": latents.label_name(index)}
        for index, distance in neighbours
    ]


def _image(image: np.ndarray) -> Detail:
    return {"shape": list(image.shape), "data": b64encode(np.ascontiguousarray(image).tobytes()).decode()}

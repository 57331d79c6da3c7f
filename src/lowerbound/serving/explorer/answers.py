"""What is said of a single example: a point of the scatter, or an image that someone brings."""

from base64 import b64encode
from functools import partial
from typing import Any

import numpy as np
import torch

from lowerbound.data.batches import scaled
from lowerbound.errors import DataError
from lowerbound.seeding import generator
from lowerbound.serving.explorer.codes import Codes, nearest_codes
from lowerbound.serving.explorer.pixels import nearest_pixels
from lowerbound.serving.explorer.points import Points, seen_one
from lowerbound.serving.explorer.scoring import Bound, bound_of
from lowerbound.serving.explorer.space import Space, as_shown
from lowerbound.serving.explorer.uploads import Upload

Answer = dict[str, Any]


def about_point(space: Space, points: Points, codes: Codes, index: int) -> Answer:
    """One point: which example it is, its posterior, and its bound on draws seeded by its index."""
    split, position = points.place(index)
    bound = Bound()
    if points.convention:
        x = seen_one(points, index).to(space.device)
        bound = bound_of(space.model, x, generator(index, "explorer/point", space.device))
    return {
        **_identity(codes, index, points.names[split], position, points.label_names),
        **_posterior(codes.mean[index], None if codes.log_variance is None else codes.log_variance[index]),
        **bound.as_json(),
        "convention": points.convention,
    }


def about_stored_point(space: Space, codes: Codes, index: int) -> Answer:
    """One point of which the results alone are left: its code and, where they were kept, its bound."""
    if not 0 <= index < len(codes):
        raise DataError(f"there is no example {index}; they are numbered from 0 to {len(codes) - 1}.")
    elbos, errors = space.known.get("elbo_per_image"), space.known.get("reconstruction_error_per_image")
    bound = Bound(
        elbo=None if elbos is None else float(elbos[index]),
        reconstruction_error=None if errors is None else float(errors[index]),
        num_draws=0 if elbos is None else space.experiment.evaluation.num_draws,
    )
    return {
        **_identity(codes, index, "test", index, ()),
        **_posterior(codes.mean[index], None),
        **bound.as_json(),
        "convention": "",
    }


def about_neighbours(codes: Codes, points: Points | None, z: np.ndarray) -> Answer:
    """The points whose codes lie nearest to z."""
    return {"codes": _named(nearest_codes(codes, z), codes, () if points is None else points.label_names)}


@torch.inference_mode()
def about_upload(space: Space, upload: Upload) -> Answer:
    """An image's posterior and bound, and what the model saw of it."""
    x = scaled(upload.examples).to(space.device)
    posterior = space.model.encode(x)
    log_variance = None if space.model.is_deterministic else posterior.variance.log()[0].cpu().numpy()
    notes, convention, bound = list(upload.notes), "", Bound()
    try:
        convention = space.model.likelihood.convention(upload.examples.support)
        bound = bound_of(space.model, x, generator(0, "explorer/upload", space.device))
    except DataError as error:
        notes.append(f"no bound: {error}")
    binarisation = space.experiment.data.binarisation
    if convention == "grey" and binarisation != "none":
        notes.append(f"scored as grey pixels, the run's own numbers are of {binarisation} binarisation")
    return {
        **_posterior(posterior.mean[0].cpu().numpy(), log_variance),
        **bound.as_json(),
        "convention": convention,
        "seen": _seen(as_shown(space.layout, x)["images"][0]),
        "notes": notes,
    }


def neighbours_of_upload(points: Points | None, codes: Codes, upload: Upload, mean: list[float]) -> Answer:
    """Examples that look most like an image, and those whose codes lie nearest to its own."""
    near = about_neighbours(codes, points, np.array(mean, np.float32))
    if points is None:
        return {"pixels": [], **near}
    x = upload.examples.values.reshape(-1) / np.float32(upload.examples.max_value)
    return {"pixels": _named(nearest_pixels(points, x), codes, points.label_names), **near}


def _identity(codes: Codes, index: int, split: str, position: int, names: tuple[str, ...]) -> Answer:
    label = int(codes.labels[index])
    return {
        "index": index,
        "id_in_split": position,
        "split": split,
        "label": None if label < 0 else label,
        "label_name": _label_name(label, names),
    }


def _posterior(mean: np.ndarray, log_variance: np.ndarray | None) -> Answer:
    return {"mean": mean.tolist(), "log_variance": None if log_variance is None else log_variance.tolist()}


def _named(found: list[tuple[int, float]], codes: Codes, names: tuple[str, ...]) -> list[Answer]:
    label_name = partial(_label_name, names=names)
    return [
        {"index": index, "distance": distance, "label_name": label_name(int(codes.labels[index]))}
        for index, distance in found
    ]


def _label_name(label: int, names: tuple[str, ...]) -> str | None:
    """What a label is called; one without a name by its number."""
    if label < 0:
        return None
    return names[label] if label < len(names) else str(label)


def _seen(image: np.ndarray) -> Answer:
    return {"shape": list(image.shape), "data": b64encode(np.ascontiguousarray(image).tobytes()).decode()}

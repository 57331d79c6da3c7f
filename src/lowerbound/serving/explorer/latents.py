"""Latents of all points: the posterior's mean and log-variance of each, and which of them lie near."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, UInt8

from lowerbound.serving.explorer.loaded_run import Arrays, Space
from lowerbound.serving.explorer.points import Dataset, seen

NUM_NEIGHBOURS = 8


@dataclass(frozen=True, eq=False)
class Latents:
    """A posterior for each point, and what the points are."""

    mean: Float32[np.ndarray, "n latent"]
    log_variance: Float32[np.ndarray, "n latent"] | None  # None where it is not known, or there is none
    labels: Int32[np.ndarray, " n"]
    split: UInt8[np.ndarray, " n"]
    label_names: tuple[str, ...] = ()
    split_names: tuple[str, ...] = ("test",)

    def __len__(self) -> int:
        return len(self.mean)

    def label_name(self, index: int) -> str | None:
        """What a point's label is called: by its number, where it has no name; None for a point without."""
        label = int(self.labels[index])
        if label < 0:
            return None
        return self.label_names[label] if label < len(self.label_names) else str(label)

    def arrays(self) -> Arrays:
        """By name, as they are sent."""
        spread = {} if self.log_variance is None else {"log_variance": self.log_variance}
        return {"mean": self.mean, **spread, "labels": self.labels, "split": self.split}


@torch.inference_mode()
def encode_chunk(space: Space, points: Dataset, chunk: tuple[int, int]) -> Float32[np.ndarray, "heads n latent"]:
    """Means and, unless the code is a point, log-variances of one part of the points."""
    posterior = space.model.encode(seen(points, *chunk).to(space.device))
    heads = [posterior.mean] if space.model.is_deterministic else [posterior.mean, posterior.variance.log()]
    return torch.stack(heads).float().cpu().numpy()


def codes_of(points: Dataset, encoded: list[np.ndarray]) -> Latents:
    """All parts together, in the points' order."""
    heads = np.concatenate(encoded, axis=1)
    log_variance = heads[1] if len(heads) > 1 else None
    return Latents(heads[0], log_variance, points.labels, points.split, points.label_names, points.names)


def stored_codes(space: Space) -> Latents | None:
    """Latents of the test examples as the run's results hold them, for where the data themselves are gone."""
    mean = space.known.get("latent_mean")
    if mean is None or not len(mean):
        return None
    labels = space.known.get("labels", np.full(len(mean), -1))
    split = np.zeros(len(mean), np.uint8)
    return Latents(mean.astype(np.float32), None, labels.astype(np.int32), split, space.label_names)


def widest_axes(mean: Float[np.ndarray, "n latent"]) -> list[int]:
    """The two latents with the greatest variance of their posterior means, greatest first; one if there is no other."""
    return [int(axis) for axis in np.argsort(-mean.var(0), kind="stable")[:2]]


def nearest_codes(
    codes: Latents, z: Float[np.ndarray, " latent"], num: int = NUM_NEIGHBOURS
) -> list[tuple[int, float]]:
    """Index and Euclidean distance in z of the points whose posterior means lie nearest, nearest first."""
    distances = np.linalg.norm(codes.mean - z.astype(np.float32), axis=1)
    return nearest(distances, num)


def nearest(distances: Float[np.ndarray, " n"], num: int) -> list[tuple[int, float]]:
    """The `num` least distances with their indices; equal ones in the points' order."""
    num = min(num, len(distances))
    chosen = np.argpartition(distances, num - 1)[:num]
    chosen = chosen[np.lexsort((chosen, distances[chosen]))]
    return [(int(index), float(distances[index])) for index in chosen]

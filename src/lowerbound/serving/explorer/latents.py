"""Latents of all examples: mean and log-variance of each posterior, from the encoder or from the stored results."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, UInt8

from lowerbound.serving.explorer.loaded_run import Arrays, LoadedRun
from lowerbound.serving.explorer.points import Dataset, model_input


@dataclass(frozen=True, eq=False)
class Latents:
    """The posteriors of all examples, with their labels and splits."""

    mean: Float32[np.ndarray, "n latent"]  # or another centre, in a space that does not contain means
    log_variance: Float32[np.ndarray, "n latent"] | None  # None if unknown or undefined
    labels: Int32[np.ndarray, " n"]
    split: UInt8[np.ndarray, " n"]
    label_names: tuple[str, ...] = ()
    split_names: tuple[str, ...] = ("test",)

    def __len__(self) -> int:
        return len(self.mean)

    def label_name(self, index: int) -> str | None:
        """The name of an example's label, or its number if it has no name; None without a label."""
        label = int(self.labels[index])
        if label < 0:
            return None
        return self.label_names[label] if label < len(self.label_names) else str(label)

    def arrays(self) -> Arrays:
        """The arrays by name, as they are sent to the page."""
        spread = {} if self.log_variance is None else {"log_variance": self.log_variance}
        return {"mean": self.mean, **spread, "labels": self.labels, "split": self.split}


@torch.inference_mode()
def encode_chunk(loaded: LoadedRun, points: Dataset, chunk: tuple[int, int]) -> Float32[np.ndarray, "heads n latent"]:
    """The centres of one chunk of examples and, for random real latents, their log-variances."""
    posterior = loaded.model.encode(model_input(points, *chunk).to(loaded.device))
    heads = [posterior.centre]
    if loaded.has_variances:
        heads.append(posterior.variance.log())
    return torch.stack(heads).float().cpu().numpy()


def join_chunks(points: Dataset, encoded: list[np.ndarray]) -> Latents:
    """The latents of all chunks, in the order of the examples."""
    heads = np.concatenate(encoded, axis=1)
    log_variance = heads[1] if len(heads) > 1 else None
    return Latents(heads[0], log_variance, points.labels, points.split, points.label_names, points.names)


def stored_latents(loaded: LoadedRun) -> Latents | None:
    """The latents of the test examples stored in the run's results, for runs whose data are unavailable."""
    mean = loaded.results.get("latent_mean")
    if mean is None or not len(mean):
        return None
    labels = loaded.results.get("labels", np.full(len(mean), -1))
    split = np.zeros(len(mean), np.uint8)
    return Latents(mean.astype(np.float32), None, labels.astype(np.int32), split, loaded.label_names)


def widest_axes(mean: Float[np.ndarray, "n latent"]) -> list[int]:
    """The two latents with the largest variance of their posterior means, in that order; one if there is only one."""
    return [int(axis) for axis in np.argsort(-mean.var(0), kind="stable")[:2]]

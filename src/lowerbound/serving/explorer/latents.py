"""Latents of all examples: mean and log-variance of each posterior, from the encoder or from the stored results."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, UInt8

from lowerbound.serving.explorer.loaded_run import Arrays, LoadedRun
from lowerbound.serving.explorer.points import Dataset, model_input, model_of


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
        return name_of_label(int(self.labels[index]), self.label_names)

    def rows(self, start: int) -> "Latents":
        """The latents from `start` on."""
        log_variance = None if self.log_variance is None else self.log_variance[start:]
        return replace(
            self,
            mean=self.mean[start:],
            log_variance=log_variance,
            labels=self.labels[start:],
            split=self.split[start:],
        )

    def arrays(self) -> Arrays:
        """The arrays by name, as they are sent to the page."""
        spread = {} if self.log_variance is None else {"log_variance": self.log_variance}
        return {"mean": self.mean, **spread, "labels": self.labels, "split": self.split}


def name_of_label(label: int, names: Sequence[str]) -> str | None:
    """The name of a label, or its number if it has no name; None for -1, an unknown label."""
    if label < 0:
        return None
    return names[label] if label < len(names) else str(label)


@torch.inference_mode()
def encode_chunk(loaded: LoadedRun, points: Dataset, chunk: tuple[int, int]) -> Float32[np.ndarray, "heads n latent"]:
    """The centres of one chunk of examples and, for random real latents, their log-variances."""
    posterior = model_of(loaded.model, points, *chunk).encode(model_input(points, *chunk).to(loaded.device))
    heads = [posterior.centre]
    if loaded.has_variances:
        heads.append(posterior.variance.log())
    return torch.stack(heads).float().cpu().numpy()


def join_chunks(points: Dataset, encoded: list[np.ndarray], start: int = 0) -> Latents:
    """The latents of all chunks, or of the first ones, in the order of the examples, from the example `start` on."""
    heads = np.concatenate(encoded, axis=1)
    log_variance = heads[1] if len(heads) > 1 else None
    end = heads.shape[1]
    latents = Latents(heads[0], log_variance, points.labels[:end], points.split[:end], points.label_names, points.names)
    return latents.rows(start)


def stored_latents(loaded: LoadedRun) -> Latents | None:
    """The latents of the test examples stored in the run's results, for runs whose data are unavailable."""
    mean = loaded.results.get("latent_mean")
    if mean is None or not len(mean):
        return None
    labels = loaded.results.get("labels", np.full(len(mean), -1))
    split = np.zeros(len(mean), np.uint8)
    return Latents(mean.astype(np.float32), None, labels.astype(np.int32), split, loaded.label_names)


def no_latents(loaded: LoadedRun) -> Latents:
    """The latents of no examples."""
    nothing = np.zeros(0)
    return Latents(
        np.zeros((0, loaded.latent_dim), np.float32), None, nothing.astype(np.int32), nothing.astype(np.uint8)
    )


def widest_axes(mean: Float[np.ndarray, "n latent"]) -> list[int]:
    """The two latents with the largest variance of their posterior means, in that order; one if there is only one."""
    return [int(axis) for axis in np.argsort(-mean.var(0), kind="stable")[:2]]

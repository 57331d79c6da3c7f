"""Anomaly scores: how unlike the training data an example is. Higher is stranger, for each of them.

    negative-elbo       −ELBO, in nats
    importance          −log p(x) by importance weighting, in nats; the same without what the encoder misses
    typicality          |−ELBO − its mean over held-out examples|: what is too probable is strange as well
    complexity          −ELBO less the length of the image as a PNG, in nats: simple images are probable under any model
    typical-complexity  how far from held-out examples of its own complexity the −ELBO lies, in their deviations

An all-black image is the most probable of all under a model of digits, and no digit: −ELBO alone never finds it.

Sources: Nalisnick et al., "Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality",
arXiv:1906.02994, one example at a time; Serrà et al., "Input Complexity and Out-of-distribution Detection with
Likelihood-based Generative Models", arXiv:1909.11480, Equation 2.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image

from lowerbound.data.sources import Examples
from lowerbound.errors import ConfigError
from lowerbound.evaluation.evaluate import expected_terms
from lowerbound.evaluation.importance import importance_sweep
from lowerbound.model import VAE

NUM_DRAWS = 16  # for the ELBO
IMPORTANCE_DRAWS = 100
NUM_BANDS = 10
"""Bands of equal numbers of held-out examples, by complexity, that each have a mean and a deviation of their own."""

LEAST_IN_BAND = 30


@dataclass(frozen=True, eq=False)
class Measured:
    """What scores are made of, example by example, in nats."""

    negative_elbo: Float[np.ndarray, " n"]
    negative_log_evidence: Float[np.ndarray, " n"]  # importance-weighted; NaN where it was not asked for
    complexity: Float[np.ndarray, " n"]  # length of a PNG of the image; NaN where there are no images


@dataclass(frozen=True, eq=False)
class Calibration:
    """Held-out examples of the training data: what is normal, and how strange a few of them look."""

    measured: Measured

    def scores(self, measured: Measured) -> dict[str, Float[np.ndarray, " n"]]:
        """Every score that can be computed of some examples."""
        found = {name: score(self.measured, measured) for name, score in SCORES.items()}
        return {name: values for name, values in found.items() if not np.isnan(values).any()}

    def thresholds(self, false_alarm_rate: float) -> dict[str, float]:
        """Of each score the value that this share of held-out examples exceeds."""
        num = len(self.measured.negative_elbo)
        if not 1 / num <= false_alarm_rate < 1:
            accepted = f"from {1 / num:.2g} (one of {num:,} held-out examples) to below 1"
            raise ConfigError(f"the false-alarm rate is {false_alarm_rate:g}, accepted is {accepted}.")
        return {
            name: float(np.quantile(values, 1 - false_alarm_rate, method="higher"))
            for name, values in self.scores(self.measured).items()
        }


def measure(
    model: VAE, examples: Examples, seed: int = 0, device: torch.device | str = "cpu", importance: bool = True
) -> Measured:
    """What the model makes of each example; ConfigError for a deterministic autoencoder."""
    if model.is_deterministic:
        raise ConfigError("a deterministic autoencoder has no ELBO; anomaly scores need a variational one.")
    terms = expected_terms(model, examples, NUM_DRAWS, seed, device)
    unknown = np.full(len(examples), np.nan)
    evidence = unknown
    if importance:
        evidence = -importance_sweep(model, examples, [IMPORTANCE_DRAWS], seed, device).log_evidence.numpy()
    return Measured(-terms.elbo.double().numpy(), evidence, complexity(examples))


def complexity(examples: Examples) -> Float[np.ndarray, " n"]:
    """Length of each image as an optimised PNG, in nats; NaN for what is no image."""
    if examples.layout != "image" or examples.event_shape[0] not in (1, 3):
        return np.full(len(examples), np.nan)
    scale = 255 / examples.max_value
    return np.array([_png_length(np.rint(image * scale).astype(np.uint8)) for image in examples.values]) * math.log(2)


def is_anomalous(
    scores: Mapping[str, Float[np.ndarray, " n"]], thresholds: Mapping[str, float], name: str
) -> Bool[np.ndarray, " n"]:
    """Whether a score exceeds its threshold."""
    return scores[name] > thresholds[name]


def recommended(scores: Mapping[str, object]) -> str:
    """The score to go by: the first of these that could be computed."""
    return next(name for name in RECOMMENDED if name in scores)


def _png_length(image: np.ndarray) -> int:
    """Bits of the whole file; its header is the same for all images of a size."""
    file = BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(file, "PNG", optimize=True)
    return 8 * len(file.getvalue())


def _negative_elbo(normal: Measured, measured: Measured) -> Float[np.ndarray, " n"]:
    return measured.negative_elbo


def _importance(normal: Measured, measured: Measured) -> Float[np.ndarray, " n"]:
    return measured.negative_log_evidence


def _typicality(normal: Measured, measured: Measured) -> Float[np.ndarray, " n"]:
    return np.abs(measured.negative_elbo - normal.negative_elbo.mean())


def _complexity(normal: Measured, measured: Measured) -> Float[np.ndarray, " n"]:
    return measured.negative_elbo - measured.complexity


def _typical_complexity(normal: Measured, measured: Measured) -> Float[np.ndarray, " n"]:
    """|−ELBO − mean| / deviation within the band of held-out examples that are as complex."""
    if np.isnan(normal.complexity).any() or len(normal.complexity) < 2 * LEAST_IN_BAND:
        return np.full(len(measured.negative_elbo), np.nan)
    num_bands = min(NUM_BANDS, len(normal.complexity) // LEAST_IN_BAND)
    edges = np.quantile(normal.complexity, np.arange(1, num_bands) / num_bands)
    band_of_normal, band = np.searchsorted(edges, normal.complexity), np.searchsorted(edges, measured.complexity)
    score = np.empty(len(measured.negative_elbo))
    for number in range(num_bands):
        members = normal.negative_elbo[band_of_normal == number]
        members = members if len(members) > 1 else normal.negative_elbo
        score[band == number] = np.abs(measured.negative_elbo[band == number] - members.mean()) / members.std()
    return score


Score = Callable[[Measured, Measured], Float[np.ndarray, " n"]]

SCORES: dict[str, Score] = {
    "negative-elbo": _negative_elbo,
    "importance": _importance,
    "typicality": _typicality,
    "complexity": _complexity,
    "typical-complexity": _typical_complexity,
}

RECOMMENDED = ("typicality",)

"""Anomaly scores: how unlike the training data an example is, in nats. Higher is stranger, for each of them.

    negative-elbo         −ELBO
    importance            −log p(x) by importance weighting; the same without what the encoder misses
    typicality            |−ELBO − its mean over held-out examples|: what is too probable is strange as well
    complexity            −ELBO less the length of the image as a PNG: simple images are probable under any model
    complexity-residual   −ELBO less what held-out images of that length have, by linear regression on it, and no more
                          than what the regression gives any of them

An all-black image is among the most probable of all under a model of digits, and no digit: −ELBO alone does not find
it. The length of a PNG tells how simple it is, but is no probability under any model of these data: nats of the one
are worth more than nats of the other, and the regression says how many.

Sources: Nalisnick et al., "Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality",
arXiv:1906.02994, one example at a time; Serrà et al., "Input Complexity and Out-of-distribution Detection with
Likelihood-based Generative Models", arXiv:1909.11480, Equation 2. The regression is this project's own.
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


@dataclass(frozen=True, eq=False)
class Measured:
    """What scores are made of, example by example, in nats."""

    negative_elbo: Float[np.ndarray, " n"]
    negative_log_evidence: Float[np.ndarray, " n"] | None  # importance-weighted, where it was asked for
    complexity: Float[np.ndarray, " n"] | None  # length of a PNG, of images


@dataclass(frozen=True, eq=False)
class Calibration:
    """Held-out examples of the training data: what is normal, and how strange a few of them look."""

    measured: Measured

    def scores(self, measured: Measured) -> dict[str, Float[np.ndarray, " n"]]:
        """Every score that can be computed of some examples."""
        found = {name: score(self.measured, measured) for name, score in SCORES.items()}
        return {name: values for name, values in found.items() if values is not None}

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
    evidence = None
    if importance:
        evidence = -importance_sweep(model, examples, [IMPORTANCE_DRAWS], seed, device).log_evidence.numpy()
    return Measured(-terms.elbo.double().numpy(), evidence, complexity(examples))


def complexity(examples: Examples) -> Float[np.ndarray, " n"] | None:
    """Length of each image as an optimised PNG, in nats; None for what is no grey or colour image."""
    if examples.layout != "image" or examples.event_shape[0] not in (1, 3):
        return None
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


Values = Float[np.ndarray, " n"]


def _negative_elbo(normal: Measured, measured: Measured) -> Values:
    return measured.negative_elbo


def _importance(normal: Measured, measured: Measured) -> Values | None:
    return measured.negative_log_evidence


def _typicality(normal: Measured, measured: Measured) -> Values:
    return np.abs(measured.negative_elbo - normal.negative_elbo.mean())


def _complexity(normal: Measured, measured: Measured) -> Values | None:
    return None if measured.complexity is None else measured.negative_elbo - measured.complexity


def _complexity_residual(normal: Measured, measured: Measured) -> Values | None:
    if normal.complexity is None or measured.complexity is None:
        return None
    spread = normal.complexity - normal.complexity.mean()
    variance = spread @ spread  # zero where all are as complex: then their mean is all that is known
    slope = spread @ normal.negative_elbo / variance if variance else 0.0
    expected = normal.negative_elbo.mean() + slope * (measured.complexity - normal.complexity.mean())
    # Noise is more complex than anything held out, and no line may excuse it further than the most that these cost.
    most = normal.negative_elbo.mean() + (slope * spread).max()
    return measured.negative_elbo - np.minimum(expected, most)


Score = Callable[[Measured, Measured], Values | None]
"""Of held-out examples and of those to judge; None where it cannot be computed."""

SCORES: dict[str, Score] = {
    "negative-elbo": _negative_elbo,
    "importance": _importance,
    "typicality": _typicality,
    "complexity": _complexity,
    "complexity-residual": _complexity_residual,
}

RECOMMENDED = ("complexity-residual", "negative-elbo")
"""The best of those that could be computed: what is no image has no complexity."""

"""Anomaly scores (−ELBO, typicality, PNG complexity, missing cells), calibrated on held-out examples.

Scores are in nats; higher is more anomalous.

    negative-elbo        −ELBO
    importance           −log p(x) by importance weighting, which removes most of the encoder's gap; on request
    typicality           |−ELBO − its mean over held-out examples|: examples that are too probable are unusual as well
    missing-adjusted     for tables: −ELBO, with each missing cell charged the average cost of its column
    complexity           −ELBO minus the length of the image as a PNG: simple images are probable under any model
    complexity-residual  −ELBO minus its value predicted from the PNG length, by linear regression over held-out
                         images; the prediction is capped at its maximum over them

A row of a table with missing cells has fewer terms in its −ELBO, so it would look more normal the more cells are
missing. Each missing cell is therefore charged the mean of −log p(cell|z) over held-out rows that have it, and one
threshold applies to all rows. A row without any known cell has no score.

Thresholds are those of split conformal prediction (`evaluation.conformal`), which needs held-out scores that are
exchangeable with new ones. An example is not exchangeable if a mean or a regression was fitted to it. Means and
regressions are therefore fitted to every second held-out example, and the threshold comes from the others.

An all-black image is among the most probable images under a model of digits, although it is not a digit: −ELBO alone
does not detect it. The length of a PNG measures simplicity, but is not a probability under any model of these data: its
nats and the model's have different scales, which the regression relates.

Sources: Nalisnick et al., "Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality",
arXiv:1906.02994, for single examples; Serrà et al., "Input Complexity and Out-of-distribution Detection with
Likelihood-based Generative Models", arXiv:1909.11480, Equation 2. The regression is original to this project.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image

from lowerbound.data.examples import Examples
from lowerbound.evaluation.conformal import Threshold, conformal_threshold, least_rate, num_above, rounded_up
from lowerbound.evaluation.element_costs import element_costs
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.evaluation.importance import importance_sweep
from lowerbound.foundation.errors import ConfigError, RunError, UnknownName, UsageError
from lowerbound.foundation.run_identity import check_mark, mark_with_model
from lowerbound.foundation.strict import parsed
from lowerbound.foundation.tensor_files import load_tensors, save_tensors
from lowerbound.models.vae import VAE
from lowerbound.probability.table_likelihood import TableLikelihood

DEFAULT_RATE = 0.05  # of false alarms
NUM_DRAWS = 16  # for the ELBO
IMPORTANCE_DRAWS = 100
MEAN = "mean_costs"  # of a file

Values = Float[np.ndarray, " n"]
"""One number for each example."""


@dataclass(frozen=True, eq=False)
class ExampleMeasurements:
    """Quantities of each example from which scores are computed, in nats."""

    negative_elbo: Float[np.ndarray, " n"]
    negative_log_evidence: Float[np.ndarray, " n"] | None = None  # importance-weighted; None if not requested
    complexity: Float[np.ndarray, " n"] | None = None  # length as a PNG; None unless images
    cell_costs: Float[np.ndarray, "n column"] | None = None  # −log p(cell|z) of tables; NaN for a missing cell

    def __len__(self) -> int:
        return len(self.negative_elbo)

    @property
    def is_known(self) -> Bool[np.ndarray, " n"]:
        """Whether an example can be scored: false for a row whose cells are all missing."""
        everything = np.isfinite(self.negative_elbo)
        return everything if self.cell_costs is None else everything & ~np.isnan(self.cell_costs).all(axis=1)

    @classmethod
    def joined(cls, parts: Sequence["ExampleMeasurements"]) -> "ExampleMeasurements":
        """The measurements of several parts, one after another."""
        columns = {name: [getattr(part, name) for part in parts] for name in vars(parts[0])}
        found: dict[str, Any] = {
            name: None if values[0] is None else np.concatenate(values) for name, values in columns.items()
        }
        return cls(**found)

    def subset(self, chosen: Bool[np.ndarray, " n"]) -> "ExampleMeasurements":
        """The chosen examples."""
        parts = {name: None if values is None else values[chosen] for name, values in vars(self).items()}
        return ExampleMeasurements(**parts)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class AnomalyVerdicts:
    """Anomaly scores of examples, the thresholds, and the verdict by one of the scores."""

    scores: dict[str, Float[np.ndarray, " n"]]  # higher is more anomalous; NaN if undefined
    thresholds: dict[str, Threshold]  # of each score with enough held-out examples for the requested rate
    by: str  # the score that decides

    @property
    def threshold(self) -> Threshold:
        """The threshold of the score that decides."""
        return self.thresholds[self.by]

    @property
    def is_scored(self) -> Bool[np.ndarray, " n"]:
        """Whether the deciding score is defined; otherwise there is no verdict."""
        return np.isfinite(self.scores[self.by])

    @property
    def is_anomalous(self) -> Bool[np.ndarray, " n"]:
        """Whether the score exceeds its threshold; false if it is undefined."""
        return self.is_scored & (self.scores[self.by] > self.threshold.value)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Measurements of held-out examples, which give scores their means, fits and thresholds."""

    measured: ExampleMeasurements
    mean_costs: Float[np.ndarray, "*event"] | None = None
    """Distortion of each element, in nats: the mean over held-out examples; None if it cannot be taken apart."""

    def __len__(self) -> int:
        return len(self.measured)

    @cached_property
    def normal(self) -> ExampleMeasurements:
        """The held-out examples with at least one known value."""
        return self.measured.subset(self.measured.is_known)

    @cached_property
    def fitted(self) -> ExampleMeasurements:
        """Every second normal example: scores are fitted to these."""
        return self.normal.subset(self._is_for_fits)

    @cached_property
    def unfitted(self) -> ExampleMeasurements:
        """The other normal examples: thresholds of fitted scores come from these."""
        return self.normal.subset(~self._is_for_fits)

    @property
    def _is_for_fits(self) -> Bool[np.ndarray, " n"]:
        # Not the first half: if the data drift or are sorted by class, both sets still have the same distribution.
        return np.arange(len(self.normal)) % 2 == 1

    def judge(
        self, measured: ExampleMeasurements, by: str = "", false_alarm_rate: float | None = None
    ) -> AnomalyVerdicts:
        """Every score of some examples, and the verdict by the score `by` (default: `recommended_score`).

        `false_alarm_rate` is the share of normal examples that may be flagged; by default 0.05, or the smallest rate
        that the number of held-out examples allows. ConfigError for a smaller one.
        """
        if by and by not in SCORES:
            raise UnknownName("score", by, SCORES)
        found, held_out = self.scores(measured), self.held_out_scores()
        usable = [name for name in found if len(held_out.get(name, ()))]
        if not usable:
            raise UsageError("no score has a threshold: no held-out example has a known value.")
        if by and by not in usable:
            raise UsageError(f"score {by!r} cannot be computed for these data; accepted: {', '.join(usable)}.")
        chosen, known = by or recommended_score(usable), measured.is_known
        _check_rate(false_alarm_rate, chosen, held_out)
        scores = {
            name: np.where(known & np.isfinite(values), values, np.nan).astype(np.float64)
            for name, values in found.items()
        }
        return AnomalyVerdicts(scores, self.thresholds(false_alarm_rate), chosen)

    def write(self, path: Path) -> None:
        """Write the measurements to a file, atomically."""
        found = {**{one.name: getattr(self.measured, one.name) for one in fields(self.measured)}, MEAN: self.mean_costs}
        arrays = {name: torch.from_numpy(values) for name, values in found.items() if values is not None}
        about = {"num_draws": NUM_DRAWS, "importance_draws": IMPORTANCE_DRAWS}
        save_tensors(path, arrays, about | mark_with_model(path.parent))

    @classmethod
    def read(cls, path: Path) -> "Calibration":
        """Read a file from `write`; RunError if it is missing, damaged, or from another run or model."""
        arrays, about = load_tensors(path)
        parsed(_Metadata, about, str(path))
        check_mark(path.parent, path.name, about)
        mean_costs = arrays.pop(MEAN, None)
        return cls(_parse_measurements(arrays, path), None if mean_costs is None else mean_costs.double().numpy())

    def scores(self, measured: ExampleMeasurements) -> dict[str, Values]:
        """Every score that can be computed for some examples."""
        found = {name: self._of(score, measured) for name, score in SCORES.items()}
        return {name: values for name, values in found.items() if values is not None}

    def held_out_scores(self) -> dict[str, Values]:
        """The scores of held-out examples from which thresholds are computed, undefined ones omitted."""
        parts = {name: self.unfitted if score.is_fitted else self.normal for name, score in SCORES.items()}
        found = {name: self._of(SCORES[name], part) for name, part in parts.items()}
        return {name: values[~np.isnan(values)] for name, values in found.items() if values is not None}

    def _of(self, score: "AnomalyScore", measured: ExampleMeasurements) -> Values | None:
        normal = self.fitted if score.is_fitted else self.normal
        return score.compute(normal, measured) if len(normal) else None

    def thresholds(self, false_alarm_rate: float | None = None) -> dict[str, Threshold]:
        """For each score, the threshold that at most this share of normal examples is expected to exceed.

        The default rate is 0.05, or the smallest that the number of held-out examples allows. A score with too few
        held-out examples for the rate has no threshold.
        """
        found = {}
        for name, values in self.held_out_scores().items():
            rate = max(DEFAULT_RATE, least_rate(len(values))) if false_alarm_rate is None else false_alarm_rate
            if above := num_above(rate, len(values)):
                value = float(conformal_threshold(values, rate))
                found[name] = Threshold(value, above / (len(values) + 1), len(values))
        return found


def _check_rate(rate: float | None, name: str, held_out: Mapping[str, Values]) -> None:
    """ConfigError for a false-alarm rate that the score has too few held-out examples for."""
    num_examples = len(held_out[name])
    if rate is None or num_above(rate, num_examples):
        return
    least, remedy = rounded_up(least_rate(num_examples)), "hold out more examples (data.num_held_out)"
    most = max(held_out, key=lambda other: len(held_out[other]))
    if len(held_out[most]) > num_examples:
        remedy += f", or choose score {most!r}, which accepts {rounded_up(least_rate(len(held_out[most])))}"
    raise ConfigError(
        f"false-alarm rate {rate:g} is out of range; accepted: from {least} (1 / {num_examples + 1:,}, because the "
        f"threshold of score {name!r} comes from {num_examples:,} held-out examples) to below 1; "
        f"for a lower rate {remedy}."
    )


def mean_of_known(costs: Float[np.ndarray, "n *event"]) -> Float[np.ndarray, "*event"]:
    """The mean over examples without missing cells; 0 for an element that is missing in all of them."""
    is_known = ~np.isnan(costs)
    mean: np.ndarray = np.where(is_known, costs, 0.0).sum(0) / np.maximum(1, is_known.sum(0))
    return mean


def measure(
    model: VAE, examples: Examples, seed: int = 0, device: torch.device | str = "cpu", importance: bool = False
) -> ExampleMeasurements:
    """Measure each example; ConfigError for a deterministic autoencoder."""
    if model.is_deterministic:
        raise ConfigError("a deterministic autoencoder has no ELBO; anomaly scores need a variational one.")
    terms = expected_terms(model, examples, NUM_DRAWS, seed, device)
    evidence = negative_log_evidence(model, examples, seed, device) if importance else None
    has_cells = isinstance(model.likelihood, TableLikelihood)
    costs = element_costs(model, examples, NUM_DRAWS, seed, device) if has_cells else None
    return ExampleMeasurements(-terms.elbo.double().numpy(), evidence, complexity(examples), costs)


def negative_log_evidence(
    model: VAE, examples: Examples, seed: int, device: torch.device | str
) -> Float[np.ndarray, " n"]:
    """−log p(x) of each example by IMPORTANCE_DRAWS draws of its posterior, in nats."""
    found: np.ndarray = -importance_sweep(model, examples, [IMPORTANCE_DRAWS], seed, device).log_evidence.numpy()
    return found


def complexity(examples: Examples) -> Float[np.ndarray, " n"] | None:
    """Length of each image as an optimised PNG, in nats; None unless the examples are grey or colour images."""
    if examples.layout != "image" or examples.event_shape[0] not in (1, 3):
        return None
    low, high = examples.range
    # Clipped: floats may lie slightly outside of the range, which a PNG cannot represent.
    images = (np.rint((image.astype(np.float64) - low) / (high - low) * 255) for image in examples.values)
    return np.array([_png_length(image.clip(0, 255).astype(np.uint8)) for image in images]) * math.log(2)


def recommended_score(scores: Collection[str]) -> str:
    """The first of the RECOMMENDED scores that could be computed."""
    return next(name for name in RECOMMENDED if name in scores)


@dataclass(frozen=True, kw_only=True)
class _Metadata:
    """The metadata of calibration.safetensors."""

    num_draws: int
    importance_draws: int
    run: str = ""  # id of the run, and checksum of the model; empty outside of runs
    model: str = ""


def _parse_measurements(arrays: Mapping[str, torch.Tensor], path: Path) -> ExampleMeasurements:
    """The arrays of a file; RunError if they are not those of `ExampleMeasurements`."""
    num_examples = len(arrays.get("negative_elbo", ()))
    for name in {"negative_elbo"} | set(arrays):
        values = arrays.get(name)
        axes = 2 if name == "cell_costs" else 1
        is_known = name in {field.name for field in fields(ExampleMeasurements)}
        if not is_known or values is None or values.ndim != axes or len(values) != num_examples:
            raise RunError(f"{path} is damaged (array {name!r} is missing, unknown or of the wrong shape).")
    return ExampleMeasurements(**{name: values.double().numpy() for name, values in arrays.items()})


def _png_length(image: np.ndarray) -> int:
    """Bits of the whole file; its header is the same for all images of a size."""
    file = BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(file, "PNG", optimize=True)
    return 8 * len(file.getvalue())


def _negative_elbo(normal: ExampleMeasurements, measured: ExampleMeasurements) -> Values:
    return measured.negative_elbo


def _importance(normal: ExampleMeasurements, measured: ExampleMeasurements) -> Values | None:
    # Without held-out values there is no threshold.
    return None if normal.negative_log_evidence is None else measured.negative_log_evidence


def _typicality(normal: ExampleMeasurements, measured: ExampleMeasurements) -> Values:
    return np.abs(measured.negative_elbo - normal.negative_elbo.mean())


def _missing_adjusted(normal: ExampleMeasurements, measured: ExampleMeasurements) -> Values | None:
    if normal.cell_costs is None or measured.cell_costs is None:
        return None
    # A column that is missing in all held-out rows adds no cost.
    average = mean_of_known(normal.cell_costs)
    adjusted: np.ndarray = measured.negative_elbo + np.isnan(measured.cell_costs) @ average
    return adjusted


def _complexity(normal: ExampleMeasurements, measured: ExampleMeasurements) -> Values | None:
    return None if measured.complexity is None else measured.negative_elbo - measured.complexity


def _complexity_residual(normal: ExampleMeasurements, measured: ExampleMeasurements) -> Values | None:
    if normal.complexity is None or measured.complexity is None:
        return None
    spread = normal.complexity - normal.complexity.mean()
    variance = spread @ spread  # zero if all have equal complexity: the prediction is then the mean
    slope = spread @ normal.negative_elbo / variance if variance else 0.0
    expected = normal.negative_elbo.mean() + slope * (measured.complexity - normal.complexity.mean())
    # Noise is more complex than any held-out image: the line is not extrapolated above its largest held-out value.
    most = normal.negative_elbo.mean() + (slope * spread).max()
    return measured.negative_elbo - np.minimum(expected, most)


@dataclass(frozen=True)
class AnomalyScore:
    """An anomaly score, as a function of measurements."""

    compute: Callable[[ExampleMeasurements, ExampleMeasurements], Values | None]
    """From measurements of held-out examples and of those to score; None if it cannot be computed."""
    is_fitted: bool = False  # to held-out examples, which are then not exchangeable with new ones


SCORES: dict[str, AnomalyScore] = {
    "negative-elbo": AnomalyScore(_negative_elbo),
    "importance": AnomalyScore(_importance),
    "typicality": AnomalyScore(_typicality, is_fitted=True),
    "missing-adjusted": AnomalyScore(_missing_adjusted, is_fitted=True),
    "complexity": AnomalyScore(_complexity),
    "complexity-residual": AnomalyScore(_complexity_residual, is_fitted=True),
}

RECOMMENDED = ("complexity-residual", "missing-adjusted", "negative-elbo")
"""Recommended scores, in order of preference: for images, for tables, for everything else."""

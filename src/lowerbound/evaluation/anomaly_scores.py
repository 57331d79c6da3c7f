"""Anomaly scores: how unlike the training data an example is, in nats. Higher is stranger, for each of them.

    negative-elbo         −ELBO
    importance            −log p(x) by importance weighting; the same without what the encoder misses
    typicality            |−ELBO − its mean over held-out examples|: what is too probable is strange as well
    missing-adjusted      of tables: −ELBO, each missing cell charged what its column costs held-out rows on average
    complexity            −ELBO less the length of the image as a PNG: simple images are probable under any model
    complexity-residual   −ELBO less what held-out images of that length have, by linear regression on it, and no more
                          than what the regression gives any of them

A row of a table with missing cells has fewer terms in its −ELBO, and would look the more normal the less is known.
So each missing cell is charged the mean of −log p(cell|z) over held-out rows that have it, and one threshold does for
all. A row without a known cell has no score.

Thresholds are those of split conformal prediction (`evaluation.conformal`), which need held-out scores that are
exchangeable with new ones. An example that a mean or a regression was fitted to is not: it lies nearer to them. So what
is fitted to held-out examples, "its mean", "on average", "by linear regression", is fitted to every second one, and the
threshold comes from the others.

An all-black image is among the most probable of all under a model of digits, and no digit: −ELBO alone does not find
it. The length of a PNG tells how simple it is, but is no probability under any model of these data: nats of the one
are worth more than nats of the other, and the regression says how many.

Sources: Nalisnick et al., "Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality",
arXiv:1906.02994, one example at a time; Serrà et al., "Input Complexity and Out-of-distribution Detection with
Likelihood-based Generative Models", arXiv:1909.11480, Equation 2. The regression is this project's own.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image

from lowerbound.data.batches import Batches
from lowerbound.data.examples import Examples, evenly_spaced
from lowerbound.evaluation.conformal import Threshold, conformal_threshold, least_rate, num_above, rounded_up
from lowerbound.evaluation.importance import importance_sweep
from lowerbound.evaluation.quick_evaluation import BATCH_SIZE, expected_terms
from lowerbound.foundation.errors import ConfigError, RunError, UnknownName, UsageError
from lowerbound.foundation.run_identity import check_mark, mark_with_model
from lowerbound.foundation.seeding import content_noise
from lowerbound.foundation.storage import load_tensors, save_tensors
from lowerbound.foundation.strict import parsed
from lowerbound.models.vae import VAE
from lowerbound.probability.samples import draw
from lowerbound.probability.tables import TableRow

USUAL_RATE = 0.05  # of false alarms
NUM_DRAWS = 16  # for the ELBO
IMPORTANCE_DRAWS = 100
NUM_CALIBRATED = 1000
MAX_WEIGHTED = 200_000_000  # elements that are decoded for the importance-weighted score of held-out examples
LEAST_WEIGHTED = 20  # held-out examples that a threshold of it needs

Values = Float[np.ndarray, " n"]
"""One number for each example."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What scores are made of, example by example, in nats."""

    negative_elbo: Float[np.ndarray, " n"]
    negative_log_evidence: Float[np.ndarray, " n"] | None = None  # importance-weighted, where it was asked for
    complexity: Float[np.ndarray, " n"] | None = None  # length of a PNG, of images
    cell_costs: Float[np.ndarray, "n column"] | None = None  # −log p(cell|z) of tables; NaN where a cell is missing

    def __len__(self) -> int:
        return len(self.negative_elbo)

    @property
    def is_known(self) -> Bool[np.ndarray, " n"]:
        """Whether there is anything to score: not so of a row whose cells are all missing."""
        everything = np.isfinite(self.negative_elbo)
        return everything if self.cell_costs is None else everything & ~np.isnan(self.cell_costs).all(axis=1)

    def subset(self, chosen: Bool[np.ndarray, " n"]) -> "Measured":
        """The chosen examples."""
        parts = {name: None if values is None else values[chosen] for name, values in vars(self).items()}
        return Measured(**parts)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Judged:
    """Scores of some examples, and what a threshold makes of them."""

    scores: dict[str, Float[np.ndarray, " n"]]  # higher is stranger; NaN where there is none
    thresholds: dict[str, Threshold]  # of each score whose held-out examples are enough for the rate that was asked for
    by: str  # the score that decides

    @property
    def threshold(self) -> Threshold:
        """The one that decides."""
        return self.thresholds[self.by]

    @property
    def is_scored(self) -> Bool[np.ndarray, " n"]:
        """Whether there is a score to decide by; else there is no verdict either."""
        return np.isfinite(self.scores[self.by])

    @property
    def is_anomalous(self) -> Bool[np.ndarray, " n"]:
        """Whether the score exceeds its threshold; false where there is none."""
        return self.is_scored & (self.scores[self.by] > self.threshold.value)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Held-out examples of the training data: what is normal, and how strange a few of them look."""

    measured: Measured

    def __len__(self) -> int:
        return len(self.measured)

    @cached_property
    def normal(self) -> Measured:
        """The held-out examples of which something is known."""
        return self.measured.subset(self.measured.is_known)

    @cached_property
    def fitted(self) -> Measured:
        """Every second one of these: what scores are fitted to."""
        return self.normal.subset(self._is_for_fits)

    @cached_property
    def unfitted(self) -> Measured:
        """The others, from which fitted scores have their thresholds."""
        return self.normal.subset(~self._is_for_fits)

    @property
    def _is_for_fits(self) -> Bool[np.ndarray, " n"]:
        # Not the first half: data that drift, or lie in the order of their classes, are alike in both.
        return np.arange(len(self.normal)) % 2 == 1

    def judge(self, measured: Measured, by: str = "", false_alarm_rate: float | None = None) -> Judged:
        """Every score of some examples, and the verdict of one: of `by`, or of the first that is recommended.

        `false_alarm_rate` is the share of normal examples that may be flagged; without it a twentieth, or the least
        that the held-out examples can promise. ConfigError for one that is less than that.
        """
        if by and by not in SCORES:
            raise UnknownName("score", by, SCORES)
        found, held_out = self.scores(measured), self.held_out_scores()
        usable = [name for name in found if len(held_out.get(name, ()))]
        if not usable:
            raise UsageError("there is no threshold for any score: no held-out example has a known value.")
        if by and by not in usable:
            raise UsageError(f"score {by!r} cannot be computed for these data; accepted: {', '.join(usable)}.")
        chosen, known = by or recommended(usable), measured.is_known
        _check_rate(false_alarm_rate, chosen, held_out)
        scores = {
            name: np.where(known & np.isfinite(values), values, np.nan).astype(np.float64)
            for name, values in found.items()
        }
        return Judged(scores, self.thresholds(false_alarm_rate), chosen)

    def write(self, path: Path) -> None:
        """Write what was measured, atomically."""
        arrays = {name: torch.from_numpy(values) for name, values in vars(self.measured).items() if values is not None}
        about = {"num_draws": NUM_DRAWS, "importance_draws": IMPORTANCE_DRAWS}
        save_tensors(path, arrays, about | mark_with_model(path.parent))

    @classmethod
    def read(cls, path: Path) -> "Calibration":
        """What `write` wrote; RunError where it is missing, damaged, or of another run or model."""
        arrays, about = load_tensors(path)
        parsed(_About, about, str(path))
        check_mark(path.parent, path.name, about)
        return cls(_measured(arrays, path))

    def scores(self, measured: Measured) -> dict[str, Values]:
        """Every score that can be computed of some examples."""
        found = {name: self._of(score, measured) for name, score in SCORES.items()}
        return {name: values for name, values in found.items() if values is not None}

    def held_out_scores(self) -> dict[str, Values]:
        """The scores of held-out examples that thresholds come from, without those that have none."""
        parts = {name: self.unfitted if score.is_fitted else self.normal for name, score in SCORES.items()}
        found = {name: self._of(SCORES[name], part) for name, part in parts.items()}
        return {name: values[~np.isnan(values)] for name, values in found.items() if values is not None}

    def _of(self, score: "Score", measured: Measured) -> Values | None:
        normal = self.fitted if score.is_fitted else self.normal
        return score.compute(normal, measured) if len(normal) else None

    def thresholds(self, false_alarm_rate: float | None = None) -> dict[str, Threshold]:
        """Of each score the least value that no more than this share of normal examples is expected to exceed.

        Without a rate it is a twentieth, or the least that there are held-out examples for. A score with too few of
        them for the rate has no threshold.
        """
        found = {}
        for name, values in self.held_out_scores().items():
            rate = max(USUAL_RATE, least_rate(len(values))) if false_alarm_rate is None else false_alarm_rate
            if above := num_above(rate, len(values)):
                value = float(conformal_threshold(values, rate))
                found[name] = Threshold(value, above / (len(values) + 1), len(values))
        return found


def _check_rate(rate: float | None, name: str, held_out: Mapping[str, Values]) -> None:
    """ConfigError for a rate of false alarms that the score cannot have."""
    num_examples = len(held_out[name])
    if rate is None or num_above(rate, num_examples):
        return
    least, remedy = rounded_up(least_rate(num_examples)), "hold out more examples (data.num_held_out)"
    most = max(held_out, key=lambda other: len(held_out[other]))
    if len(held_out[most]) > num_examples:
        remedy += f", or choose score {most!r}, which accepts {rounded_up(least_rate(len(held_out[most])))}"
    raise ConfigError(
        f"the false-alarm rate is {rate:g}, accepted is from {least} (1 / {num_examples + 1:,}, as score {name!r} has "
        f"its threshold from {num_examples:,} held-out examples) to below 1; for less {remedy}."
    )


def calibrated(model: VAE, held_out: Examples, device: torch.device | str = "cpu") -> Calibration:
    """What is normal, from held-out examples, evenly spaced: at most NUM_CALIBRATED, and for the importance-weighted
    score, which decodes IMPORTANCE_DRAWS times as much, the number that a bounded amount of work allows.
    """
    some = held_out.subsample(NUM_CALIBRATED)
    measured = measure(model, some, device=device, importance=False)
    num_weighted = min(len(some), MAX_WEIGHTED // (IMPORTANCE_DRAWS * math.prod(held_out.event_shape)))
    if num_weighted < min(len(some), LEAST_WEIGHTED):
        return Calibration(measured)
    evidence, weighted = np.full(len(some), np.nan), evenly_spaced(len(some), num_weighted)
    evidence[weighted] = _negative_log_evidence(model, some.subset(weighted), 0, device)
    return Calibration(replace(measured, negative_log_evidence=evidence))


def measure(
    model: VAE, examples: Examples, seed: int = 0, device: torch.device | str = "cpu", importance: bool = True
) -> Measured:
    """What the model makes of each example; ConfigError for a deterministic autoencoder."""
    if model.is_deterministic:
        raise ConfigError("a deterministic autoencoder has no ELBO; anomaly scores need a variational one.")
    terms = expected_terms(model, examples, NUM_DRAWS, seed, device)
    evidence = _negative_log_evidence(model, examples, seed, device) if importance else None
    costs = _cell_costs(model, examples, seed, device) if examples.layout == "table" else None
    return Measured(-terms.elbo.double().numpy(), evidence, complexity(examples), costs)


def _negative_log_evidence(
    model: VAE, examples: Examples, seed: int, device: torch.device | str
) -> Float[np.ndarray, " n"]:
    found: np.ndarray = -importance_sweep(model, examples, [IMPORTANCE_DRAWS], seed, device).log_evidence.numpy()
    return found


@torch.no_grad()
def _cell_costs(
    model: VAE, examples: Examples, seed: int, device: torch.device | str
) -> Float[np.ndarray, "n column"] | None:
    """−E[log p(cell|z)] of every cell, over the draws of the ELBO; None for rows under another likelihood."""
    costs = []
    for batch in Batches(examples, BATCH_SIZE, device):
        x, conditioned = batch.x, model.given(batch.context)
        total = torch.zeros_like(x)
        for z in draw(conditioned.encode(x), content_noise(x, seed, "evaluation"), NUM_DRAWS):
            row = conditioned.decode(z)
            if not isinstance(row, TableRow):
                return None
            total -= row.cell_log_prob(x) / NUM_DRAWS
        costs.append(torch.where(x.isnan(), torch.nan, total))
    found: np.ndarray = torch.cat(costs).double().cpu().numpy()
    return found


def complexity(examples: Examples) -> Float[np.ndarray, " n"] | None:
    """Length of each image as an optimised PNG, in nats; None for what is no grey or colour image."""
    if examples.layout != "image" or examples.event_shape[0] not in (1, 3):
        return None
    low, high = examples.range
    # Of values beyond the range, such as floats that overshoot, what a PNG can hold.
    images = (np.rint((image.astype(np.float64) - low) / (high - low) * 255) for image in examples.values)
    return np.array([_png_length(image.clip(0, 255).astype(np.uint8)) for image in images]) * math.log(2)


def recommended(scores: Collection[str]) -> str:
    """The score to go by: the first of these that could be computed."""
    return next(name for name in RECOMMENDED if name in scores)


@dataclass(frozen=True, kw_only=True)
class _About:
    """What calibration.safetensors holds beside what was measured."""

    num_draws: int
    importance_draws: int
    run: str = ""  # the id of the run, and the model's checksum, where it is a run's
    model: str = ""


def _measured(arrays: Mapping[str, torch.Tensor], path: Path) -> Measured:
    """The arrays of a file; RunError where they are not what `Measured` holds."""
    num_examples = len(arrays.get("negative_elbo", ()))
    for name in {"negative_elbo"} | set(arrays):
        values = arrays.get(name)
        axes = 2 if name == "cell_costs" else 1
        is_known = name in {field.name for field in fields(Measured)}
        if not is_known or values is None or values.ndim != axes or len(values) != num_examples:
            raise RunError(f"{path} is damaged (its array {name!r} is missing, unknown or of another shape).")
    return Measured(**{name: values.double().numpy() for name, values in arrays.items()})


def _png_length(image: np.ndarray) -> int:
    """Bits of the whole file; its header is the same for all images of a size."""
    file = BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(file, "PNG", optimize=True)
    return 8 * len(file.getvalue())


def _negative_elbo(normal: Measured, measured: Measured) -> Values:
    return measured.negative_elbo


def _importance(normal: Measured, measured: Measured) -> Values | None:
    # Without held-out examples to compare with it has no threshold.
    return None if normal.negative_log_evidence is None else measured.negative_log_evidence


def _typicality(normal: Measured, measured: Measured) -> Values:
    return np.abs(measured.negative_elbo - normal.negative_elbo.mean())


def _missing_adjusted(normal: Measured, measured: Measured) -> Values | None:
    if normal.cell_costs is None or measured.cell_costs is None:
        return None
    is_missing = np.isnan(normal.cell_costs)
    # A column that no held-out row has costs nothing: there is nothing to say of it.
    average = np.where(is_missing, 0.0, normal.cell_costs).sum(0) / np.maximum(1, (~is_missing).sum(0))
    adjusted: np.ndarray = measured.negative_elbo + np.isnan(measured.cell_costs) @ average
    return adjusted


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


@dataclass(frozen=True)
class Score:
    """How strange examples are."""

    compute: Callable[[Measured, Measured], Values | None]
    """Of held-out examples and of those to judge; None where it cannot be computed."""
    is_fitted: bool = False  # to the held-out examples, which then have other scores than new ones


SCORES: dict[str, Score] = {
    "negative-elbo": Score(_negative_elbo),
    "importance": Score(_importance),
    "typicality": Score(_typicality, is_fitted=True),
    "missing-adjusted": Score(_missing_adjusted, is_fitted=True),
    "complexity": Score(_complexity),
    "complexity-residual": Score(_complexity_residual, is_fitted=True),
}

RECOMMENDED = ("complexity-residual", "missing-adjusted", "negative-elbo")
"""The best of those that could be computed: for images, for tables, for everything else."""

"""Comparison of runs on the same test examples: what scores they have in common, paired by example where possible.

Two runs differ on the same example far less than examples differ from one another, so the standard error of the mean
difference is computed from the paired differences. What cannot be compared is named with the reason: a score that one
of the runs does not have, or log p(x|z) in different conventions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from lowerbound.evaluation.disentanglement import ABOUT
from lowerbound.evaluation.results import Results, Score
from lowerbound.foundation import html_view
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.number_format import format_difference
from lowerbound.foundation.numerics import Estimate, mean_and_standard_error
from lowerbound.foundation.text import pluralise


@dataclass(frozen=True)
class Paired:
    """A quantity with values for each example: its scores and arrays, one of each for every kind of model."""

    scores: tuple[str, ...]
    arrays: tuple[str, ...]
    better: str  # "higher" or "lower"; empty where neither is


PAIRED = {
    "elbo": Paired(("elbo",), ("elbo_per_image",), "higher"),
    "log-evidence": Paired(("log-evidence", "grey-evidence"), ("log_evidence_per_image",), "higher"),
    # A row of bounds for each number of draws, all draws last.
    "importance-bound": Paired(("importance-bound",), ("sweep_bounds",), "higher"),
    # The reconstruction error of a plain autoencoder is the distortion at its code.
    "distortion": Paired(
        ("distortion", "reconstruction-error"), ("distortion_per_image", "reconstruction_error_per_image"), "lower"
    ),
    "rate": Paired(("rate",), ("rate_per_image",), ""),
    "squared-error": Paired(("squared-error",), ("squared_error_per_image",), "lower"),
}
"""Quantities that are compared in pairs, in the order of reports; the first that all runs have is the headline."""

OF_DATA = ("z-free-distortion", "grey-floor")
"""Scores of the data and the likelihood's family, which are not compared."""

OF_CODES = (
    "rate",
    "squared-error",
    "mutual-information",
    "aggregate-kl",
    "active-units",
    "linear-probe",
    "neighbour-probe",
    *ABOUT,
)
"""Scores that do not depend on what log p(x|z) means. All others are compared within one convention."""


@dataclass(frozen=True)
class ComparisonRow:
    """One run's score, and its difference from the reference."""

    name: str  # of the run
    score: Score
    difference: Estimate | None = None  # paired by example; None for the reference, and without values per example
    num_pairs: int = 0

    @property
    def num_standard_errors(self) -> float:
        """The difference in units of its standard error; infinite if that is zero."""
        if self.difference is None or self.difference.value == 0:
            return 0.0
        error = self.difference.standard_error
        return abs(self.difference.value) / error if error > 0 else math.inf

    @property
    def difference_text(self) -> str:
        """The difference ± its standard error; empty without one."""
        return "" if self.difference is None else format_difference(self.difference, self.score.unit)


@dataclass(frozen=True)
class ComparedScore:
    """A score that all runs have, in the order of the runs."""

    name: str
    rows: tuple[ComparisonRow, ...]
    better: str = ""  # "higher", "lower", or empty where neither is better

    @property
    def is_paired(self) -> bool:
        """Whether differences from the reference are known."""
        return all(row.difference is not None for row in self.rows[1:])


@dataclass(frozen=True)
class Comparison:
    """Runs in the order given; the first is the reference."""

    names: tuple[str, ...]
    scores: tuple[ComparedScore, ...]  # paired ones first
    not_compared: dict[str, str] = field(default_factory=dict)  # reason by score

    def score(self, name: str) -> ComparedScore | None:
        """The comparison of one score; None if it was not compared."""
        return next((score for score in self.scores if score.name == name), None)

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.names)}: {pluralise(len(self.scores), 'score')})"

    def _repr_html_(self) -> str:
        rows = [
            (score.name, row.name, row.score.text, row.score.unit, row.difference_text)
            for score in self.scores
            for row in score.rows
        ]
        header = ("score", "run", "value ± error", "unit", f"difference from {self.names[0]}, paired")
        reasons = html_view.table(("not compared", "reason"), self.not_compared.items()) if self.not_compared else ""
        return html_view.view("Comparison", html_view.table(header, rows, right=(2, 4)), reasons)


def compare(runs: Sequence[tuple[str, Results]]) -> Comparison:
    """Compare named results on the test split.

    UsageError for fewer than two runs, for different test examples, or if the runs have no score in common.
    """
    if len(runs) < 2:
        raise UsageError(f"a comparison needs at least two runs, got {len(runs)}.")
    _refuse_other_examples(runs)
    found: list[ComparedScore] = []
    not_compared: dict[str, str] = {}
    for name, scores_of in _quantities(runs).items():
        scores = [scores_of(results) for _, results in runs]
        if reason := _why_not(name, runs, scores):
            not_compared[name] = reason
        else:
            found.append(_compared(name, runs, [score for score in scores if score]))
    if not found:
        raise UsageError(f"the runs have no score in common ({_reasons(not_compared)}).")
    paired_first = sorted(found, key=lambda score: not score.is_paired)
    return Comparison(tuple(name for name, _ in runs), tuple(paired_first), not_compared)


def by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """The names that share a reason, by reason, in order."""
    found: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        found.setdefault(reason, []).append(name)
    return found


def _reasons(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason(reasons).items())


def _quantities(runs: Sequence[tuple[str, Results]]) -> dict[str, Callable[[Results], Score | None]]:
    """How to find each quantity's score in results: paired ones, then every other score that any run has."""
    known = {name for paired in PAIRED.values() for name in paired.scores}
    names = dict.fromkeys(score.name for _, results in runs for score in results.scores if score.split == "test")
    others = [name for name in names if name not in known and name not in OF_DATA]
    paired = [name for name, row in PAIRED.items() if names.keys() & set(row.scores)]
    return {name: _finder(PAIRED[name].scores) for name in paired} | {name: _finder((name,)) for name in others}


def _finder(names: tuple[str, ...]) -> Callable[[Results], Score | None]:
    return lambda results: next((score for name in names if (score := results.score(name))), None)


def _why_not(name: str, runs: Sequence[tuple[str, Results]], scores: Sequence[Score | None]) -> str:
    """Why a score cannot be compared; empty if it can."""
    lacking = [run for run, score in zip(runs, scores, strict=True) if score is None]
    plain = [label for label, results in lacking if results.score("reconstruction-error")]
    if lacking:
        if len(plain) == len(lacking):
            return f"{_listed(plain)} has no prior and no log p(x), as a plain autoencoder"
        return f"not measured for {_listed([label for label, _ in lacking])}"
    labels = [label for label, _ in runs]
    if name not in OF_CODES and len({score.convention for score in scores if score}) > 1:
        conventions = [score.convention for score in scores if score]
        return f"different data conventions ({_each(labels, conventions)})"
    if name == "importance-bound" and len({score.num_draws for score in scores if score}) > 1:
        draws = [f"{score.num_draws:,}" for score in scores if score]
        return f"different numbers of draws ({_each(labels, draws)})"
    if name in ABOUT and len({_factor_names(results) for _, results in runs}) > 1:
        return "different factors of variation"
    return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _each(labels: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(f"{label}: {value}" for label, value in zip(labels, values, strict=True))


def _compared(name: str, runs: Sequence[tuple[str, Results]], scores: Sequence[Score]) -> ComparedScore:
    row = PAIRED.get(name)
    own_names = {score.name for score in scores}
    arrays = [_per_image(row, results) if row else None for _, results in runs]
    rows = [ComparisonRow(runs[0][0], scores[0])]
    for (label, _), score, values in zip(runs[1:], scores[1:], arrays[1:], strict=True):
        rows.append(_difference(label, score, values, arrays[0]))
    # Two plain autoencoders have reconstruction errors, not distortions.
    return ComparedScore(own_names.pop() if len(own_names) == 1 else name, tuple(rows), row.better if row else "")


def _per_image(row: Paired, results: Results) -> np.ndarray | None:
    found = next((results.arrays[name] for name in row.arrays if name in results.arrays), None)
    return found[-1] if found is not None and found.ndim == 2 else found


def _difference(name: str, score: Score, values: np.ndarray | None, reference: np.ndarray | None) -> ComparisonRow:
    """One run's row; the arrays may have the values of the first examples only."""
    if values is None or reference is None:
        return ComparisonRow(name, score)
    num_pairs = min(len(values), len(reference))
    paired = values[:num_pairs].astype(np.float64) - reference[:num_pairs].astype(np.float64)
    return ComparisonRow(name, score, mean_and_standard_error(torch.from_numpy(paired)), num_pairs)


def _factor_names(results: Results) -> tuple[str, ...]:
    return tuple(results.context.get("data", {}).get("factor_names", ()))


def _refuse_other_examples(runs: Sequence[tuple[str, Results]]) -> None:
    first_name, first = runs[0]
    for name, results in runs[1:]:
        # By checksum: the same examples may come from files with different names.
        if not checksum_of_test(first) or checksum_of_test(first) != checksum_of_test(results):
            raise UsageError(
                f"{first_name} and {name} have different test examples ({_data(first)}; {_data(results)}); they cannot "
                "be compared. Train or evaluate them on the same data, with the same split and binarisation."
            )


def checksum_of_test(results: Results) -> str:
    """The checksum of the test examples; empty if it is unknown."""
    return str(results.context.get("data", {}).get("test_checksum", ""))


def _data(results: Results) -> str:
    if not (data := results.context.get("data")):
        return "unknown"
    convention = next((score.convention for score in results.scores if score.split == "test"), "no scores")
    examples = pluralise(data["sizes"]["test"], "example")
    return f"{data['name']}, {examples}, {convention}, checksum {data['test_checksum'][:12]}"

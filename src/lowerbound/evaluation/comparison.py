"""Comparison of runs: differences to a reference run, paired by example, with standard errors.

Two runs differ on the same example far less than examples differ from one another, so the standard error of the mean
difference is computed from the paired differences. Scores with different conventions, data or splits are not compared.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch

from lowerbound.evaluation.results import Results, Score
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.numerics import Estimate, mean_and_standard_error
from lowerbound.foundation.text import pluralise

COMPARED = {"elbo": "elbo_per_image", "reconstruction-error": "reconstruction_error_per_image"}
"""Scores that can be compared, and the arrays of their values per example."""

RATES = "rate_per_image"


@dataclass(frozen=True)
class ComparisonRow:
    """One run compared with the reference."""

    name: str
    score: Score
    difference: Estimate | None  # from the reference, paired by example; None for the reference itself
    rate_difference: Estimate | None = None  # of the rate, likewise; None if a run has no rates per example

    @property
    def num_standard_errors(self) -> float:
        """The difference in units of its standard error; infinite if that is zero."""
        if self.difference is None or self.difference.value == 0:
            return 0.0
        error = self.difference.standard_error
        return abs(self.difference.value) / error if error > 0 else math.inf


@dataclass(frozen=True)
class Comparison:
    """Runs in the order given; the first is the reference."""

    quantity: str
    rows: tuple[ComparisonRow, ...]


def compare(runs: Sequence[tuple[str, Results]]) -> Comparison:
    """Compare named results on the test split; UsageError if they are not comparable."""
    if len(runs) < 2:
        raise UsageError(f"a comparison needs at least two runs, got {len(runs)}.")
    quantity = _common_quantity(runs)
    _refuse_unlike(runs, quantity)
    reference = _per_image(runs[0][1], quantity)
    rows = []
    for name, results in runs:
        score = results.score(quantity)
        assert score is not None
        if results is runs[0][1]:
            rows.append(ComparisonRow(name, score, None))
            continue
        difference = _paired(_per_image(results, quantity), reference)
        rows.append(ComparisonRow(name, score, difference, _rate_difference(results, runs[0][1])))
    return Comparison(quantity, tuple(rows))


def _rate_difference(results: Results, reference: Results) -> Estimate | None:
    rates = [run.arrays.get(RATES) for run in (results, reference)]
    return None if rates[0] is None or rates[1] is None else _paired(rates[0], rates[1])


def _paired(values: np.ndarray, reference: np.ndarray) -> Estimate:
    return mean_and_standard_error(torch.from_numpy(values.astype(np.float64) - reference.astype(np.float64)))


def _per_image(results: Results, quantity: str) -> np.ndarray:
    return results.arrays[COMPARED[quantity]]


def _common_quantity(runs: Sequence[tuple[str, Results]]) -> str:
    for quantity, array in COMPARED.items():
        if all(results.score(quantity) and array in results.arrays for _, results in runs):
            return quantity
    measured = "; ".join(f"{name}: {', '.join(q for q in COMPARED if results.score(q))}" for name, results in runs)
    raise UsageError(f"the runs have no score in common with values per example ({measured}).")


def _refuse_unlike(runs: Sequence[tuple[str, Results]], quantity: str) -> None:
    first_name, first = runs[0]
    for name, results in runs[1:]:
        one, other = _convention(first, quantity), _convention(results, quantity)
        if one != other:
            _refuse(first_name, name, "data conventions", one, other)
        # By checksum: the same examples may come from files with different names.
        if not _test_checksum(first) or _test_checksum(first) != _test_checksum(results):
            _refuse(first_name, name, "test examples", _data(first), _data(results))


def _refuse(first_name: str, name: str, what: str, one: str, other: str) -> NoReturn:
    raise UsageError(f"{first_name} and {name} have different {what} ({one}; {other}); they cannot be compared.")


def _convention(results: Results, quantity: str) -> str:
    score = results.score(quantity)
    return score.convention if score else ""


def _test_checksum(results: Results) -> str:
    return str(results.context.get("data", {}).get("test_checksum", ""))


def _data(results: Results) -> str:
    if not (data := results.context.get("data")):
        return "unknown"
    return f"{data['name']}, {pluralise(data['sizes']['test'], 'example')}, {data['test_checksum'][:12]}"

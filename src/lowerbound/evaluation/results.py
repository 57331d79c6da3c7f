"""Scores, findings and results: numbers that say what they are, and the arrays behind the report's figures.

A score never travels without its unit, its split, its data convention and, where it is a mean over examples, its
standard error. A finding is what the doctor makes of such numbers. The arrays are kept so that a report needs neither
the data nor the model.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lowerbound.numerics import bits_per_dimension, mean_and_standard_error
from lowerbound.storage import (
    FORMAT_VERSION,
    check_format_version,
    load_tensors,
    read_json,
    read_json_lines,
    save_tensors,
    write_json,
)

SERIOUS, WARNING, NOTE = 1, 2, 3
"""Severities: the model is no use as it is; something is wrong with it; something could be had that is not."""


DENSITIES = ("density", "table")
"""Conventions under which log p(x|z) is a log-density, or holds some: it changes with the unit of the data."""

ROWS = ("table", "discrete table")
"""Conventions of rows: each column has a unit of its own, and cells may be missing."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One measured number."""

    name: str
    value: float
    standard_error: float | None  # over examples; None where the number is no mean
    unit: str
    split: str
    convention: str
    num_examples: int
    num_draws: int | None  # from the posterior, for each example; None where nothing was drawn
    description: str
    effective_sample_size: float | None = None  # of the draws' weights, median over examples
    pareto_k: float | None = None  # shape of the weights' tail, median over examples; above 0.7 they cannot be trusted


@dataclass(frozen=True)
class Scorer:
    """Makes scores that share a split and a convention."""

    split: str
    convention: str

    def __call__(
        self, name: str, values: Float[Tensor, " n"], description: str, num_draws: int | None, unit: str = "nats"
    ) -> Score:
        """The mean of `values` over examples with its standard error."""
        mean = mean_and_standard_error(values)
        return self.of(name, mean.value, mean.standard_error, description, len(values), num_draws, unit)

    def bits(
        self,
        name: str,
        log_prob: Float[Tensor, " n"],
        num_values: Int64[Tensor, " n"],
        quantity: str,
        num_draws: int | None,
    ) -> tuple[Score, ...]:
        """Minus `log_prob`, called `quantity`, in bits for each value; nothing where log p(x|z) is or holds a density,
        which has no bits, or where no value is known.
        """
        if self.convention in DENSITIES or not num_values.any():
            return ()
        found = bits_per_dimension(-log_prob, num_values)
        about = f"{quantity} for each {'known cell' if self.convention in ROWS else 'value of an example'}"
        error, num_examples = found.standard_error, len(num_values)
        return (self.of(name, found.value, error, about, num_examples, num_draws, "bits/dim"),)

    def of(
        self,
        name: str,
        value: float,
        standard_error: float | None,
        description: str,
        num_examples: int,
        num_draws: int | None,
        unit: str,
    ) -> Score:
        """A number that is no plain mean over examples."""
        return Score(
            name=name,
            value=value,
            standard_error=standard_error,
            unit=unit,
            split=self.split,
            convention=self.convention,
            num_examples=num_examples,
            num_draws=num_draws,
            description=description,
        )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, the number that shows it, and what to turn."""

    name: str
    severity: int  # SERIOUS, WARNING or NOTE
    sentence: str  # what is wrong, in plain words
    number: float
    threshold: float
    unit: str
    knob: str  # settings to change, as the command line takes them
    source: str  # a paper, or the reason for the threshold


Watch = Callable[[str, int, int], None]
"""Hears what is being measured, how much of it is done, and how much there is."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """Scores, and the arrays behind their figures."""

    scores: tuple[Score, ...]
    arrays: dict[str, np.ndarray]

    def __or__(self, other: "Measurements") -> "Measurements":
        return Measurements(self.scores + other.scores, self.arrays | other.arrays)


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that a report shows."""

    scores: tuple[Score, ...]
    arrays: dict[str, np.ndarray]
    context: dict[str, Any]  # what was run: recipe, configuration, versions, data, layers
    history: tuple[dict[str, Any], ...] = field(default=())  # one record for each epoch of training
    findings: tuple[Finding, ...] | None = None  # of the doctor; None where it was not asked, empty: a clean bill

    def score(self, name: str, split: str = "test") -> Score | None:
        """The score of that name on that split, or None if it was not measured."""
        matches = (score for score in self.scores if score.name == name and score.split == split)
        return next(matches, None)

    def write(self, run: Path) -> None:
        """Write results.json and results.safetensors into a run directory, each atomically."""
        arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in self.arrays.items()}
        save_tensors(run / "results.safetensors", arrays, {})
        write_json(
            run / "results.json",
            {
                "format_version": FORMAT_VERSION,
                "context": self.context,
                "scores": [_without_nan(asdict(score)) for score in self.scores],
                "findings": None if self.findings is None else [asdict(finding) for finding in self.findings],
            },
        )


def read_results(run: Path) -> Results:
    """Read a run's results and the history of its training; RunError if they are missing or damaged."""
    results = read_scores(run)
    tensors, _ = load_tensors(run / "results.safetensors")
    return replace(
        results,
        arrays={name: tensor.numpy() for name, tensor in tensors.items()},
        history=tuple(record for record in read_json_lines(run / "metrics.jsonl") if record["validation"]),
    )


def read_scores(run: Path) -> Results:
    """Read results.json alone: scores, context and findings, without arrays and history; RunError likewise."""
    content = read_json(run / "results.json")
    check_format_version(run / "results.json", content.get("format_version"))
    findings = content.get("findings")  # older results have none
    return Results(
        scores=tuple(Score(**score) for score in content["scores"]),
        arrays={},
        context=content["context"],
        findings=None if findings is None else tuple(Finding(**finding) for finding in findings),
    )


def _without_nan(score: dict[str, Any]) -> dict[str, Any]:
    # JSON has no NaN: the standard error of a single example is absent, not a number.
    return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in score.items()}

"""Scores, findings and results: numbers that say what they are, and the arrays behind the report's figures.

A score never travels without its unit, its split, its data convention and, where it is a mean over examples, its
standard error. A finding is what the doctor makes of such numbers. The arrays are kept so that a report needs neither
the data nor the model.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lowerbound.evaluation.run_context import Context
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.numerics import bits_per_dimension, mean_and_standard_error
from lowerbound.foundation.progress import Progress
from lowerbound.foundation.run_identity import check_mark, checksum_of, mark_with_model
from lowerbound.foundation.storage import (
    FORMAT_VERSION,
    check_format_version,
    load_tensors,
    read_json,
    read_metadata,
    save_tensors,
    write_json,
)
from lowerbound.foundation.strict import parsed

FAILED = "failed: "
"""How the reason of a metric that failed begins, in place of why it does not apply."""

NUMBERS, ARRAYS = "results.json", "results.safetensors"

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
    discretisation_error: float | None = None  # by quadrature, of the value: at most; beside the error over examples
    num_not_converged: int = 0  # examples whose number by quadrature is beyond its tolerance

    @property
    def quadrature_notes(self) -> list[str]:
        """What is to be said of a number by quadrature; nothing of any other."""
        notes = []
        if self.discretisation_error is not None:
            notes.append(f"discretisation error at most {_rounded_up(self.discretisation_error)} {self.unit}")
        if self.num_not_converged:
            notes.append(f"{self.num_not_converged:,} of {self.num_examples:,} not converged")
        return notes


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
    remedy: str  # settings to change, as the command line takes them
    source: str  # a paper, or the reason for the threshold


ProgressCallback = Callable[[str, int, int], None]
"""Hears what is being measured, how much of it is done, and how much there is."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """Scores, and the arrays behind their figures."""

    scores: tuple[Score, ...]
    arrays: dict[str, np.ndarray]
    findings: tuple[Finding, ...] | None = None

    def __or__(self, other: "Measurements") -> "Measurements":
        findings = self.findings if other.findings is None else other.findings
        return Measurements(self.scores + other.scores, self.arrays | other.arrays, findings)


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that a report shows."""

    scores: tuple[Score, ...]
    arrays: dict[str, np.ndarray]
    context: dict[str, Any]  # what was run: recipe, configuration, versions, data, layers
    history: tuple[dict[str, Any], ...] = field(default=())  # one record for each epoch of training
    findings: tuple[Finding, ...] | None = None  # of the diagnosis; None where it was not run, empty: no problems
    left_out: dict[str, str] = field(default_factory=dict)  # metrics that do not apply or failed, with the reason

    def __repr__(self) -> str:
        shown = ", ".join(f"{score.name} {score.value:.4g} {score.unit}" for score in self.scores[:3])
        more = f", and {len(self.scores) - 3} more" if len(self.scores) > 3 else ""
        findings = "not diagnosed" if self.findings is None else f"{len(self.findings)} findings"
        return f"Results({shown}{more}; {len(self.arrays)} arrays; {len(self.history)} epochs; {findings})"

    @property
    def failures(self) -> dict[str, str]:
        """Metrics that failed, each with the error."""
        return {name: reason for name, reason in self.left_out.items() if reason.startswith(FAILED)}

    def score(self, name: str, split: str = "test") -> Score | None:
        """The score of that name on that split, or None if it was not measured."""
        matches = (score for score in self.scores if score.name == name and score.split == split)
        return next(matches, None)

    def write(self, run: Path) -> None:
        """Write results.safetensors and results.json into a run directory.

        The first holds everything and is what counts: from when it is there, these are the run's results. The second is
        a copy of its numbers, for other programs.
        """
        arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in self.arrays.items()}
        content = {
            "format_version": FORMAT_VERSION,
            **mark_with_model(run),
            "context": self.context,
            "scores": [_without_nan(asdict(score)) for score in self.scores],
            "findings": None if self.findings is None else [asdict(finding) for finding in self.findings],
            "left_out": self.left_out,
        }
        content["checksum"] = checksum_of(content)
        stored = {"results": content, "history": list(self.history), "replaces": _checksum_before(run)}
        save_tensors(run / ARRAYS, arrays, stored)
        write_json(run / NUMBERS, content)


def read_results(run: Path) -> Results:
    """Read a run's results, and the history of its training when they were measured.

    RunError if they are missing, damaged, of another run, or of another model than the run has now.
    """
    tensors, stored = load_tensors(run / ARRAYS)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return replace(_checked(run, stored), arrays=arrays, history=tuple(stored["history"]))


def read_scores(run: Path) -> Results:
    """Read scores, context and findings alone, without arrays and history; RunError likewise."""
    return _checked(run, read_metadata(run / ARRAYS))


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What results.json holds, and results.safetensors as well."""

    format_version: int
    run: str = ""  # the id of the run, and the model's checksum, where the results are a run's
    model: str = ""
    context: Context
    scores: tuple[Score, ...]
    findings: tuple[Finding, ...] | None
    left_out: dict[str, str]
    checksum: str


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """What results.safetensors holds beside its arrays."""

    results: _Content
    history: tuple[Progress, ...]
    replaces: str


def _checked(run: Path, stored: Mapping[str, Any]) -> Results:
    found = parsed(_Stored, stored, str(run / ARRAYS)).results
    content = stored["results"]
    if checksum_of(content) != found.checksum:
        raise RunError(f"{run / ARRAYS} is damaged (the checksum of its numbers does not match them).")
    check_mark(run, ARRAYS, content)
    _check_copy(run, content, stored["replaces"])
    return Results(found.scores, {}, context=content["context"], findings=found.findings, left_out=found.left_out)


def _check_copy(run: Path, content: Mapping[str, Any], replaced: str) -> None:
    """Refuse a results.json that says something else, unless it was to be replaced when its writer was killed."""
    if not (run / NUMBERS).exists():
        return
    copy = read_json(run / NUMBERS)
    check_format_version(run / NUMBERS, copy.get("format_version"))
    is_earlier = copy.get("checksum") == replaced == checksum_of(copy)
    if copy != content and not is_earlier:
        raise RunError(
            f"{run / NUMBERS} is damaged, was edited, or belongs to other results than {run / ARRAYS}; restore it, or "
            "evaluate the run again.",
            hint="evaluate",
            path=run,
        )


def _checksum_before(run: Path) -> str:
    """The checksum that results.json states so far; empty where there is none that can be read."""
    try:
        return str(read_json(run / NUMBERS).get("checksum", ""))
    except RunError:
        return ""


def _rounded_up(value: float) -> str:
    """A bound with two digits that is still one."""
    if value <= 0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / unit) * unit:.2g}"


def _without_nan(score: dict[str, Any]) -> dict[str, Any]:
    # JSON has no NaN: the standard error of a single example is absent, not a number.
    return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in score.items()}

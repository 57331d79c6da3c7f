"""Score, Scorer, Finding and Results; reading and writing results.json and results.safetensors.

A score always has its unit, split, data convention and, if it is a mean over examples, its standard error. A finding is
a result of the diagnosis. Arrays are stored so that a report needs neither the data nor the model.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lowerbound.evaluation.run_context import Context
from lowerbound.foundation import html_view
from lowerbound.foundation.arguments import named_arguments, named_methods
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.number_format import format_estimate
from lowerbound.foundation.numerics import bits_per_dimension, mean_and_standard_error
from lowerbound.foundation.progress import Progress
from lowerbound.foundation.run_identity import check_mark, checksum_of, mark_with_model
from lowerbound.foundation.storage import FORMAT_VERSION, check_format_version
from lowerbound.foundation.strict import parsed
from lowerbound.foundation.tensor_files import load_tensors, read_metadata, save_tensors
from lowerbound.foundation.text import pluralise
from lowerbound.foundation.text_files import read_json, write_json
from lowerbound.models.construction import check_parts_are_known

FAILED = "failed: "
"""Prefix of the reason of a metric that failed, in contrast to one that does not apply."""

NUMBERS, ARRAYS = "results.json", "results.safetensors"

SERIOUS, WARNING, NOTE = 1, 2, 3
"""Severities of findings: the model is unusable as it is; it has a problem; it could be improved."""


DENSITIES = ("density", "table")
"""Conventions in which log p(x|z) is or contains a log-density, which depends on the unit of the data."""

ROWS = ("table", "discrete table")
"""Conventions of tables: each column has its own unit, and cells may be missing."""


@named_arguments
@dataclass(frozen=True, kw_only=True)
class Score:
    """One measured number."""

    name: str
    value: float
    standard_error: float | None  # over examples; None if the value is not a mean
    unit: str
    split: str
    convention: str
    num_examples: int
    num_draws: int | None  # from the posterior, for each example; None without draws
    description: str
    effective_sample_size: float | None = None  # of the importance weights, median over examples
    pareto_k: float | None = None  # tail shape of the weights, median over examples; above 0.7 unreliable
    discretisation_error: float | None = (
        None  # upper bound for a value by quadrature, in addition to the standard error
    )
    num_not_converged: int = 0  # examples whose quadrature has not converged

    @property
    def quadrature_notes(self) -> list[str]:
        """Notes on a score by quadrature; empty for others."""
        notes = []
        if self.discretisation_error is not None:
            notes.append(f"discretisation error at most {_rounded_up(self.discretisation_error)} {self.unit}")
        if self.num_not_converged:
            notes.append(f"{self.num_not_converged:,} of {self.num_examples:,} not converged")
        return notes

    @property
    def text(self) -> str:
        """Value ± standard error, without the unit."""
        return format_estimate(self.value, self.standard_error, self.unit)

    def __repr__(self) -> str:
        return f"Score({self.name} {self.text} {self.unit}, {self.split}, {self.convention})"

    def _repr_html_(self) -> str:
        about = {"examples": f"{self.num_examples:,}", "draws": "" if self.num_draws is None else f"{self.num_draws:,}"}
        return html_view.view(
            f"{self.name}, {self.split} split",
            html_view.paragraph(f"{self.text} {self.unit}", "key"),
            html_view.paragraph("; ".join([self.description, *self.quadrature_notes])),
            html_view.facts({"convention": self.convention, **about}),
        )


@dataclass(frozen=True)
class Scorer:
    """Constructor of scores that share a split and a convention."""

    split: str
    convention: str

    def __call__(
        self, name: str, values: Float[Tensor, " n"], description: str, num_draws: int | None, unit: str = "nats"
    ) -> Score:
        """Score of the mean of `values` over examples, with its standard error."""
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
        """Score of −`log_prob`, described as `quantity`, in bits per value; empty if log p(x|z) is or contains a
        density, which is not a code length, or if no value is known.
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
        """Score of a number that is not simply a mean over examples."""
        return Score(
            name=name,
            value=value,
            # One example has no standard error.
            standard_error=None if standard_error is None or math.isnan(standard_error) else standard_error,
            unit=unit,
            split=self.split,
            convention=self.convention,
            num_examples=num_examples,
            num_draws=num_draws,
            description=description,
        )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem found by the diagnosis: the number that shows it, its threshold, and settings that fix it."""

    name: str
    severity: int  # SERIOUS, WARNING or NOTE
    sentence: str  # the problem
    number: float
    threshold: float
    unit: str  # a percentage's unit starts with "%"
    remedy: str  # settings to change, in command-line syntax
    source: str  # a paper, or the reason for the threshold: the basis of the finding


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The outcome of one check of the diagnosis."""

    name: str
    passes: str  # what a healthy model shows
    number: float | None = None  # None if it was not measured
    standard_error: float | None = None
    threshold: float | None = None
    is_lower_bound: bool = True  # whether a healthy model's number is above the threshold
    unit: str = ""
    finding: Finding | None = None  # None if the check passed or was not made
    reason: str = ""  # why it was not made, if that is known


ProgressCallback = Callable[[str, int, int], None]
"""Called with the name of the current measurement, the completed amount, and the total."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """Scores, arrays and findings of one or several metrics."""

    scores: tuple[Score, ...]
    arrays: dict[str, np.ndarray]
    findings: tuple[Finding, ...] | None = None
    checks: tuple[Checked, ...] = ()

    def __or__(self, other: "Measurements") -> "Measurements":
        findings = self.findings if other.findings is None else other.findings
        checks = other.checks or self.checks
        return Measurements(self.scores + other.scores, self.arrays | other.arrays, findings, checks)


@named_methods
@named_arguments
@dataclass(frozen=True, eq=False)
class Results:
    """All results of a run: scores, arrays, context, history and findings. A report is made from these alone.

    Examples:
        >>> results = lb.load_run("runs/dense").results
        >>> elbo = results.score("elbo")  # of the test split
        >>> elbo.unit, elbo.convention, elbo.num_examples
        ('nats', 'grey', 360)
        >>> elbo.standard_error > 0
        True
    """

    scores: tuple[Score, ...]
    arrays: dict[str, np.ndarray]
    context: dict[str, Any]  # of the run: recipe, configuration, versions, data, layers
    history: tuple[dict[str, Any], ...] = field(default=())  # one record for each epoch of training
    findings: tuple[Finding, ...] | None = None  # None: diagnosis not run; empty: no problems found
    checks: tuple[Checked, ...] = ()  # those of the diagnosis, or the cheap ones where that was not run
    left_out: dict[str, str] = field(default_factory=dict)  # metrics that do not apply or failed, with the reason

    def __repr__(self) -> str:
        shown = ", ".join(f"{score.name} {score.text} {score.unit}" for score in self.scores[:3])
        more = f", and {len(self.scores) - 3} more" if len(self.scores) > 3 else ""
        findings = "not diagnosed" if self.findings is None else pluralise(len(self.findings), "finding")
        sizes = f"{pluralise(len(self.arrays), 'array')}; {pluralise(len(self.history), 'epoch')}"
        return f"Results({shown}{more}; {sizes}; {findings})"

    def _repr_html_(self) -> str:
        return html_view.view("Results", *self.html_parts())

    def html_parts(self) -> list[html_view.Html]:
        """What a notebook shows of results: scores, findings of the diagnosis, and what was not measured."""
        parts = [score_table(self.scores)]
        if self.findings:
            rows = [(finding.name, finding.sentence, finding.remedy) for finding in self.findings]
            parts.append(html_view.table(("finding", "problem", "remedy"), rows))
        elif self.findings is not None:
            parts.append(html_view.paragraph("The diagnosis found no problems."))
        if self.left_out:
            rows_of = html_view.table(("not measured", "reason"), self.left_out.items())
            parts.append(html_view.folded(f"{pluralise(len(self.left_out), 'metric')} not measured", rows_of))
        return parts

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples of each split of the run's data; empty if it is unknown."""
        return dict((self.context.get("data") or {}).get("sizes") or {})

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

        The first contains everything and is authoritative: once it is written, these are the run's results. The second
        is a copy of its numbers for other programs.
        """
        arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in self.arrays.items()}
        content = {
            "format_version": FORMAT_VERSION,
            **mark_with_model(run),
            "context": self.context,
            "scores": [_without_nan(asdict(score)) for score in self.scores],
            "findings": None if self.findings is None else [asdict(finding) for finding in self.findings],
            "checks": [asdict(check) for check in self.checks],
            "left_out": self.left_out,
        }
        content["checksum"] = checksum_of(content)
        stored = {"results": content, "history": list(self.history), "replaces": _checksum_before(run)}
        save_tensors(run / ARRAYS, arrays, stored)
        write_json(run / NUMBERS, content)


def score_table(scores: Iterable[Score]) -> html_view.Html:
    """Scores as a table for notebooks, by the names that `Results.score` takes."""
    rows = [(score.name, score.text, score.unit, score.split, score.convention, score.description) for score in scores]
    return html_view.table(("name", "value ± error", "unit", "split", "convention", "description"), rows, right=(1,))


def read_results(run: Path) -> Results:
    """Read a run's results, including the training history up to the evaluation.

    RunError if they are missing, damaged, or belong to another run or to another model than the run's current one.
    """
    tensors, stored = load_tensors(run / ARRAYS)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return replace(_checked(run, stored), arrays=arrays, history=tuple(stored["history"]))


def read_scores(run: Path) -> Results:
    """Read only scores, context and findings, without arrays and history; RunError as for `read_results`."""
    return _checked(run, read_metadata(run / ARRAYS))


@dataclass(frozen=True, kw_only=True)
class _Content:
    """The content of results.json, which results.safetensors contains as well."""

    format_version: int
    run: str = ""  # id of the run, and checksum of the model; empty outside of runs
    model: str = ""
    context: Context
    scores: tuple[Score, ...]
    findings: tuple[Finding, ...] | None
    checks: tuple[Checked, ...] = ()
    left_out: dict[str, str]
    checksum: str


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """The metadata of results.safetensors."""

    results: _Content
    history: tuple[Progress, ...]
    replaces: str


def _checked(run: Path, stored: Mapping[str, Any]) -> Results:
    check_parts_are_known(_model_settings(stored), str(run / ARRAYS))
    found = parsed(_Stored, stored, str(run / ARRAYS)).results
    content = stored["results"]
    if checksum_of(content) != found.checksum:
        raise RunError(f"{run / ARRAYS} is damaged (the checksum of its numbers does not match them).")
    check_mark(run, ARRAYS, content)
    _check_copy(run, content, stored["replaces"])
    context = content["context"]
    return Results(found.scores, {}, context, findings=found.findings, checks=found.checks, left_out=found.left_out)


def _model_settings(stored: Any) -> Any:
    """Section `model` of the configuration in stored results; None where there is none."""
    for key in ("results", "context", "config", "model"):
        stored = stored.get(key) if isinstance(stored, Mapping) else None
    return stored


def _check_copy(run: Path, content: Mapping[str, Any], replaced: str) -> None:
    """Refuse a results.json with other content, unless its writer was killed before replacing it."""
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
    """The checksum in the current results.json; empty if the file is missing or unreadable."""
    try:
        return str(read_json(run / NUMBERS).get("checksum", ""))
    except RunError:
        return ""


def _rounded_up(value: float) -> str:
    """An upper bound rounded up to two digits."""
    if value <= 0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / unit) * unit:.2g}"


def _without_nan(score: dict[str, Any]) -> dict[str, Any]:
    # JSON has no NaN: the standard error of a single example becomes null.
    return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in score.items()}

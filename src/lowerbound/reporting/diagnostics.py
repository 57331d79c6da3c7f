"""The diagnostics of a report: the checklist with value, threshold and outcome, and the findings."""

from dataclasses import dataclass

from lowerbound.evaluation.checklist import NOT_APPLICABLE
from lowerbound.evaluation.results import Checked, Finding, Results
from lowerbound.foundation.number_format import format_estimate, format_significant
from lowerbound.reporting import wording
from lowerbound.reporting.terms import is_autoencoder

TICK, CROSS, OPEN = "✓", "✗", "–"

EVALUATE = "not measured yet: lowerbound evaluate RUN"


@dataclass(frozen=True)
class CheckRow:
    """A row of the checklist."""

    mark: str  # TICK, CROSS or OPEN
    outcome: str  # in a word, for those who cannot see the mark
    passes: str
    value: str
    threshold: str


@dataclass(frozen=True)
class Diagnosis:
    """A finding of the diagnostics, as text."""

    severity: str
    numbers: str
    remedy: list[tuple[bool, str]]  # parts of the text, and whether they are code
    finding: Finding


def check_rows(results: Results) -> list[CheckRow]:
    """The checklist; empty where the checks were not made. An autoencoder's has only what was measured."""
    checks = results.checks
    if is_autoencoder(results):
        checks = tuple(check for check in checks if check.number is not None or check.finding)
    otherwise = EVALUATE if results.findings is None else NOT_APPLICABLE
    return [_row(check, otherwise) for check in checks]


def findings_of(results: Results) -> list[Diagnosis] | None:
    """The findings of the diagnosis or, where it was not run, of the cheap checks; None without either."""
    found = results.findings
    if found is None and results.checks:
        findings = (check.finding for check in results.checks if check.finding)
        found = tuple(sorted(findings, key=lambda finding: finding.severity))
    return None if found is None else [_diagnosis(finding) for finding in found]


def summary(rows: list[CheckRow]) -> str:
    """How many checks were passed, in a sentence."""
    made = [row for row in rows if row.mark != OPEN]
    passed = sum(row.mark == TICK for row in made)
    return f"{passed} of {len(made)} checks passed." if passed < len(made) else f"All {len(made)} checks passed."


def _row(check: Checked, otherwise: str) -> CheckRow:
    if check.number is None or check.threshold is None:
        mark, outcome = (OPEN, "not checked") if check.finding is None else (CROSS, "failed")
        return CheckRow(mark, outcome, check.passes, check.reason or otherwise, "")
    mark, outcome = (TICK, "passed") if check.finding is None else (CROSS, "failed")
    number = (
        format_significant(check.number)
        if check.standard_error is None
        else format_estimate(check.number, check.standard_error, check.unit.partition(" ")[0])
    )
    limit = "at least" if check.is_lower_bound else "at most"
    return CheckRow(
        mark, outcome, check.passes, f"{number} {check.unit}", f"{limit} {format_significant(check.threshold)}"
    )


def _diagnosis(finding: Finding) -> Diagnosis:
    remedy = list(wording.code_parts(finding.remedy))
    return Diagnosis(wording.severity_name(finding), wording.finding_numbers(finding), remedy, finding)

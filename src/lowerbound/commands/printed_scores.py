"""What commands print of scores: results of runs, findings, comparisons, sweeps, gradients."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from lowerbound.commands.console import err, out, print_table
from lowerbound.commands.options import print_json
from lowerbound.foundation.text import pluralise

if TYPE_CHECKING:
    from lowerbound.evaluation.comparison import Comparison
    from lowerbound.evaluation.gradient_bench import EstimatorResult, GradientBench
    from lowerbound.evaluation.results import Finding, Score
    from lowerbound.evaluation.sweep_results import SweepResults
    from lowerbound.runs.finished_run import Run

NO_SIZES: Mapping[str, int] = {}
"""Sizes of splits where they are not those of a run's data."""

MAX_PARETO_K = 0.7  # thresholds.PARETO_K_BOUND, whose import takes a second


def print_runs(runs: Sequence["Run"], as_json: bool, *, whole: bool = False) -> None:
    """Print the key scores of finished runs, or all scores, the paths of their reports, and what to do next."""
    from lowerbound.evaluation.over_seeds import over_seeds

    scores = over_seeds([run.results for run in runs])
    reports = [str(run.path / "report.html") for run in runs]
    if as_json:
        print_json({"reports": reports, "scores": [asdict(score) for score in scores]})
        return
    (print_scores if whole else print_key_scores)(scores, runs[0].results.sizes)
    for path in reports:
        out.print(f"report: {path}", markup=False)
    if not whole:
        _print_unfinished(runs)
        _print_failed_checks(runs[0])
        _print_next(runs[0].path, len(runs) > 1, bool(scores))


def _print_unfinished(runs: Sequence["Run"]) -> None:
    """One line if the limit on epochs ended training that still improved, and how to go on."""
    from lowerbound.evaluation.training_end import still_improving

    results = [run.results for run in runs if not run.results.context.get("fitted_from")]
    improving = [found for found in results if still_improving(found.history)]
    if not improving:
        return
    num_epochs = len(improving[0].history)
    path = quote(str(runs[0].path if len(runs) == 1 else runs[0].path.parent))
    seeds = "" if len(runs) == 1 else f" --seeds {len(runs)}"
    out.print(
        f"training ended by its limit of {pluralise(num_epochs, 'epoch')}, and the validation score still improved; to "
        f"go on: lowerbound train --resume {path}{seeds} --epochs {2 * num_epochs}",
        markup=False,
    )


def _print_failed_checks(run: "Run") -> None:
    """One line with what the checks after training found."""
    found = [check.finding.name for check in run.results.checks if check.finding is not None]
    if found and run.results.findings is None:
        out.print(f"checks found: {', '.join(found)}; lowerbound diagnose {quote(str(run.path))}", markup=False)


def _print_next(path: Path, is_one_of_several: bool, has_scores: bool) -> None:
    """The commands that show or measure more of a run, and show its latent space or that of its siblings."""
    about = "all scores: lowerbound show" if has_scores else "not evaluated yet: lowerbound evaluate"
    out.print(f"{about} {quote(str(path))}", markup=False)
    out.print(f"next: lowerbound explore {quote(str(path.parent if is_one_of_several else path))}", markup=False)


def print_scores(scores: Sequence["Score"], sizes: Mapping[str, int] = NO_SIZES) -> None:
    """Print scores, a table for each split; with the number of examples of each score where they differ."""
    from lowerbound.reporting.key_scores import examples_in_words, most_examples

    for split, group in groupby(sorted(scores, key=lambda score: score.split != "test"), key=lambda score: score.split):
        of_split = list(group)
        usual = most_examples(of_split, split)
        columns = ["quantity", "mean ± standard error", "unit", "description"]
        rows = [[score.name, score.text, score.unit, described(score)] for score in of_split]
        if any(score.num_examples != usual for score in of_split):
            columns.insert(3, "examples")
            for row, score in zip(rows, of_split, strict=True):
                row.insert(3, f"{score.num_examples:,}")
        # Not in the table's header, where it would take space from the descriptions.
        out.print(f"{split}: {examples_in_words(usual, split, sizes)}, {of_split[0].convention}", markup=False)
        print_table(columns, rows, right=(1, 3) if len(columns) > 4 else (1,))


def print_key_scores(scores: Sequence["Score"], sizes: Mapping[str, int] = NO_SIZES) -> None:
    """Print the few scores by which a run is judged first, of the test split."""
    from lowerbound.reporting.key_scores import examples_in_words, key_scores, most_examples
    from lowerbound.reporting.wording import score_title

    rows = key_scores(scores)
    if not rows:
        return
    split, usual = rows[0].split, most_examples(rows, rows[0].split)
    out.print(f"{split}: {examples_in_words(usual, split, sizes)}, {rows[0].convention}", markup=False)
    titles = [score_title(score.name) for score in rows]
    texts = [score.text for score in rows]
    for title, text, score in zip(titles, texts, rows, strict=True):
        name = title.ljust(max(map(len, titles)))
        of = "" if score.num_examples == usual else f", mean over {pluralise(score.num_examples, 'example')}"
        out.print(f"  {name}  {text.rjust(max(map(len, texts)))} {score.unit}{of}", markup=False)


def print_findings(findings: Sequence["Finding"]) -> None:
    """Print the findings of a diagnosis, most serious first."""
    # Imported here: it imports torch, which is already loaded when there are findings.
    from lowerbound.reporting.wording import finding_numbers, severity_name

    if not findings:
        out.print("no problems found.")
    for finding in findings:
        out.print(f"{severity_name(finding).lower()}: {finding.name}", markup=False)
        out.print(f"  {finding.sentence}", markup=False)
        out.print(f"  measured: {finding_numbers(finding)}", markup=False)
        out.print(f"  basis: {finding.source}", markup=False)
        out.print(f"  remedy: {finding.remedy}", markup=False)


def print_comparison(comparison: "Comparison") -> None:
    """Print a comparison of runs: paired scores with differences from the first, other scores, and what is missing."""
    from lowerbound.evaluation.comparison import by_reason
    from lowerbound.reporting.comparison_plot import verdict

    for score in (score for score in comparison.scores if score.is_paired):
        first = score.rows[0].score
        rows = [(row.name, row.score.text, row.difference_text, verdict(row, score)) for row in score.rows]
        title = f"{score.name}, {first.split}, {first.convention}"
        columns = (title, f"mean ± standard error, {first.unit}", "paired difference", "compared with the first")
        print_table(columns, rows, right=(1, 2))
    others = [score for score in comparison.scores if not score.is_paired]
    if others:
        values = [(one.name, *(row.score.text for row in one.rows), one.rows[0].score.unit) for one in others]
        print_table(("not paired", *comparison.names, "unit"), values, right=range(1, 1 + len(comparison.names)))
    for reason, names in by_reason(comparison.not_compared).items():
        err.print(f"not compared: {', '.join(names)}: {reason}", markup=False)


def print_sweep(results: "SweepResults") -> None:
    """Print the points of a sweep, with the scores of its page."""
    from lowerbound.reporting.sweep_page import table_of

    columns, rows = table_of(results)
    print_table(columns, rows, right=range(len(results.over), len(columns)))
    for label, reason in results.failures.items():
        err.print(f"failed: {label}: {reason}", markup=False)


def print_gradients(bench: "GradientBench") -> None:
    """Print the estimators of a gradient, a table for each group of parameters, and what was left out."""
    from lowerbound.foundation.number_format import format_measured

    out.print(
        f"gradient of {bench.bound_in_words}, rate {bench.rate}, at {pluralise(bench.num_examples, 'test example')}; "
        f"bias against {bench.num_reference:,} estimates by {bench.reference}",
        markup=False,
    )
    measured = [row for row in bench.estimators if not row.left_out]
    for group in bench.groups:
        rows = [(row.name, *_gradient_cells(row, group)) for row in measured]
        print_table((group, "variance", "squared bias", "signal to noise"), rows, right=(1, 2, 3))
    if any(row.statistics[group].has_bias for row in measured for group in bench.groups):
        out.print("* a bias: more than 4 standard errors", markup=False)
    costs = [(row.name, format_measured(row.relative_time), f"{row.evaluations:,}", row.about) for row in measured]
    print_table(("cost", "time", "decoded per draw", "description"), costs, right=(1, 2))
    _print_gradient_notes(bench, measured)


def _print_gradient_notes(bench: "GradientBench", measured: Sequence["EstimatorResult"]) -> None:
    for row in measured:
        if row.is_biased:
            err.print(f"{row.name} is a biased estimator of this gradient", markup=False)
    fewer = [f"{row.name} ({row.num_estimates:,})" for row in measured if row.num_estimates < bench.num_estimates]
    if fewer:
        err.print(f"fewer than {bench.num_estimates:,} estimates, to save time: {', '.join(fewer)}", markup=False)
    left_out = {row.name: row.left_out for row in bench.estimators if row.left_out}
    for name, reason in (left_out | bench.left_out_groups).items():
        err.print(f"left out: {name}: {reason}", markup=False)


def _gradient_cells(row: "EstimatorResult", group: str) -> tuple[str, ...]:
    from lowerbound.foundation.number_format import format_measured

    found = row.statistics[group]
    mark = " *" if found.has_bias else ""
    bias = format_measured(found.squared_bias) + mark
    return format_measured(found.variance), bias, format_measured(found.signal_to_noise)


def described(score: "Score") -> str:
    """The description of a score, with the reliability of its weights."""
    notes: list[str] = []
    if score.effective_sample_size is not None and score.num_draws is not None:
        notes.append(f"effective sample size {score.effective_sample_size:,.0f} of {score.num_draws:,}")
    notes += score.quadrature_notes
    if score.pareto_k is not None:
        notes.append(f"Pareto-k {score.pareto_k:.2f}{', unreliable' if score.pareto_k > MAX_PARETO_K else ''}")
    return score.description + (f" ({', '.join(notes)})" if notes else "")

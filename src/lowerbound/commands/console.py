"""Output of the command line: tables and messages. Does not import torch, so help is fast.

Progress and messages go to standard error, results to standard output.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

from lowerbound.commands import terminal
from lowerbound.foundation.text import in_encoding, one_line, pluralise

if TYPE_CHECKING:
    from lowerbound.evaluation.comparison import Comparison
    from lowerbound.evaluation.gradient_bench import EstimatorResult, GradientBench
    from lowerbound.evaluation.results import Finding, Score
    from lowerbound.evaluation.sweep_results import SweepResults
    from lowerbound.foundation.schema import Schema
    from lowerbound.inference.anomaly import Scored, ScoredShards
    from lowerbound.networks.layers import Layer
    from lowerbound.runs.inspection import ColumnFound, Inspection

terminal.drop_impossible_sizes(os.environ)  # consoles read these variables when they are made


out = terminal.PlainConsole(highlight=False, soft_wrap=True)
err = terminal.PlainConsole(stderr=True, highlight=False, soft_wrap=True)


MAX_PARETO_K = 0.7  # diagnosis.PARETO_K_BOUND, whose import takes a second


def print_scores(scores: Sequence["Score"]) -> None:
    """Print scores, a table for each split."""
    for split, group in groupby(sorted(scores, key=lambda score: score.split != "test"), key=lambda score: score.split):
        of_split = list(group)
        usual = of_split[0].num_examples
        rows = [(score.name, with_error(score), score.unit, described(score, usual)) for score in of_split]
        # Not in the table's header, where it would take space from the descriptions.
        out.print(f"{split}: {pluralise(usual, 'example')}, {of_split[0].convention}", markup=False)
        print_table(("quantity", "mean ± standard error", "unit", "description"), rows, right=(1,))


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


def print_written(path: Path, skipped: Sequence[str] = (), notes: Sequence[str] = ()) -> None:
    """Print the path of a file that was written, after notes and what was skipped."""
    print_notes(notes)
    print_skipped(skipped)
    out.print(str(path), markup=False)


def print_skipped(skipped: Sequence[str]) -> None:
    """Print what was skipped, with the reasons."""
    for reason in skipped[:MOST_SHOWN]:
        err.print(f"skipped: {reason}", markup=False)
    if len(skipped) > 1:
        err.print(f"{len(skipped):,} skipped in total", markup=False)


def print_notes(notes: Sequence[str]) -> None:
    """Print how examples were converted."""
    for note in notes:
        err.print(note, markup=False)


def print_anomalies(scored: "Scored") -> None:
    """Print the most anomalous examples, and how many exceed the threshold."""
    print_notes(scored.notes)
    print_skipped(scored.skipped)
    judged = scored.judged
    order = sorted(range(len(scored.ids)), key=lambda index: _rank(scored, index))
    rows = [
        (scored.ids[index], *(_number(values[index]) for values in judged.scores.values()), _flag(scored, index))
        for index in order[:MOST_SHOWN]
    ]
    print_table(("example", *judged.scores, ""), rows, right=range(1, 1 + len(judged.scores)))
    num_scored = len(scored.ids) - scored.num_unscored
    unscored = _about_unscored(scored)
    out.print(
        f"{int(judged.is_anomalous.sum()):,} of {num_scored:,} are anomalous: {judged.by} above "
        f"{judged.threshold.value:.2f}, the threshold for a false-alarm rate of {judged.threshold.rate:.3g}, estimated "
        f"from {judged.threshold.num_examples:,} held-out examples.{unscored}",
        markup=False,
    )


def print_scored_shards(scored: "ScoredShards") -> None:
    """Print how many inputs exceed the threshold, and where their scores are."""
    print_skipped(scored.skipped)
    out.print(
        f"{scored.num_anomalous:,} of {scored.num_scored:,} are anomalous: {scored.by} above "
        f"{scored.threshold.value:.2f}, the threshold for a false-alarm rate of {scored.threshold.rate:.3g}, estimated "
        f"from {scored.threshold.num_examples:,} held-out examples.",
        markup=False,
    )
    out.print(str(scored.path), markup=False)


def _about_unscored(scored: "Scored") -> str:
    """How many examples have no score, and their names."""
    names = [name for name, known in zip(scored.ids, scored.judged.is_scored, strict=True) if not known]
    if not names:
        return ""
    more = ", ..." if len(names) > MOST_SHOWN else ""
    return f" {len(names):,} without a score: {', '.join(names[:MOST_SHOWN])}{more}."


def _rank(scored: "Scored", index: int) -> float:
    """Sorts the most anomalous examples first, and those without a score last."""
    value = float(scored.judged.scores[scored.judged.by][index])
    return -value if value == value else float("inf")


def _number(value: float) -> str:
    return f"{value:.2f}" if value == value else "none"


def _flag(scored: "Scored", index: int) -> str:
    if not scored.judged.is_scored[index]:
        return "no score"
    return "anomalous" if scored.judged.is_anomalous[index] else ""


MOST_SHOWN = 20
BARS = " ▁▂▃▄▅▆▇█"


def print_packed(about: dict[str, Any]) -> None:
    """Print what a folder of packed data contains."""
    splits = ", ".join(f"{name} {rows:,}" for name, rows in about["splits"].items())
    for line in (*about["notes"], *(f"skipped: {reason}" for reason in about["skipped"])):
        out.print(line, markup=False)
    shape = shape_in_words(tuple(about["shape"]))
    out.print(f"{about['layout']} {shape}, {about['dtype']}: {splits}; {about['size']}", markup=False)
    out.print(f"{'packed' if about['is_new'] else 'already packed'}: {about['path']}", markup=False)


def print_inspection(name: str, found: "Inspection") -> None:
    """Print a summary of data, and what training on them would choose."""
    # Imported here: it imports Pillow. Names and levels may contain escape sequences and line breaks.
    from lowerbound.data.reading import printable

    lines = [f"{printable(name)}: {found.about}"]
    missing = f"{pluralise(found.num_missing, 'cell')} missing"
    if found.columns:  # which have a range each
        lines.append(missing)
    else:
        lines.append(f"values from {found.low:g} to {found.high:g}" + (f", {missing}" if found.num_missing else ""))
        top = max(found.histogram)
        bars = "".join(BARS[-(-8 * count // top)] for count in found.histogram)
        lines.append(f"{found.low:g} {bars} {found.high:g}")
    if found.labels:
        counts = ", ".join(f"{printable(label)} {count:,}" for label, count in list(found.labels.items())[:MOST_SHOWN])
        lines.append(f"labels: {counts}")
    lines.append(f"duplicates of an earlier example: {found.num_duplicates:,}")
    lines += [*found.notes, *(f"skipped: {reason}" for reason in found.skipped)]
    for line in lines:
        out.print(printable(line), markup=False)
    if found.columns:
        rows = [
            (printable(column.name), column.kind, f"{column.num_missing:,}", _extent(column))
            for column in found.columns
        ]
        print_table(("column", "kind", "missing", "range or levels"), rows, right=(2,))
    print_settings("read as (change with --set):", found.settings)
    out.print("`lowerbound train` would choose:")
    print_table(
        ("setting", "choice", "reason"), [(choice.what, choice.value, choice.reason) for choice in found.choices]
    )
    if found.sheet:
        out.print(f"contact sheet: {found.sheet}", markup=False)


def print_settings(title: str, settings: Sequence[str]) -> None:
    """Print settings, quoted for a shell."""
    if settings:
        out.print(title)
    # Imported here, so that help is fast.
    from lowerbound.data.reading import printable

    for line in settings[:MOST_SHOWN]:
        out.print(f"  {printable(shlex.quote(line))}", markup=False)
    if len(settings) > MOST_SHOWN:
        out.print(f"  and {len(settings) - MOST_SHOWN} more; --json lists all", markup=False)


def print_schema(name: str, schema: "Schema") -> None:
    """Print the schema of a run's data."""
    # Imported here: it imports torch.
    from lowerbound.runs.inspection import schema_settings

    of_type = f" of {schema.dtype}" if schema.dtype else ""
    if schema.layout == "table":
        what = f"rows of {pluralise(len(schema.columns), 'column')}"
    else:
        what = f"{schema.layout}s {shape_in_words(schema.shape)}{of_type}"
    out.print(f"{name}: trained on {what}", markup=False)
    print_settings("read as:", schema_settings(schema))


def _extent(column: "ColumnFound") -> str:
    from lowerbound.data.reading import printable

    if column.low is None or column.high is None:
        more = f" and {len(column.levels) - 6} more" if len(column.levels) > 6 else ""
        return ", ".join(map(printable, column.levels[:6])) + more
    largest = max(abs(column.low), abs(column.high))
    needs_all = largest >= 1e7 or 0 < column.high - column.low < 1e-5 * largest
    digits = 17 if needs_all else 7
    return f"{column.low:.{digits}g} to {column.high:.{digits}g}"


def print_comparison(comparison: "Comparison") -> None:
    """Print a comparison of runs: paired scores with differences from the first, other scores, and what is missing."""
    from lowerbound.evaluation.comparison import by_reason
    from lowerbound.reporting.comparison_plot import verdict

    for score in (score for score in comparison.scores if score.is_paired):
        first = score.rows[0].score
        digits = 3 if first.unit == "nats" else 6
        rows = []
        for row in score.rows:
            found = row.difference
            difference = found and f"{found.value:+.{digits}f} ± {found.standard_error:.{digits}f}"
            rows.append((row.name, with_error(row.score), difference or "", verdict(row, score)))
        title = f"{score.name}, {first.split}, {first.convention}"
        columns = (title, f"mean ± standard error, {first.unit}", "paired difference", "compared with the first")
        print_table(columns, rows, right=(1, 2))
    others = [score for score in comparison.scores if not score.is_paired]
    if others:
        values = [(one.name, *(with_error(row.score) for row in one.rows), one.rows[0].score.unit) for one in others]
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


def described(score: "Score", usual: int) -> str:
    """The description of a score, with the number of examples if it is unusual, and the reliability of its weights."""
    notes = [] if score.num_examples == usual else [pluralise(score.num_examples, "example")]
    if score.effective_sample_size is not None and score.num_draws is not None:
        notes.append(f"effective sample size {score.effective_sample_size:,.0f} of {score.num_draws:,}")
    notes += score.quadrature_notes
    if score.pareto_k is not None:
        notes.append(f"Pareto-k {score.pareto_k:.2f}{', unreliable' if score.pareto_k > MAX_PARETO_K else ''}")
    return score.description + (f" ({', '.join(notes)})" if notes else "")


def with_error(score: "Score") -> str:
    """A value and its standard error."""
    digits = {"nats": 2, "units": 0}.get(score.unit, 4)
    error = "" if score.standard_error is None else f" ± {score.standard_error:.{digits}f}"
    return f"{score.value:.{digits}f}{error}"


def print_layers(title: str, layers: Sequence["Layer"]) -> None:
    """Print the layers of one network."""
    rows = [(row.name, row.kind, shape_in_words(row.output_shape), f"{row.num_parameters:,}") for row in layers]
    total = sum(layer.num_parameters for layer in layers)
    print_table((title, "layer", "output", "parameters"), [*rows, ("", "", "total", f"{total:,}")], right=(3,))


def shape_in_words(shape: Sequence[int]) -> str:
    """Lengths joined by ×."""
    return " × ".join(map(str, shape))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> None:
    """Print a plain table on standard output; the columns numbered in `right` are aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        last = index == len(columns) - 1
        table.add_column(column, justify="right" if index in right else "left", overflow="fold", no_wrap=not last)
    for row in rows:
        # Encoded before widths are measured: a replacement may be longer.
        table.add_row(*(escape(in_encoding(one_line(str(cell)), out.encoding)) for cell in row))
    # Without a terminal (a pipe, a log) lines are long rather than folded, unless a width is given.
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = 200
    out.print(table)


def fail(error: BaseException | str) -> None:
    """Print one line on standard error."""
    print(f"lowerbound: {one_line(str(error))}", file=sys.stderr)


def silence() -> None:
    """Print nothing from here on but failures."""
    out.quiet = err.quiet = True

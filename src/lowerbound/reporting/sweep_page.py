"""sweep.html: all runs of a sweep on one page; sweep.json and sweep.csv with its numbers."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from lowerbound.evaluation.results import Score
from lowerbound.evaluation.sweep_results import EVIDENCE, SweepResults
from lowerbound.foundation.storage import write_text
from lowerbound.foundation.text import pluralise
from lowerbound.foundation.text_files import write_json
from lowerbound.reporting import wording
from lowerbound.reporting.pages import Picture, ShownRun, embedded, figures_of, link_to, rendered, strips
from lowerbound.reporting.plots import caption_of
from lowerbound.reporting.sweep_plots import frontier_in_words, plotted_scores, rate_distortion, scores_against_values

PAGE, NUMBERS, TABLE = "sweep.html", "sweep.json", "sweep.csv"

COLUMNS = {
    "ELBO": ("elbo",),
    "Rate": ("rate",),
    "Distortion": ("distortion", "reconstruction-error"),
    "Log-evidence, exact": EVIDENCE,
    "Squared error": ("squared-error",),
}
"""Columns of the table, each with the scores that it may show."""

MOST_IN_A_ROW = 6
THUMBNAIL = 500  # pixels


@dataclass(frozen=True)
class _Row:
    """A point of the sweep in the table."""

    values: list[str]
    convention: str
    cells: list[str]
    frontier: str
    runs: list[tuple[str, str]]  # seed and link, or link alone
    failures: list[str]


def write_sweep(results: SweepResults) -> Path:
    """Write the page of a sweep and its numbers into the sweep's folder."""
    page = results.path / PAGE
    write_json(results.path / NUMBERS, results.as_json())
    write_text(results.path / TABLE, _csv(results))
    conventions = {point.convention for point in results.points if point.convention}
    first = next((point.results[0] for point in results.points if point.results), None)
    text = rendered(
        "sweep.html.j2",
        title=f"Sweep of {wording.title(first)}" if first else "Sweep",
        lead=_lead(results),
        keys=_keys(results),
        columns=_shown_columns(results),
        rows=list(_rows(results, page)),
        conventions=sorted(conventions),
        num_seeds=results.num_seeds,
        pictures=list(_pictures(results)),
        strips=strips(_shown_runs(results), page, _subjects(results), THUMBNAIL),
        num_columns=_num_columns(results),
        failures=results.failures,
    )
    write_text(page, text)
    return page


def table_of(results: SweepResults) -> tuple[list[str], list[list[str]]]:
    """The titles and rows of the table of points: their values, then the scores that at least one point has."""
    columns = _shown_columns(results)
    rows = [
        [*map(_text, point.values.values()), *(_cell(point.score(*names)) for names in columns.values())]
        for point in results.points
    ]
    return [*_keys(results), *columns], rows


def _keys(results: SweepResults) -> list[str]:
    return [key.rpartition(".")[2] for key in results.over]


def _lead(results: SweepResults) -> str:
    keys = " and ".join(f"{key} ({pluralise(len(values), 'value')})" for key, values in results.over.items())
    seeds = f", {results.num_seeds} seeds each" if results.num_seeds > 1 else ""
    return f"{pluralise(len(results.runs), 'run')}: {keys}{seeds}."


def _shown_columns(results: SweepResults) -> dict[str, tuple[str, ...]]:
    """The columns of which at least one point has a score."""
    return {title: names for title, names in COLUMNS.items() if any(point.score(*names) for point in results.points)}


def _rows(results: SweepResults, page: Path) -> Iterator[_Row]:
    pareto = {id(point) for plane in results.planes() for point in plane.pareto}
    hull = {id(point) for plane in results.planes() for point in plane.hull}
    for point in results.points:
        runs = [
            (str(run.seed) if results.num_seeds > 1 else "report", link_to(run.path, page))
            for run in point.runs
            if run.results is not None
        ]
        frontier = "hull" if id(point) in hull else "Pareto" if id(point) in pareto else ""
        yield _Row(
            [_text(value) for value in point.values.values()],
            point.convention,
            [_cell(point.score(*names)) for names in _shown_columns(results).values()],
            frontier,
            runs,
            [run.failure for run in point.runs if run.failure],
        )


def _cell(score: Score | None) -> str:
    return "–" if score is None else score.text


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pictures(results: SweepResults) -> Iterator[Picture]:
    for number, plane in enumerate(results.planes(), start=1):
        if len(plane.points) > 1:
            caption = f"{caption_of(rate_distortion)} {frontier_in_words(plane)}"
            yield embedded(rate_distortion(plane), f"plane-{number}", "Rate and distortion", caption)
    if plotted_scores(results):
        yield embedded(scores_against_values(results), "scores", "Scores", caption_of(scores_against_values))


def _shown_runs(results: SweepResults) -> list[ShownRun]:
    """The first run of each point that did not fail."""
    found = []
    for point in results.points:
        run = next((run for run in point.runs if run.results is not None), None)
        if run is not None and run.results is not None:
            found.append(ShownRun(point.label, run.path, run.results))
    return found


def _subjects(results: SweepResults) -> list[str]:
    """What the strips show: manifolds or, unless all runs have one, samples; and the latent spaces."""
    runs = _shown_runs(results)
    have_manifolds = all(any(figures_of(run.folder, "Latent manifold")) for run in runs)
    decoded = "Latent manifold" if have_manifolds else "Samples from the prior"
    has_decoded = any(any(figures_of(run.folder, decoded)) for run in runs)
    return [decoded if has_decoded else "Reconstructions", "Latent space"]


def _num_columns(results: SweepResults) -> int:
    """A row for each value of the first key, where there are several keys."""
    if any(not point.results for point in results.points):  # whose pictures are missing
        return min(len(results.points), MOST_IN_A_ROW)
    return len([*results.over.values()][-1])


def _csv(results: SweepResults) -> str:
    """A row for each run: the swept values, its seed and folder, and every score of the test split with its error."""
    names = dict.fromkeys(score.name for run in results.runs for score in run.scores())
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    of_scores = [column for name in names for column in (name, f"{name} standard error")]
    writer.writerow([*results.over, "seed", "run", "convention", *of_scores, "failure"])
    for point in results.points:
        for run in point.runs:
            scores = {score.name: score for score in run.scores()}
            place = run.path.relative_to(results.path).as_posix()
            cells = [cell for name in names for cell in _numbers(scores.get(name))]
            convention = next(iter(scores.values())).convention if scores else ""
            writer.writerow([*map(_text, point.values.values()), run.seed, place, convention, *cells, run.failure])
    return text.getvalue()


def _numbers(score: Score | None) -> tuple[object, object]:
    return ("", "") if score is None else (score.value, "" if score.standard_error is None else score.standard_error)

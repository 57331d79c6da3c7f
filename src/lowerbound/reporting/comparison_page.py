"""The page of `lowerbound compare`: scores with paired differences, and the figures of all runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lowerbound.evaluation.comparison import ComparedScore, Comparison, ComparisonRow, by_reason
from lowerbound.foundation.storage import write_text
from lowerbound.reporting import wording
from lowerbound.reporting.comparison_plot import comparison_figure, verdict
from lowerbound.reporting.pages import FIGURES_OF_RUNS, ShownRun, embedded, link_to, rendered, strips
from lowerbound.reporting.plots import caption_of

WIDE_THUMBNAIL = 900  # pixels, for two runs side by side
OF_AUTOENCODERS = "of a plain autoencoder, its reconstruction error"
MANY = 3  # runs, from which their thumbnails are small


@dataclass(frozen=True)
class _Row:
    """A run in the table of one score."""

    name: str
    link: str
    value: str
    difference: str
    verdict: str


@dataclass(frozen=True)
class _Table:
    """One score of all runs."""

    title: str
    unit: str
    about: str
    rows: list[_Row]


def write_comparison(comparison: Comparison, runs: Sequence[ShownRun], page: Path) -> Path:
    """Write the page of a comparison of `runs`, which are in its order."""
    pictures = []
    if any(score.is_paired for score in comparison.scores):
        title, caption = "Paired differences", caption_of(comparison_figure)
        pictures.append(embedded(comparison_figure(comparison), "differences", title, caption))
    links = [link_to(run.folder, page) for run in runs]
    width = WIDE_THUMBNAIL if len(runs) < MANY else WIDE_THUMBNAIL // 2
    text = rendered(
        "comparison.html.j2",
        title=f"Comparison of {', '.join(run.name for run in runs)}",
        runs=[(run.name, link, wording.title(run.results)) for run, link in zip(runs, links, strict=True)],
        tables=[_table(score, links) for score in comparison.scores],
        pictures=pictures,
        strips=strips(runs, page, FIGURES_OF_RUNS, width),
        not_compared=[(_titles(names), reason) for reason, names in by_reason(comparison.not_compared).items()],
    )
    write_text(page, text)
    return page


def _titles(names: Sequence[str]) -> str:
    return ", ".join(map(wording.score_title, names))


def _table(score: ComparedScore, links: Sequence[str]) -> _Table:
    first = score.rows[0].score
    rows = [_row(row, score, link) for row, link in zip(score.rows, links, strict=True)]
    is_mixed = len({row.score.name for row in score.rows}) > 1
    about = wording.score_description(first) + (f"; {OF_AUTOENCODERS}" if is_mixed else "")
    return _Table(wording.score_title(score.name), first.unit, about, rows)


def _row(row: ComparisonRow, score: ComparedScore, link: str) -> _Row:
    own = row.score
    value = own.text
    return _Row(row.name, link, value, row.difference_text, verdict(row, score))

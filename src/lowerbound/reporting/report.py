"""report.html of a run, and the index page of several runs: self-contained HTML from results and figures.

A page loads nothing: styles and figures are embedded. The templates are in this folder.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w

from lowerbound.evaluation import metrics
from lowerbound.evaluation.frames import read_frames
from lowerbound.evaluation.results import FAILED, Results, Score, read_results
from lowerbound.foundation.errors import RunError, in_one_line
from lowerbound.foundation.number_format import format_sizes
from lowerbound.foundation.storage import write_bytes, write_text
from lowerbound.reporting import diagnostics, theme, wording
from lowerbound.reporting.frame_plots import scene_of
from lowerbound.reporting.key_scores import examples_in_words, key_scores, most_examples
from lowerbound.reporting.pages import REPORT, Picture, embedded, figures_of, link_to, rendered, thumbnail
from lowerbound.reporting.plots import BOUND, FIGURES, PLOTS, Plot, not_measured, not_shown, plots_for
from lowerbound.reporting.scrubber import Scrubber, scrubber
from lowerbound.reporting.terms import WITHOUT_DISTRIBUTION, adapted_wording, is_autoencoder

THUMBNAILS = (("Latent manifold", "Samples from the prior", "Reconstructions"), ("Latent space",))
"""Thumbnails of a run on an index page: from each group the first figure that the run has."""


FIRST_SCREEN = (
    ("manifold_15", r"manifold_\d+", "samples"),
    (r"latent_\w+", "category_shares"),
    ("reconstruction_error",),
)
"""Figures on the first screen: from each group the first that the run has, by patterns of their names; at most two."""

BESIDE_KEY = ("reconstructions",)
"""Figures below the key number."""


FRAMES, NO_FRAMES = "Training, epoch by epoch", "no codes were kept while the model trained"


@dataclass(frozen=True)
class Drawn:
    """The figures of a report, and why others could not be drawn, by title."""

    pictures: list[Picture]
    failures: dict[str, str]


@dataclass(frozen=True)
class Measurement:
    """A row of the table of numbers."""

    quantity: str
    meaning: str
    score: Score


@dataclass(frozen=True)
class ShortRow:
    """A row of the short table: a score on both splits."""

    quantity: str
    meaning: str
    test: str
    train: str  # empty if not measured
    unit: str


@dataclass(frozen=True)
class LayerTable:
    """The layers of one network."""

    title: str
    rows: list[dict[str, Any]]
    total: int


@dataclass(frozen=True)
class Thumbnail:
    """A figure on a card."""

    title: str
    source: str  # a data URL


@dataclass(frozen=True)
class RunCard:
    """A run on an index page."""

    title: str
    folder: str
    link: str
    key: wording.KeyNumber | None
    thumbnails: list[Thumbnail]


def write_report(results: Results, run: Path, message: Callable[[str], None] = lambda text: None) -> Path:
    """Write `run`/report.html and `run`/figures/*.png, replacing those of an earlier report.

    A plot that fails is left out and named, in the report and to `message`.
    """
    drawn = _draw(plots_for(results), results, run / "figures")
    _remove_stale(run / "figures", [picture.name for picture in drawn.pictures])
    left_out = not_shown(results) | drawn.failures
    frames, why_no_frames = _frames(results, run)
    if why_no_frames:
        left_out[FRAMES] = why_no_frames
    for title, reason in left_out.items():
        if reason.startswith(FAILED):
            message(f"not drawn: {title} ({reason})")
    page = run / REPORT
    write_text(page, rendered("report.html.j2", scrubber=frames, **_view(results, drawn.pictures, left_out)))
    return page


def _frames(results: Results, run: Path) -> tuple[Scrubber | None, str]:
    """The frames of training, or the reason why they are not shown."""
    try:
        frames = read_frames(run)
    except RunError as error:  # the results are intact, so there is a report
        return None, FAILED + in_one_line(error)
    try:
        return (scrubber(results, scene_of(results, frames)), "") if frames else (None, NO_FRAMES)
    except metrics.CAUGHT as error:
        return None, FAILED + in_one_line(error)


def _draw(plots: Mapping[str, Plot], results: Results, folder: Path) -> Drawn:
    pictures, failures = [], {}
    for name, plot in plots.items():
        try:
            pictures.append(_picture(name, plot, results, folder))
        except metrics.CAUGHT as error:
            failures[plot.title] = FAILED + in_one_line(error)
    return Drawn(pictures, failures)


def write_index(runs: Sequence[Path], page: Path) -> Path:
    """Write an index page: a card for each run, linked to its report. RunError for a folder without results."""
    cards = [_card(run, page) for run in runs]
    write_text(page, rendered("index.html.j2", title="Runs", cards=cards))
    return page


def _view(results: Results, pictures: list[Picture], left_out: Mapping[str, str]) -> dict[str, Any]:
    context, is_variational = results.context, not is_autoencoder(results)
    beside_key = [picture for picture in pictures if picture.name in BESIDE_KEY]
    first = _first_screen(pictures)
    checks = diagnostics.check_rows(results)
    others = [picture for picture in pictures if picture not in (*beside_key, *first)]
    return {
        "title": wording.title(results),
        "lead": wording.lead(results),
        "command": context.get("command") or "",
        "version": context.get("versions", {}).get("lowerbound", ""),
        "key": wording.key_number(results),
        "placement": wording.placement(results),
        "is_monitoring_test": context.get("data", {}).get("monitored") == "test",
        "measurements": [_measurement(results, score) for score in results.scores],
        "adapt": partial(adapted_wording, results),
        "conventions": [adapted_wording(results, words) for words in _conventions(results.scores)],
        "short_table": list(_short_table(results)),
        "short_counts": {split: _counted(results, split) for split in ("test", "train")},
        "key_pictures": beside_key,
        "first_pictures": first,
        "pictures": [picture for picture in others if picture.section == FIGURES],
        "bound_pictures": [picture for picture in others if picture.section == BOUND],
        "bound_quality": adapted_wording(results, wording.bound_quality(results)),
        "is_variational": is_variational,
        "severities": list(wording.SEVERITIES.values()),
        "checks": checks,
        "checks_summary": diagnostics.summary(checks),
        "diagnoses": diagnostics.findings_of(results),
        "layer_tables": list(_layer_tables(context.get("layers", {}))),
        "likelihood_parameters": context.get("likelihood_parameters") or 0,
        "not_shown": list(_by_reason(_of_this_kind(left_out))),
        "not_measured": list(_by_reason(_of_this_kind(not_measured(results)))),
        "facts": wording.facts(results),
        "config_toml": tomli_w.dumps(_without_none(context.get("config", {}))),
        "sizes": format_sizes,
    }


def _first_screen(pictures: list[Picture]) -> list[Picture]:
    """The figures of the first screen, beside the key number."""
    found = []
    for group in FIRST_SCREEN:
        matches = (picture for name in group for picture in pictures if re.fullmatch(name, picture.name))
        found += [picture for picture in matches][:1]
    return found[:2]


def _counted(results: Results, split: str) -> str:
    """Over how many examples most scores of a split are."""
    count = most_examples(results.scores, split)
    return examples_in_words(count, split, results.sizes) if count else ""


def _short_table(results: Results) -> Iterator[ShortRow]:
    usual = {split: most_examples(results.scores, split) for split in ("test", "train")}
    for score in key_scores(results.scores):
        train = results.score(score.name, "train")
        about = adapted_wording(results, score.description)
        for one in filter(None, (score, train)):
            if one.num_examples != usual[one.split]:
                counted = examples_in_words(one.num_examples, one.split, results.sizes)
                about += f"; {one.split}: over {counted}"
        yield ShortRow(wording.score_title(score.name), about, score.text, train.text if train else "", score.unit)


def _measurement(results: Results, score: Score) -> Measurement:
    meaning = adapted_wording(results, wording.score_description(score))
    return Measurement(wording.score_title(score.name), meaning, score)


def _conventions(scores: Iterable[Score]) -> Iterator[str]:
    """Explanations of the conventions that occur, in order of appearance."""
    for name in dict.fromkeys(score.convention for score in scores):
        if words := wording.explain_convention(name):
            yield words


def _of_this_kind(reasons: Mapping[str, str]) -> dict[str, str]:
    """Without what no autoencoder has, of which its report does not speak."""
    return {name: reason for name, reason in reasons.items() if not WITHOUT_DISTRIBUTION.match(reason)}


def _by_reason(reasons: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names that share a reason, as one text, and the reason."""
    for reason in dict.fromkeys(reasons.values()):
        yield ", ".join(name for name, other in reasons.items() if other == reason), reason


def _layer_tables(layers: dict[str, list[dict[str, Any]]]) -> Iterator[LayerTable]:
    for title in ("encoder", "decoder"):
        if rows := layers.get(title):
            yield LayerTable(title.capitalize(), rows, sum(row["num_parameters"] for row in rows))


def _picture(name: str, plot: Plot, results: Results, folder: Path) -> Picture:
    """Draw a figure, write its PNG and put it into the page."""
    figure = plot.figure(results)
    write_bytes(folder / f"{name}.png", theme.png(figure))
    figure.set_layout_engine("none")  # that of the PNG stays
    caption = adapted_wording(results, plot.caption)
    return embedded(figure, name, plot.title, caption, plot.section)


def _remove_stale(folder: Path, plots: Iterable[str]) -> None:
    """Remove figures of an earlier report that this one does not write; other files in the folder stay."""
    current = set(plots)
    for path in folder.glob("*.png"):
        is_ours = path.stem in PLOTS or re.fullmatch(r"manifold_\d+", path.stem)
        if is_ours and path.stem not in current:
            path.unlink()


def _without_none(section: dict[str, Any]) -> dict[str, Any]:
    # TOML has no null.
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in section.items()
        if value is not None
    }


def _card(run: Path, page: Path) -> RunCard:
    results = read_results(run)
    thumbnails = list(_thumbnails(run))
    return RunCard(wording.title(results), run.name, link_to(run, page), wording.key_number(results), thumbnails)


def _thumbnails(run: Path) -> Iterator[Thumbnail]:
    """The first figure of each group that the run has."""
    for group in THUMBNAILS:
        found = [(subject, path) for subject in group for path in figures_of(run, subject)]
        for subject, path in found[:1]:
            yield Thumbnail(subject, thumbnail(path))

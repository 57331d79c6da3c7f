"""Parts of every page: the templates in this folder, embedded figures, and thumbnails of the figures of runs.

A page loads nothing: styles and figures are embedded.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from lowerbound.evaluation.results import Results
from lowerbound.reporting.inline_svg import inline_svg, theme_css, with_shared_letters
from lowerbound.reporting.plots import NOT_COMPUTED, not_shown
from lowerbound.reporting.tiles import data_url

REPORT = "report.html"

THUMBNAIL_WIDTH = 400  # pixels, more than twice the width on a card
THUMBNAIL_COLOURS = 128

FIGURES_OF_RUNS = {
    "Latent manifold": ("manifold_15", r"manifold_\d+"),
    "Samples from the prior": ("samples", "sampled_features"),
    "Latent space": (
        "latent_space",
        "latent_pair",
        "latent_line",
        "latent_sphere",
        "latent_triangle",
        "category_shares",
    ),
    "Reconstructions": ("reconstructions", "reconstructed_features"),
}
"""Subjects of figures on pages of several runs, with patterns of their names; the first that a run has is shown."""


@dataclass(frozen=True)
class Picture:
    """A figure as a page shows it."""

    name: str
    section: str
    title: str
    caption: str
    svg: Markup

    @property
    def first_sentence(self) -> str:
        """The caption's first sentence, which is always shown."""
        return self.caption.partition(". ")[0].rstrip(".") + "."

    @property
    def other_sentences(self) -> str:
        """The rest of the caption."""
        return self.caption.partition(". ")[2]


@dataclass(frozen=True)
class ShownRun:
    """A run on a page of several runs."""

    name: str
    folder: Path
    results: Results


@dataclass(frozen=True)
class StripCell:
    """The figure of one run in a strip, or why there is none."""

    name: str
    link: str
    source: str  # a data URL; empty without a figure
    reason: str


@dataclass(frozen=True)
class Strip:
    """The same figure of several runs, side by side."""

    title: str
    cells: list[StripCell]


def rendered(template: str, **view: Any) -> str:
    """The text of a page."""
    environment = Environment(
        loader=PackageLoader("lowerbound.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return with_shared_letters(environment.get_template(template).render(figure_colours=theme_css(), **view))


def embedded(figure: Figure, name: str, title: str, caption: str, section: str = "") -> Picture:
    """A figure for a page, described by its title and the caption's first sentence."""
    description = f"{title}. {caption.partition('. ')[0].rstrip('.')}."
    return Picture(name, section, title, caption, Markup(inline_svg(figure, name, description)))


def link_to(run: Path, page: Path) -> str:
    """The address of a run's report, relative to a page."""
    return quote(Path(os.path.relpath(run / REPORT, page.parent)).as_posix())


def strips(runs: Sequence[ShownRun], page: Path, subjects: Iterable[str], width: int = THUMBNAIL_WIDTH) -> list[Strip]:
    """A strip for each subject that at least one run has a figure of."""
    found = (Strip(subject, [_cell(run, page, subject, width) for run in runs]) for subject in subjects)
    return [strip for strip in found if any(cell.source for cell in strip.cells)]


def _cell(run: ShownRun, page: Path, subject: str, width: int) -> StripCell:
    link = link_to(run.folder, page)
    for path in figures_of(run.folder, subject):
        return StripCell(run.name, link, thumbnail(path, width), "")
    return StripCell(run.name, link, "", not_shown(run.results).get(subject, NOT_COMPUTED))


def figures_of(run: Path, subject: str) -> Iterator[Path]:
    """The figures of a subject that a run's report has, the preferred one first."""
    paths = sorted((run / "figures").glob("*.png"))
    for pattern in FIGURES_OF_RUNS[subject]:
        yield from (path for path in paths if re.fullmatch(pattern, path.stem))


def thumbnail(path: Path, width: int = THUMBNAIL_WIDTH) -> str:
    """A picture of at most `width` pixels, as a data URL."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((width, width), Image.Resampling.LANCZOS)
    file = BytesIO()
    small.quantize(THUMBNAIL_COLOURS).save(file, "PNG", optimize=True)
    return data_url(file.getvalue(), "image/png")

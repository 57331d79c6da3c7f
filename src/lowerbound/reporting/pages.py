"""Parts of every page: the templates in this folder, embedded figures, and thumbnails of the figures of runs.

A page loads nothing: styles and figures are embedded.
"""

import base64
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme
from lowerbound.reporting.plots import NOT_COMPUTED, not_shown

REPORT = "report.html"

CSS_PIXELS = 96
"""CSS pixels per inch."""

THUMBNAIL_WIDTH = 400  # pixels, more than twice the width on a card
THUMBNAIL_COLOURS = 128

FIGURES_OF_RUNS = {
    "Latent manifold": ("manifold_20", "manifold_15", r"manifold_\d+"),
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
    source: str  # a data URL
    width: int  # CSS pixels
    height: int

    @property
    def description(self) -> str:
        """Alternative text: the title and the caption's first sentence."""
        return f"{self.title}. {self.caption.partition('. ')[0].rstrip('.')}."


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
    return environment.get_template(template).render(**view)


def embedded(figure: Figure, name: str, title: str, caption: str, section: str = "", png: bytes = b"") -> Picture:
    """A figure for a page; `png` is the figure as one, if that was drawn already."""
    # Lines and text stay sharp at any size in an SVG; images of pixels only make it larger.
    has_image = any(axes.images for axes in figure.axes)
    source = (
        data_url(png or theme.png(figure), "image/png") if has_image else data_url(theme.svg(figure), "image/svg+xml")
    )
    width, height = (round(CSS_PIXELS * inches) for inches in figure.get_size_inches())
    return Picture(name, section, title, caption, source, width, height)


def data_url(content: bytes, kind: str) -> str:
    """Content as a URL that loads nothing."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


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

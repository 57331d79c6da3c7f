"""The look of every figure, and figures as bytes.

Nothing here depends on the machine's own matplotlib settings or on the clock: the same results give the same bytes.
Figures are made without pyplot, whose figures live in a global list.

Names of columns, labels, runs and data are someone else's text: no figure reads mathematics in any text but those
marked by `formulas`, and `name` makes such a text fit. So "$\\frac{$" is a name like any other.
"""

import math
import warnings
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from lowerbound.reporting import palette

DPI = 200
"""Pixels per inch, twice a screen's: sharp on a screen of high density."""

WIDTH = 7.0
"""Width of a full figure, in inches; the report's column is as wide."""

INK = "#24292f"
MUTED = "#68707a"
FAINT = "#d5d9de"
TRAIN = palette.TRAIN
WATCHED = palette.VALIDATION
CATEGORIES = palette.CATEGORIES

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "mathtext.fontset": "dejavusans",
    "text.parse_math": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.facecolor": "white",
    "svg.hashsalt": "lowerbound",
    "svg.fonttype": "path",
}

UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"

P = ParamSpec("P")


def themed(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Have a drawing function work under STYLE, whatever the user's own settings are."""

    @wraps(draw)
    def drawing(*arguments: P.args, **options: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", STYLE]):
            return draw(*arguments, **options)

    return drawing


def formulas(*texts: Text) -> None:
    """Have these texts of a figure set as mathematics; all others are shown as they are."""
    for text in texts:
        text.set_parse_math(True)


def name(text: str, most: int) -> str:
    """A name as a figure has room for it: one line of at most `most` characters, without what cannot be printed."""
    line = "".join(character if character.isprintable() else UNPRINTABLE for character in " ".join(text.split()))
    # In the middle: names of columns and of runs often begin alike.
    return line if len(line) <= most else f"{line[: most - most // 3 - 1]}…{line[len(line) - most // 3 :]}"


def png(figure: Figure) -> bytes:
    """The figure as a PNG of DPI pixels per inch."""
    return _saved(figure, format="png", metadata={"Software": None})


def svg(figure: Figure) -> bytes:
    """The figure as an SVG that needs no fonts; what is rasterised in it has DPI pixels per inch."""
    return _saved(figure, format="svg", metadata={"Date": None, "Creator": None})


def image_figure(
    image: UInt8[np.ndarray, "height width channel"],
    *,
    left: float = 0.0,
    right: float = 0.0,
    top: float = 0.0,
    bottom: float = 0.0,
) -> tuple[Figure, Axes]:
    """A figure around an image, one of its pixels to one of the PNG's, with margins in inches."""
    height, width = (size / DPI for size in image.shape[:2])
    # Whole pixels, or the image would be resampled, and some of its pixels drawn wider than others.
    left, right, top, bottom = (math.ceil(margin * DPI) / DPI for margin in (left, right, top, bottom))
    total_width, total_height = left + width + right, bottom + height + top
    figure = Figure(figsize=(total_width, total_height))
    axes = figure.add_axes((left / total_width, bottom / total_height, width / total_width, height / total_height))
    axes.imshow(image, interpolation="nearest", aspect="auto")
    axes.tick_params(length=0)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure, axes


def _saved(figure: Figure, **options: Any) -> bytes:
    file = BytesIO()
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        # A character that the font lacks is drawn as a box, which says enough.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, dpi=DPI, **options)
    return file.getvalue()

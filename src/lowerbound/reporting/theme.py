"""Style and colours of all figures; figures as PNG or SVG bytes.

Nothing here depends on the user's matplotlib settings or on the clock: the same results give the same bytes. Figures
are made without pyplot, which keeps its figures in a global list.

Names of columns, labels, runs and data come from the user: only texts marked by `formulas` are parsed as mathematics,
and `fit_name` shortens names. So "$\\frac{$" is a name like any other.
"""

import math
import warnings
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.text import Text

from lowerbound.reporting import palette

DPI = 200
"""Pixels per inch, twice a standard screen's, so that figures are sharp on high-density screens."""

WIDTH = 7.0
"""Width of a full figure in inches."""

NARROW = 4.4
"""Width in inches of a figure that shares its row with others, on the first screen of a report."""

PAPER, INK, MUTED, FAINT = palette.PAPER, palette.INK, palette.MUTED, palette.FAINT
TRAIN = palette.TRAIN
HELD_OUT = palette.VALIDATION
CATEGORIES = palette.CATEGORIES

TINTS = LinearSegmentedColormap.from_list("tints", [to_rgba(palette.TRAIN, 0.04), to_rgba(palette.TRAIN, 1.0)])
"""From nothing to the colour TRAIN by opacity alone, so that it suits white paper and a dark page."""

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
    "axes.prop_cycle": cycler(color=[palette.TRAIN]),
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
    "figure.facecolor": PAPER,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.facecolor": PAPER,
    "svg.hashsalt": "lowerbound",
    "svg.fonttype": "path",
}

UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"

P = ParamSpec("P")


def themed(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function under STYLE, whatever the user's own settings are."""

    @wraps(draw)
    def drawing(*arguments: P.args, **options: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", STYLE]):
            return draw(*arguments, **options)

    return drawing


def formulas(*texts: Text) -> None:
    """Typeset these texts of a figure as mathematics; all others are shown literally."""
    for text in texts:
        text.set_parse_math(True)


def fit_name(text: str, most: int) -> str:
    """A name on one line of at most `most` characters, unprintable characters replaced."""
    line = "".join(character if character.isprintable() else UNPRINTABLE for character in " ".join(text.split()))
    # Shortened in the middle: names of columns and of runs often begin alike.
    return line if len(line) <= most else f"{line[: most - most // 3 - 1]}…{line[len(line) - most // 3 :]}"


def png(figure: Figure) -> bytes:
    """The figure as a PNG of DPI pixels per inch."""
    return _saved(figure, format="png", metadata={"Software": None})


def svg(figure: Figure) -> bytes:
    """The figure as an SVG that needs no fonts; rasterised parts have DPI pixels per inch."""
    return _saved(figure, format="svg", metadata={"Date": None, "Creator": None})


def pixels(figure: Figure, dpi: int) -> UInt8[np.ndarray, "height width 3"]:
    """The figure as pixels, `dpi` for each inch."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    with matplotlib.style.context(["default", STYLE]):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def image_figure(
    image: UInt8[np.ndarray, "height width channel"],
    *,
    left: float = 0.0,
    right: float = 0.0,
    top: float = 0.0,
    bottom: float = 0.0,
) -> tuple[Figure, Axes]:
    """A figure around an image, pixel for pixel in the PNG, with margins in inches."""
    height, width = (size / DPI for size in image.shape[:2])
    # Whole pixels, otherwise the image would be resampled and some of its pixels drawn wider than others.
    left, right, top, bottom = (math.ceil(margin * DPI) / DPI for margin in (left, right, top, bottom))
    total_width, total_height = left + width + right, bottom + height + top
    figure = Figure(figsize=(total_width, total_height))
    axes = figure.add_axes((left / total_width, bottom / total_height, width / total_width, height / total_height))
    axes.imshow(image, interpolation="none", aspect="auto")
    axes.tick_params(length=0)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure, axes


def cells(axes: Axes, values: Float[np.ndarray, "row column"], most: float) -> None:
    """A table as coloured cells, in which `most` is the darkest; row and column k are at the number k."""
    rows, columns = (np.arange(number + 1) - 0.5 for number in values.shape)
    axes.pcolormesh(columns, rows, values, cmap=TINTS, vmin=0, vmax=most)
    axes.invert_yaxis()


def _saved(figure: Figure, **options: Any) -> bytes:
    file = BytesIO()
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        # Characters missing from the font are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, dpi=DPI, **options)
    return file.getvalue()

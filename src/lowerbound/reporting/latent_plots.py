"""Where the encoder puts the images: posterior means, coloured by label."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from lowerbound.evaluation.generation import most_used_dimensions
from lowerbound.evaluation.prior_shape import contour_lines
from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme

MAX_CATEGORIES = 20
"""Labels told apart at most: ten colours in two marker shapes. The rarer ones share a grey."""

MARKERS = ("o", "^")
OTHERS = "#b4bac1"
DASHED = (0, (4, 3))
LONGEST_NAME = 24
LONGEST_NAME_AMONG_DOTS = 8


@dataclass(frozen=True, eq=False)
class Category:
    """Examples that share a label, and how they are drawn."""

    name: str
    members: Bool[np.ndarray, " n"]
    colour: str
    marker: str


@theme.themed
def latent_space(results: Results) -> Figure:
    """The latent space: each dot is a test image, placed at the mean of its posterior, and its colour is
    its label, where the data have labels. The encoder has never seen a label, so colours that keep together
    were found from the images alone; neighbours are images that the model takes to be alike, and where
    colours mix it confuses them. Where there is a prior, 95 % of what it draws lies inside the dashed
    line: gaps in there are where samples look like nothing in the data. Without labels, darker cells hold
    more images.
    """
    return _plane(results, (0, 1))


@theme.themed
def latent_pair(results: Results) -> Figure:
    """Two dimensions of the latent space, those whose posterior means vary most over the test images, which
    is to say that the encoder uses most. All others are hidden, so dots that coincide here may lie apart.
    Each dot is a test image, its colour is its label, where the data have labels; without labels, darker
    cells hold more images. Where there is a prior, 95 % of what it draws lies inside the dashed line.
    """
    first, second = most_used_dimensions(results.arrays["latent_mean"])[:2]
    return _plane(results, (first, second))


@theme.themed
def latent_line(results: Results) -> Figure:
    """The latent line: how the posterior means of the test images spread over the one latent dimension,
    label by label where the data have labels. Hills that stand apart are labels that the code tells from
    one another; each hill is scaled to the same height.
    """
    z = results.arrays["latent_mean"][:, 0]
    rows = list(categories(results)) or [Category("all", np.ones(len(z), dtype=bool), theme.TRAIN, "o")]
    figure = Figure(figsize=(theme.WIDTH, 1.2 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(z.min() - 1e-3, z.max() + 1e-3, 81)
    for height, row in enumerate(reversed(rows)):
        counts, _ = np.histogram(z[row.members], edges)
        hill = height + 0.9 * counts / max(1, counts.max())
        axes.fill_between(edges[:-1], height, hill, step="post", color=row.colour, alpha=0.85, linewidth=0)
        axes.axhline(height, color=theme.FAINT, linewidth=0.8, zorder=0)
    axes.set_yticks(np.arange(len(rows)) + 0.3, [row.name for row in reversed(rows)])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    theme.formulas(axes.set_xlabel(dimension_name(0)))
    return figure


def dimension_name(index: int) -> str:
    """z₁ for the first latent dimension, and so on, for `theme.formulas`."""
    return f"$z_{{{index + 1}}}$"


def categories(results: Results) -> Iterator[Category]:
    """The labels of the test images in their own order; of more than MAX_CATEGORIES the rarer ones together."""
    labels = results.arrays.get("labels")
    if labels is None:
        return
    values, counts = np.unique(labels, return_counts=True)
    kept = values
    if len(values) > MAX_CATEGORIES:
        commonest = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
        kept = np.sort(values[commonest])
    for place, value in enumerate(kept):
        turn, colour = divmod(place, len(theme.CATEGORIES))
        yield Category(_label_name(results, int(value)), labels == value, theme.CATEGORIES[colour], MARKERS[turn])
    if len(kept) < len(values):
        yield Category(f"{len(values) - len(kept)} others", ~np.isin(labels, kept), OTHERS, "o")


def _label_name(results: Results, label: int) -> str:
    names = results.context.get("data", {}).get("label_names") or ()
    return theme.name(str(names[label]) if 0 <= label < len(names) else str(label), LONGEST_NAME)


def _plane(results: Results, dimensions: tuple[int, int]) -> Figure:
    z = results.arrays["latent_mean"][:, dimensions]
    shown = list(categories(results))
    figure = Figure(figsize=(theme.WIDTH, 5.6), layout="constrained")
    axes = figure.subplots()
    if shown:
        _dots(axes, z, shown)
        _names(axes, z, shown)
    else:
        _density(axes, z)
    contour = [Polygon(line, closed=False) for line in contour_lines(results.arrays)]
    for line in contour:
        line.set(fill=False, edgecolor=theme.MUTED, linestyle=DASHED)
        axes.add_patch(line)
    axes.set_aspect("equal", adjustable="datalim")
    theme.formulas(axes.set_xlabel(dimension_name(dimensions[0])), axes.set_ylabel(dimension_name(dimensions[1])))
    axes.grid(True)
    _legend(axes, shown, with_prior=bool(contour))
    return figure


def _dots(axes: Axes, z: Float[np.ndarray, "n 2"], shown: list[Category]) -> None:
    """Dots in an order that mixes the labels, lest the last one drawn cover the others."""
    size = float(np.clip(30_000 / len(z), 5, 26))
    order = np.random.default_rng(0).permutation(len(z))
    for marker in MARKERS:
        colours = np.full(len(z), "none", dtype=object)
        for category in shown:
            if category.marker == marker:
                colours[category.members] = category.colour
        drawn = order[colours[order] != "none"]
        style: dict[str, Any] = {"s": size, "marker": marker, "alpha": 0.75, "linewidths": 0, "rasterized": True}
        axes.scatter(z[drawn, 0], z[drawn, 1], c=list(colours[drawn]), **style)


def _legend(axes: Axes, shown: list[Category], with_prior: bool) -> None:
    handles = [Line2D([], [], color=row.colour, marker=row.marker, linestyle="none", label=row.name) for row in shown]
    if with_prior:
        label = "95 % of\nthe prior"
        handles.append(Line2D([], [], color=theme.MUTED, linewidth=1, linestyle=DASHED, label=label))
    if handles:
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.4)


def _names(axes: Axes, z: Float[np.ndarray, "n 2"], shown: list[Category]) -> None:
    """Each label's name at the middle of its dots, so that colour is not all there is to go by."""
    named = [row for row in shown if row.colour != OTHERS and len(row.name) <= LONGEST_NAME_AMONG_DOTS]
    if not named:
        return
    middles = np.stack([np.median(z[row.members], axis=0) for row in named])
    places = spread(middles, distance=0.055 * float(np.ptp(z, axis=0).max()))
    halo = [patheffects.withStroke(linewidth=3, foreground="white")]
    style: dict[str, Any] = {"ha": "center", "va": "center", "size": 12, "weight": "bold", "path_effects": halo}
    for row, place in zip(named, places, strict=True):
        axes.text(place[0], place[1], row.name, color=row.colour, **style)


def spread(points: Float[np.ndarray, "n 2"], distance: float) -> Float[np.ndarray, "n 2"]:
    """The points, pushed apart where two were nearer to one another than `distance`."""
    points = points.astype(float)
    for _ in range(50):
        for i, j in combinations(range(len(points)), 2):
            apart = points[j] - points[i]
            length = float(np.hypot(*apart))
            if length < distance:
                direction = apart / length if length > 0 else np.array([1.0, 0.0])
                points[i] -= direction * (distance - length) / 2
                points[j] += direction * (distance - length) / 2
    return points


def _density(axes: Axes, z: Float[np.ndarray, "n 2"]) -> None:
    cells = int(np.clip(math.sqrt(len(z)), 12, 80))
    axes.hexbin(*z.T, gridsize=cells, mincnt=1, cmap="Blues", vmin=0, linewidths=0, rasterized=True)

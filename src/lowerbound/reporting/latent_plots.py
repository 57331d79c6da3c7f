"""Figures of the latent space: posterior means of the test images, coloured by label, in one or two dimensions."""

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

from lowerbound.evaluation.generation import most_used_dimensions
from lowerbound.evaluation.prior_shape import contour_lines
from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme
from lowerbound.reporting.tiles import evenly

MAX_CATEGORIES = 20
"""Most labels that are distinguished: ten colours in two marker shapes. Rarer labels share a grey."""

MAX_NUMBERED = 20
"""Most categories of a code whose shares are written as numbers."""

MAP = 135.0
"""Half the height of the map of a sphere, on which half the width is 180."""

MAX_COMPARED = 500
"""About as many dots of a label are compared to find the one in the middle."""

MARKERS = ("o", "^")
OTHERS = "#b4bac1"
DASHED = (0, (4, 3))
LONGEST_NAME = 24
LONGEST_NAME_AMONG_DOTS = 8


@dataclass(frozen=True, eq=False)
class Category:
    """Examples that share a label, with their colour and marker."""

    name: str
    members: Bool[np.ndarray, " n"]
    colour: str
    marker: str


@theme.themed
def latent_space(results: Results) -> Figure:
    """The latent space: each dot is a test image at its posterior mean, coloured by its label where the data have
    labels. The encoder has never seen a label, so groups of one colour were found from the images alone; neighbouring
    images look alike to the model, and where colours mix the model confuses them. Where a dashed line is drawn, 95 % of
    the prior lies inside it: samples from gaps inside that line look like nothing in the data. Without labels, darker
    cells contain more images.
    """
    return _plane(results, (0, 1))


@theme.themed
def latent_pair(results: Results) -> Figure:
    """The two latent dimensions whose posterior means vary most over the test images: those that the encoder uses most.
    All others are hidden, so dots that coincide here may be far apart. Each dot is a test image, coloured by its label
    where the data have labels; without labels, darker cells contain more images. Where a dashed line is drawn, 95 % of
    the prior lies inside it.
    """
    first, second = most_used_dimensions(results.arrays["latent_mean"])[:2]
    return _plane(results, (first, second))


@theme.themed
def latent_sphere(results: Results) -> Figure:
    """The latent space, the sphere in three dimensions as a map: each dot is a test image at the mean direction of its
    posterior, coloured by its label where the data have labels. Areas on the map are areas on the sphere, so with the
    uniform prior all places are equally probable; the left and the right end are the same meridian, and the upper and
    the lower edge are one point each.
    """
    figure, axes = _plane_of(results, _on_map(results.arrays["longitude_latitude"]))
    axes.set(xlabel="longitude (degrees)", ylabel="latitude (degrees)", xlim=(-180, 180), ylim=(-MAP, MAP))
    axes.set_xticks(np.arange(-180, 181, 60), [_degrees(place) for place in range(-180, 181, 60)])
    latitudes = np.array([-90.0, -45, -20, 0, 20, 45, 90])
    heights = _on_map(np.stack([latitudes, latitudes], -1))[:, 1]
    axes.set_yticks(heights, [_degrees(int(place)) for place in latitudes])
    return figure


def _on_map(place: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Longitude and latitude on the map, where areas are those of the sphere."""
    return np.stack([place[:, 0], MAP * np.sin(np.radians(place[:, 1]))], -1)


@theme.themed
def latent_triangle(results: Results) -> Figure:
    """The latent space, the simplex of three components as a triangle: each dot is a test image at the centre of its
    posterior, coloured by its label where the data have labels. At a corner the code consists of one component, on the
    opposite side it has none of it, and in the middle all three are equal.
    """
    figure, axes = _plane_of(results, results.arrays["triangle"])
    height = math.sqrt(3) / 2
    axes.plot([0, 1, 0.5, 0], [0, 0, height, 0], color=theme.MUTED, linewidth=1)
    for index, (x, y, across, up) in enumerate(
        ((0, 0, "right", "top"), (1, 0, "left", "top"), (0.5, height, "center", "bottom"))
    ):
        theme.formulas(axes.text(x, y, dimension_label(index), ha=across, va=up, size=13))
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    return figure


@theme.themed
def category_shares(results: Results) -> Figure:
    """The latent space, the one-hot codes: each row is a group, each column a category of it, and the number is the
    share of the test images, in percent, whose most probable code has that category. A category that is hardly ever
    used is of no use to the decoder; a group that uses a single one carries no information.
    """
    shares = 100 * results.arrays["category_shares"]
    num_groups, num_categories = shares.shape
    size = min(theme.WIDTH, 1.2 + 0.62 * num_categories), 1.1 + 0.34 * num_groups
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=max(1e-6, float(shares.max())) * 1.4, aspect="auto")
    if num_categories <= MAX_NUMBERED:
        for (group, category), share in np.ndenumerate(shares):
            axes.text(category, group, f"{share:.0f}", ha="center", va="center", size=8)
    shown = evenly(num_categories, most=16), evenly(num_groups, most=16)
    axes.set_xticks(shown[0], [str(index + 1) for index in shown[0]])
    axes.set_yticks(shown[1], [str(index + 1) for index in shown[1]])
    axes.set(xlabel="category", ylabel="group")
    return figure


@theme.themed
def latent_line(results: Results) -> Figure:
    """The distribution of the posterior means of the test images along the one latent dimension, by label where the
    data have labels. Separate peaks are labels that the code distinguishes; each peak is scaled to the same height.
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
    theme.formulas(axes.set_xlabel(dimension_label(0)))
    return figure


def _degrees(angle: int) -> str:
    return f"{angle}°".replace("-", "−")


def dimension_label(index: int) -> str:
    """The formula z₁ for the first latent dimension, and so on."""
    return f"$z_{{{index + 1}}}$"


def categories(results: Results) -> Iterator[Category]:
    """The labels of the test images in order; of more than MAX_CATEGORIES, the rarest are merged."""
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
    return theme.fit_name(str(names[label]) if 0 <= label < len(names) else str(label), LONGEST_NAME)


def _plane(results: Results, dimensions: tuple[int, int]) -> Figure:
    figure, axes = _plane_of(results, results.arrays["latent_mean"][:, dimensions])
    for line in contour_lines(results.arrays):
        axes.plot(*line.T, color=theme.MUTED, linestyle=DASHED, linewidth=1)
    axes.set_aspect("equal", adjustable="datalim")
    theme.formulas(axes.set_xlabel(dimension_label(dimensions[0])), axes.set_ylabel(dimension_label(dimensions[1])))
    return figure


def _plane_of(results: Results, place: Float[np.ndarray, "n 2"]) -> tuple[Figure, Axes]:
    """A figure with the test images at these places: dots with names and a legend or, without labels, their density."""
    shown = list(categories(results))
    figure = Figure(figsize=(theme.WIDTH, 5.6), layout="constrained")
    axes = figure.subplots()
    if shown:
        _dots(axes, place, shown)
        _names(axes, place, shown)
    else:
        _density(axes, place)
    axes.grid(True)
    _legend(axes, shown, with_prior="prior_contour_points" in results.arrays)
    return figure, axes


def _dots(axes: Axes, z: Float[np.ndarray, "n 2"], shown: list[Category]) -> None:
    """Dots in random order, so that no label covers the others."""
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
    """Each label's name in the middle of its dots, so that labels can be read without relying on colour."""
    named = [row for row in shown if row.colour != OTHERS and len(row.name) <= LONGEST_NAME_AMONG_DOTS]
    if not named:
        return
    middles = np.stack([_middle(z[row.members]) for row in named])
    places = push_apart(middles, distance=0.055 * float(np.ptp(z, axis=0).max()))
    halo = [patheffects.withStroke(linewidth=3, foreground="white")]
    style: dict[str, Any] = {"ha": "center", "va": "center", "size": 12, "weight": "bold", "path_effects": halo}
    for row, place in zip(named, places, strict=True):
        axes.text(place[0], place[1], row.name, color=row.colour, **style)


def _middle(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " 2"]:
    """The point that is nearest to the others in the median, so that a name stands among its dots."""
    some = points[:: max(1, len(points) // MAX_COMPARED)]
    distances = np.linalg.norm(some[:, None] - some[None], axis=-1)
    nearest: Float[np.ndarray, " 2"] = some[np.median(distances, axis=1).argmin()]
    return nearest


def push_apart(points: Float[np.ndarray, "n 2"], distance: float) -> Float[np.ndarray, "n 2"]:
    """The points, moved until no two are closer than `distance`."""
    points = points.astype(float)
    for _ in range(50):
        for i, j in combinations(range(len(points)), 2):
            difference = points[j] - points[i]
            length = float(np.hypot(*difference))
            if length < distance:
                direction = difference / length if length > 0 else np.array([1.0, 0.0])
                points[i] -= direction * (distance - length) / 2
                points[j] += direction * (distance - length) / 2
    return points


def _density(axes: Axes, z: Float[np.ndarray, "n 2"]) -> None:
    cells = int(np.clip(math.sqrt(len(z)), 12, 80))
    axes.hexbin(*z.T, gridsize=cells, mincnt=1, cmap="Blues", vmin=0, linewidths=0, rasterized=True)

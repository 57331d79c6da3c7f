"""Figures of the latent space: posterior means of the test images, coloured by label, in one or two dimensions."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lowerbound.evaluation.generation import most_used_dimensions
from lowerbound.evaluation.prior_shape import contour_lines
from lowerbound.evaluation.results import Results
from lowerbound.reporting import palette, theme
from lowerbound.reporting.terms import adapted_wording
from lowerbound.reporting.tiles import evenly

MAX_CATEGORIES = 20
"""Most labels that are distinguished: ten colours in two marker shapes. Rarer labels share a grey."""

MAX_NUMBERED = 20
"""Most categories of a code whose shares are written as numbers."""

MAP = 135.0
"""Half the height of the map of a sphere, on which half the width is 180."""

MAX_COMPARED = 500
"""About as many dots of a label are compared to find the one in the middle."""

MAX_DOTS = 12_000
"""Dots that are drawn of labelled images; of more, some at random."""

FEW = 2_000
"""Unlabelled images up to which dots are drawn instead of their density."""

TURNS = 6
"""Dots are drawn in this many turns, in each of which every label has its share."""

OTHER_SPLITS = ("validation", "train")

MARKERS = ("o", "^")
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


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of examples, with labels if the data have any."""

    array: Float[np.ndarray, "n number"]
    labels: Int[np.ndarray, " n"] | None
    is_test: Bool[np.ndarray, " n"]
    left_out: int = 0  # examples that are not drawn


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
    figure, axes = _plane_of(results, "longitude_latitude", _on_map)
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
    figure, axes = _plane_of(results, "triangle")
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
    theme.cells(axes, shares, max(1e-6, float(shares.max())) * 1.4)
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
    labels = results.arrays.get("labels")
    rows = [] if labels is None else list(categories(results, labels))
    rows = rows or [Category("all", np.ones(len(z), dtype=bool), theme.TRAIN, "o")]
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


def categories(results: Results, labels: Int[np.ndarray, " n"]) -> Iterator[Category]:
    """The labels in order; of more than MAX_CATEGORIES, the rarest are merged."""
    values, counts = np.unique(labels, return_counts=True)
    kept = values
    if len(values) > MAX_CATEGORIES:
        commonest = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
        kept = np.sort(values[commonest])
    for place, value in enumerate(kept):
        turn, colour = divmod(place, len(theme.CATEGORIES))
        yield Category(_label_name(results, int(value)), labels == value, theme.CATEGORIES[colour], MARKERS[turn])
    if len(kept) < len(values):
        yield Category(f"{len(values) - len(kept)} others", ~np.isin(labels, kept), palette.OTHERS, "o")


def _label_name(results: Results, label: int) -> str:
    names = results.context.get("data", {}).get("label_names") or ()
    return theme.fit_name(str(names[label]) if 0 <= label < len(names) else str(label), LONGEST_NAME)


def _plane(results: Results, dimensions: tuple[int, int]) -> Figure:
    figure, axes = _plane_of(results, "latent_mean", lambda code: code[:, dimensions])
    for line in contour_lines(results.arrays):
        axes.plot(*line.T, color=theme.MUTED, linestyle=DASHED, linewidth=1)
    axes.set_aspect("equal", adjustable="datalim")
    theme.formulas(axes.set_xlabel(dimension_label(dimensions[0])), axes.set_ylabel(dimension_label(dimensions[1])))
    return figure


def _plane_of(
    results: Results,
    name: str,
    place_of: Callable[[Float[np.ndarray, "n number"]], Float[np.ndarray, "n 2"]] = lambda code: code,
) -> tuple[Figure, Axes]:
    """A figure with the images at their places: dots with names and a legend or, without labels, their density."""
    codes = _codes(results, name)
    place = place_of(codes.array)
    shown = [] if codes.labels is None else list(categories(results, codes.labels))
    figure = Figure(figsize=(theme.NARROW, theme.NARROW + 0.35), layout="constrained")
    axes = figure.subplots()
    if shown or len(place) <= FEW:
        _dots(axes, place, codes.is_test, shown)
        _names(axes, place, codes.is_test, shown)
    else:
        _density(axes, place)
    axes.grid(True)
    _legend(figure, shown, [*_splits(codes.is_test), *_prior(results)])
    if codes.left_out:
        about = f"{len(place):,} of {len(place) + codes.left_out:,} test images"
        axes.set_title(adapted_wording(results, about), color=theme.MUTED, size=8.5)
    return figure, axes


def _codes(results: Results, name: str) -> Codes:
    """The codes of the test images and, where results have them, of the other splits."""
    others = [split for split in OTHER_SPLITS if f"{name}_{split}" in results.arrays]
    parts = [results.arrays[name], *(results.arrays[f"{name}_{split}"] for split in others)]
    array, is_test = np.concatenate(parts), np.arange(sum(map(len, parts))) < len(parts[0])
    labels = results.arrays.get("labels")
    if labels is not None:
        labels = np.concatenate([labels, *(results.arrays[f"labels_{split}"] for split in others)])
    if len(array) <= MAX_DOTS or labels is None:
        return Codes(array, labels, is_test)
    some = np.random.default_rng(0).permutation(len(array))[:MAX_DOTS]
    return Codes(array[some], labels[some], is_test[some], len(array) - MAX_DOTS)


def _dots(axes: Axes, z: Float[np.ndarray, "n 2"], is_test: Bool[np.ndarray, " n"], shown: list[Category]) -> None:
    """Dots in random order, so that no label covers the others; those of the test split above those of the others."""
    size = float(np.clip(16_000 / len(z), 4, 20))
    turn = np.random.default_rng(0).integers(0, TURNS, len(z))
    shown = shown or [Category("", np.ones(len(z), dtype=bool), theme.TRAIN, "o")]
    for of_test, scale, alpha in ((False, 0.45, 0.45), (True, 1.0, 0.8)):
        for marker in MARKERS:
            rows = [row for row in shown if row.marker == marker]
            drawn = [
                (z[chosen], row.colour)
                for number in range(TURNS)
                for row in rows
                if (chosen := row.members & (turn == number) & (is_test == of_test)).any()
            ]
            if not drawn:
                continue
            colours = [colour for place, colour in drawn for _ in place]
            place = np.concatenate([place for place, _ in drawn])
            style: dict[str, Any] = {"s": scale * size, "marker": marker, "alpha": alpha, "linewidths": 0}
            axes.scatter(place[:, 0], place[:, 1], c=colours, **style)


def _splits(is_test: Bool[np.ndarray, " n"]) -> Iterator[Line2D]:
    """What the sizes of dots mean, where there are two."""
    if not is_test.all():
        for label, size in (("test", 5.0), ("train, validation", 2.8)):
            style: dict[str, Any] = {"color": theme.MUTED, "marker": "o", "markersize": size, "linestyle": "none"}
            yield Line2D([], [], **style, markeredgewidth=0, label=label)


def _prior(results: Results) -> Iterator[Line2D]:
    if "prior_contour_points" in results.arrays:
        yield Line2D([], [], color=theme.MUTED, linewidth=1, linestyle=DASHED, label="95 % of the prior")


def _legend(figure: Figure, shown: list[Category], others: list[Line2D]) -> None:
    """Labels below the axes, as many in a row as their names allow, and the rest above."""
    style: dict[str, Any] = {"linestyle": "none", "markersize": 5, "markeredgewidth": 0}
    handles = [Line2D([], [], color=row.colour, marker=row.marker, label=row.name, **style) for row in shown]
    longest = max((len(row.name) for row in shown), default=0)
    spacing = {"handlelength": 1.2, "handletextpad": 0.4, "columnspacing": 1.0, "borderaxespad": 0.2, "fontsize": 8}
    if others:
        figure.legend(handles=others, loc="outside upper right", ncols=len(others), **spacing)
    if handles:
        columns = int(np.clip(50 // (longest + 4), 1, 10))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, **spacing)


def _names(axes: Axes, z: Float[np.ndarray, "n 2"], is_test: Bool[np.ndarray, " n"], shown: list[Category]) -> None:
    """Each label's name in the middle of its dots, so that labels can be read without relying on colour."""
    named = [row for row in shown if row.colour != palette.OTHERS and len(row.name) <= LONGEST_NAME_AMONG_DOTS]
    named = [row for row in named if (row.members & is_test).any()]
    if not named:
        return
    middles = np.stack([_middle(z[row.members & is_test]) for row in named])
    places = push_apart(middles, distance=0.055 * float(np.ptp(z, axis=0).max()))
    halo = [patheffects.withStroke(linewidth=3, foreground=theme.PAPER)]
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
    axes.hexbin(*z.T, gridsize=cells, mincnt=1, cmap=theme.TINTS, vmin=0, linewidths=0, rasterized=True)

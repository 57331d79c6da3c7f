"""Figures of a sweep: the rate-distortion plane with its frontier, and scores against the values that were swept."""

import math
from collections.abc import Sequence
from itertools import cycle
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from lowerbound.evaluation.results import Score
from lowerbound.evaluation.sweep_results import Plane, SweepPoint, SweepResults
from lowerbound.foundation.number_format import MINUS
from lowerbound.reporting import theme
from lowerbound.reporting.wording import describe_convention, score_title

NUM_ERRORS = 2.0
MAX_NAME = 28  # characters
MOST_LABELS = 40  # runs with their names in the plane
LAST_NAME = 0.88  # of the width of the plane: where the last line has room for its name
NUM_LEVELS = 8  # lines of constant ELBO
WIDE_RANGE = 8  # of positive values, from which their axis is logarithmic
COLUMNS = 3
NOT_PLOTTED = ("rate", "distortion", "z-free-distortion", "grey-floor", "reconstruction-error")
"""Scores in the plane of rate and distortion, and those of the data."""

PLACES = ((5, 5, "left", "bottom"), (5, -5, "left", "top"), (-5, 5, "right", "bottom"), (-5, -5, "right", "top"))
"""Where a name may stand beside its point: offsets in points of print, and how it is aligned."""


@theme.themed
def rate_distortion(plane: Plane) -> Figure:
    """Rate and distortion of every point of the sweep on the test split, with two standard errors where they are known.
    Along each dotted line the ELBO, minus their sum, is constant; it is higher towards the lower left. Filled markers
    are the Pareto set: no other point has both a lower rate and a lower distortion. The solid line is the lower convex
    hull of the points, the frontier on which distortion + β rate is minimal for some β.
    """
    figure = Figure(figsize=(theme.WIDTH, 4.6), layout="constrained")
    axes = figure.subplots()
    is_best = {id(point) for point in plane.pareto}
    for point in plane.points:
        _draw_point(axes, point, id(point) in is_best)
    corners = [place for point in plane.hull if (place := point.rate_point)]
    axes.plot(*zip(*corners, strict=True), color=theme.HELD_OUT, linewidth=1.6, zorder=1)
    axes.margins(0.12)
    axes.set(xlabel="rate, nats per example", ylabel="distortion, nats per example")
    names = ", ".join(key.rpartition(".")[2] for key in plane.points[0].values)
    about = f"{describe_convention(plane.convention)}; points by {theme.fit_name(names, 2 * MAX_NAME)}"
    axes.set_title(about, color=theme.MUTED, size=8.5)
    _draw_elbo_levels(axes)
    figure.draw_without_rendering()
    if len(plane.points) <= MOST_LABELS:
        _label(axes, plane.points)
    return figure


def frontier_in_words(plane: Plane) -> str:
    """The points of the Pareto set, by increasing rate, and those of the hull."""
    pareto, hull = (", ".join(f"({point.label})" for point in points) for points in (plane.pareto, plane.hull))
    return f"Pareto set, by increasing rate: {pareto}. Corners of the lower convex hull: {hull}."


def _draw_point(axes: Axes, point: SweepPoint, is_best: bool) -> None:
    rate, distortion = point.score("rate"), point.score("distortion")
    assert rate is not None and distortion is not None
    axes.errorbar(
        rate.value,
        distortion.value,
        xerr=_error(rate),
        yerr=_error(distortion),
        fmt="o",
        color=theme.TRAIN,
        markerfacecolor=theme.TRAIN if is_best else theme.PAPER,
        markersize=5,
        elinewidth=0.8,
        capsize=2,
    )


def _error(score: Score) -> float:
    return NUM_ERRORS * score.standard_error if score.standard_error is not None else 0.0


def _draw_elbo_levels(axes: Axes) -> None:
    """Dotted lines of constant ELBO across the axes, each with its value at its upper or left end."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for level in MaxNLocator(NUM_LEVELS).tick_values(left + bottom, right + top):
        start = max(left, level - top)
        if not left + bottom < level or start > left + LAST_NAME * (right - left):
            continue
        axes.plot([left, right], [level - left, level - right], ":", color=theme.MUTED, linewidth=0.8, zorder=0)
        axes.annotate(
            f"ELBO {MINUS if level > 0 else ''}{abs(level):g}",
            (start, level - start),
            (5, -2),
            textcoords="offset points",
            ha="left",
            va="top",
            size=7,
            color=theme.MUTED,
            clip_on=True,
            bbox={"facecolor": theme.PAPER, "edgecolor": "none", "pad": 0.5},
        )
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _label(axes: Axes, points: Sequence[SweepPoint]) -> None:
    """Name every point, in the first of PLACES where the name covers no other one and no marker."""
    markers = [axes.transData.transform(place) for point in points if (place := point.rate_point)]
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in markers]
    for point in points:
        for right, up, horizontal, vertical in PLACES:
            text = axes.annotate(
                theme.fit_name(", ".join(f"{value}" for value in point.values.values()), MAX_NAME),
                point.rate_point,  # type: ignore[arg-type]
                (right, up),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                size=7.5,
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken) or (right, up) == PLACES[-1][:2]:
                taken.append(box)
                break
            text.remove()


@theme.themed
def scores_against_values(results: SweepResults) -> Figure:
    """Scores of the test split against the swept values, with two standard errors: over the examples for a single seed,
    over the seeds for several.
    """
    names = plotted_scores(results)
    num_rows = math.ceil(len(names) / COLUMNS)
    figure = Figure(figsize=(theme.WIDTH, 0.5 + 2.2 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, COLUMNS, squeeze=False).flatten()
    key, series = _axis_and_series(results)
    for axes, name in zip(panels, names, strict=False):
        _draw_score(axes, name, key, series)
        _set_scale(axes, results.over[key])
        axes.set_xlabel(theme.fit_name(key.rpartition(".")[2], MAX_NAME))
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    if len(series) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=4)
    return figure


def plotted_scores(results: SweepResults) -> list[str]:
    """The scores of the test split that at least two points have and in which these differ, in the order of reports."""
    values: dict[str, list[float]] = {}
    for point in results.points:
        for score in point.scores():
            values.setdefault(score.name, []).append(score.value)
    return [name for name, found in values.items() if len(set(found)) > 1 and name not in NOT_PLOTTED]


def _axis_and_series(results: SweepResults) -> tuple[str, dict[str, list[SweepPoint]]]:
    """The key of the horizontal axis, the first with numbers, and the points of each line, by the values of the others.

    Conventions are not mixed in a line.
    """
    key = next((key for key, values in results.over.items() if _are_numbers(values)), next(iter(results.over)))
    series: dict[str, list[SweepPoint]] = {}
    for point in results.points:
        others = ", ".join(f"{name.rpartition('.')[2]}={value}" for name, value in point.values.items() if name != key)
        series.setdefault(others, []).append(point)
    return key, series


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _draw_score(axes: Axes, name: str, key: str, series: dict[str, list[SweepPoint]]) -> None:
    scores = []
    for colour, (label, points) in zip(cycle(theme.CATEGORIES), series.items(), strict=False):
        found = [(_position(point.values[key]), score) for point in points if (score := point.score(name))]
        if _are_numbers([position for position, _ in found]):
            found.sort(key=lambda pair: pair[0])
        scores += [score for _, score in found]
        axes.errorbar(
            [position for position, _ in found],
            [score.value for _, score in found],
            yerr=[_error(score) for _, score in found],
            fmt="o-" if _are_numbers([position for position, _ in found]) else "o",
            color=theme.TRAIN if len(series) == 1 else colour,
            markersize=4,
            linewidth=1.2,
            capsize=2,
            label=theme.fit_name(label, MAX_NAME),
        )
    axes.set_title(fill(score_title(name), MAX_NAME), size=8.5)
    if scores:
        axes.set_ylabel(scores[0].unit)
    axes.grid(axis="y")


def _position(value: Any) -> Any:
    return value if _are_numbers([value]) else theme.fit_name(str(value), MAX_NAME)


def _set_scale(axes: Axes, values: Sequence[Any]) -> None:
    if not _are_numbers(values):
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
        return
    if min(values) > 0 and max(values) / min(values) >= WIDE_RANGE:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    if len(values) <= 6:
        axes.set_xticks(np.array(sorted(values), float), [f"{value:g}" for value in sorted(values)])
        axes.minorticks_off()

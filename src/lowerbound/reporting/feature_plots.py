"""Figures of single features of arrays and tables: distributions of data and samples, reconstructions."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme

COLUMNS = 3
PANEL_HEIGHT = 1.55  # inches
MAX_BINS = 30
MAX_NAME, MAX_LEVEL = 24, 10  # characters
MAX_DOT, MIN_DOT = 5.0, 2.5  # points: for few examples and for many


@theme.themed
def sampled_features(results: Results) -> Figure:
    """The distribution of each feature in the data and in the model: filled, the values of test examples; the line,
    those of a thousand samples from the model, drawn from the prior through the decoder and its likelihood. Where the
    two differ, the model has not learned the distribution of that feature. Dependence between features is not shown.
    Missing cells are excluded.
    """
    real, drawn = results.arrays["elements"], results.arrays["elements_drawn"]
    figure, panels = _panels(results)
    for index, axes in enumerate(panels):
        _compare(axes, real[:, index], drawn[:, index], _levels(results, index))
    figure.legend(panels[0].patches[:2], ["test examples", "samples of the model"], loc="outside upper right", ncols=2)
    return figure


@theme.themed
def reconstructed_features(results: Results) -> Figure:
    """How much of each feature survives encoding: each dot is a test example, with its value on the horizontal axis and
    its reconstruction on the vertical axis; on the dashed line they are equal. A flat cloud is a feature that the code
    does not carry. Categories are shown as their numbers, with a little jitter.
    """
    real, reconstructed = results.arrays["elements"], results.arrays["elements_reconstructed"]
    figure, panels = _panels(results)
    jitter = np.random.default_rng(0).uniform(-0.18, 0.18, (2, len(real)))
    for index, axes in enumerate(panels):
        offset = jitter if _levels(results, index) else 0 * jitter
        x, y = real[:, index] + offset[0], reconstructed[:, index] + offset[1]
        dot = MAX_DOT if len(real) <= 100 else MIN_DOT
        axes.plot(x, y, ".", markersize=dot, color=theme.TRAIN, alpha=0.5, markeredgewidth=0)
        known = x[~np.isnan(x)]
        ends = [known.min(), known.max()] if known.size else [0.0, 1.0]
        axes.plot(ends, ends, "--", color=theme.MUTED, linewidth=0.8)
    figure.supxlabel("value", size=9.5)
    figure.supylabel("reconstructed", size=9.5)
    return figure


def _panels(results: Results) -> tuple[Figure, list[Axes]]:
    num = results.arrays["elements"].shape[1]
    rows = -(-num // COLUMNS)
    figure = Figure(figsize=(theme.WIDTH, 0.5 + PANEL_HEIGHT * rows), layout="constrained")
    grid = figure.subplots(rows, min(COLUMNS, num), squeeze=False).ravel().tolist()
    for unused in grid[num:]:
        unused.remove()
    for index, axes in enumerate(grid[:num]):
        axes.set_title(_name(results, index), size=9)
        axes.tick_params(labelsize=7.5)
    return figure, grid[:num]


def _compare(axes: Axes, real: np.ndarray, drawn: np.ndarray, levels: list[str]) -> None:
    real, drawn = real[~np.isnan(real)], drawn[~np.isnan(drawn)]
    if levels:
        edges = np.arange(len(levels) + 1) - 0.5
        if len(levels) <= 4:
            axes.set_xticks(range(len(levels)), [theme.fit_name(level, MAX_LEVEL) for level in levels])
    else:
        low, high = np.quantile(np.concatenate([real, drawn]), [0.002, 0.998]) if real.size else (0.0, 1.0)
        num_bins = min(MAX_BINS, max(6, round(2 * np.sqrt(len(real)))))
        edges = np.linspace(low, high if high > low else low + 1, num_bins + 1)
    for values, fill in ((real, True), (drawn, False)):
        heights = np.histogram(values, edges)[0] / max(1, len(values))
        style = {"color": theme.FAINT} if fill else {"color": theme.HELD_OUT, "linewidth": 1.2}
        axes.stairs(heights, edges, fill=fill, **style)
    axes.set_yticks([])


def _name(results: Results, index: int) -> str:
    columns, position = _columns(results), int(results.arrays["elements_shown"][index])
    return theme.fit_name(columns[position]["name"], MAX_NAME) if columns else f"feature {position}"


def _levels(results: Results, index: int) -> list[str]:
    columns = _columns(results)
    return list(columns[int(results.arrays["elements_shown"][index])]["levels"]) if columns else []


def _columns(results: Results) -> list[dict[str, Any]]:
    return list(results.context.get("data", {}).get("columns", []))

"""What models of arrays and tables show: single elements, in the data and as the model draws them."""

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
MAX_DOT, MIN_DOT = 5.0, 2.5  # points: of few examples and of many


@theme.themed
def sampled_features(results: Results) -> Figure:
    """What the model takes the data to be, element by element: filled, the values of test examples; the
    line, those of a thousand examples that the model draws, from the prior through the decoder and its
    likelihood. Where the two differ, the model has not learned how that element is distributed. How
    elements go together is not seen here. Missing cells are left out.
    """
    real, drawn = results.arrays["elements"], results.arrays["elements_drawn"]
    figure, panels = _panels(results)
    for index, axes in enumerate(panels):
        _compare(axes, real[:, index], drawn[:, index], _levels(results, index))
    figure.legend(panels[0].patches[:2], ["test examples", "drawn by the model"], loc="outside upper right", ncols=2)
    return figure


@theme.themed
def reconstructed_features(results: Results) -> Figure:
    """What of each element survives the code: each dot is a test example, its value to the right and what is
    reconstructed of it upwards; on the dashed line they are equal. A flat cloud is an element that the code
    says nothing of. Categories are shown by their numbers, moved apart a little.
    """
    real, reconstructed = results.arrays["elements"], results.arrays["elements_reconstructed"]
    figure, panels = _panels(results)
    jitter = np.random.default_rng(0).uniform(-0.18, 0.18, (2, len(real)))
    for index, axes in enumerate(panels):
        apart = jitter if _levels(results, index) else 0 * jitter
        x, y = real[:, index] + apart[0], reconstructed[:, index] + apart[1]
        dot = MAX_DOT if len(real) <= 100 else MIN_DOT
        axes.plot(x, y, ".", markersize=dot, color=theme.TRAIN, alpha=0.5, markeredgewidth=0, rasterized=True)
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
            axes.set_xticks(range(len(levels)), [theme.name(level, MAX_LEVEL) for level in levels])
    else:
        low, high = np.quantile(np.concatenate([real, drawn]), [0.002, 0.998]) if real.size else (0.0, 1.0)
        num_bins = min(MAX_BINS, max(6, round(2 * np.sqrt(len(real)))))
        edges = np.linspace(low, high if high > low else low + 1, num_bins + 1)
    for values, fill in ((real, True), (drawn, False)):
        heights = np.histogram(values, edges)[0] / max(1, len(values))
        style = {"color": theme.FAINT} if fill else {"color": theme.WATCHED, "linewidth": 1.2}
        axes.stairs(heights, edges, fill=fill, **style)
    axes.set_yticks([])


def _name(results: Results, index: int) -> str:
    columns, position = _columns(results), int(results.arrays["elements_shown"][index])
    return theme.name(columns[position]["name"], MAX_NAME) if columns else f"element {position}"


def _levels(results: Results, index: int) -> list[str]:
    columns = _columns(results)
    return list(columns[int(results.arrays["elements_shown"][index])]["levels"]) if columns else []


def _columns(results: Results) -> list[dict[str, Any]]:
    return list(results.context.get("data", {}).get("columns", []))

"""score_figure: anomaly scores of examples beside those of the held-out ones from which the threshold comes."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from lowerbound.reporting import theme

BINS = 40
MARKS = 60
"""Up to this number of examples, each is a mark rather than a part of a bar."""


@theme.themed
def score_figure(
    scores: Float[np.ndarray, " n"], held_out: Float[np.ndarray, " m"], threshold: float, name: str
) -> Figure:
    """Scores of the examples, above, and of the held-out examples, below; the line is the threshold. Bars count
    examples; up to 60 examples are drawn as marks. Both share the axis, in nats; higher is more anomalous.
    """
    scores = scores[np.isfinite(scores)]
    figure = Figure(figsize=(theme.WIDTH, 3.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    together = np.concatenate([scores, held_out, [threshold]])
    edges = np.linspace(together.min(), together.max() + 1e-9, BINS + 1)
    for axes, values, colour, about in (
        (upper, scores, theme.TRAIN, "scored"),
        (lower, held_out, theme.MUTED, "held out"),
    ):
        if len(values) <= MARKS:
            axes.plot(values, np.zeros(len(values)), "|", markersize=22, markeredgewidth=1.6, color=colour)
            axes.set_ylim(-1, 1)
            axes.set_yticks([])
        else:
            axes.hist(values, edges, color=colour)
        axes.axvline(threshold, color=theme.INK, linewidth=1.2)
        axes.set_ylabel(about)
    upper.annotate(
        "threshold", (threshold, 1), (4, -3), xycoords=("data", "axes fraction"), textcoords="offset points", va="top"
    )
    lower.set_xlabel(f"{name}, nats")
    return figure

"""How good is the bound: ever tighter bounds against the exact line, and the gap taken apart."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme
from lowerbound.reporting.wording import in_data_terms, measured, pixels, pluralise

GAPS = ("amortisation", "approximation")

LEVELS = {
    "log p(x), exact": ("log_evidence_per_image", "--"),
    "log p(x), by annealing": ("annealed_evidence_per_image", ":"),
}
"""What a bound may be held against, and how it is drawn."""


@theme.themed
def bound_sweep(results: Results) -> Figure:
    """How the importance-weighted bound rises with the number of draws K, averaged over the same test images, with
    two standard errors of the paired rise from K = 1. At K = 1 it is the ELBO; with more draws it comes closer to
    log p(x), which is the dashed line where it could be integrated exactly, and estimated by the dotted one where
    annealing was asked for. Where the bound stays below the line however many draws there are, the encoder's posterior
    misses a part of the true one.
    """
    ks, bounds = results.arrays["sweep_ks"], results.arrays["sweep_bounds"].astype(np.float64)
    num_images = bounds.shape[1]
    rise = bounds - bounds[:1]
    error = 2 * rise.std(axis=1, ddof=1) / np.sqrt(num_images)
    figure = Figure(figsize=(theme.WIDTH, 3.3), layout="constrained")
    axes = figure.subplots()
    axes.errorbar(ks, bounds.mean(1), yerr=error, color=theme.TRAIN, marker="o", markersize=4, capsize=2, label="bound")
    for label, (name, linestyle) in LEVELS.items():
        level = results.arrays.get(name)
        # Of fewer images it would be the level of others.
        if level is not None and len(level) >= num_images:
            mean = level[:num_images].mean()
            axes.axhline(mean, color=theme.WATCHED, linestyle=linestyle, linewidth=1.4, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="draws K", ylabel=in_data_terms(results, "nats per image"))
    axes.grid(axis="y")
    # Above, where no whisker can run through it.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=1 + len(LEVELS), borderaxespad=0.1)
    title_with_data(axes, results, num_images)
    return figure


@theme.themed
def inference_gaps(results: Results) -> Figure:
    """What the ELBO lacks of log p(x), taken apart; the whiskers are two standard errors over test images, the numbers
    are means ± one. The amortisation gap is lost because one encoder serves all images: for each image alone a better
    Gaussian could be found. The approximation gap is lost because the posterior is a Gaussian with independent
    dimensions at all. Where the first is the larger, a better encoder is worth more than a richer posterior.
    """
    names = [name for name in GAPS if f"{name}_gap_per_image" in results.arrays]
    figure = Figure(figsize=(theme.WIDTH, 1.1 + 0.5 * len(names)), layout="constrained")
    axes = figure.subplots()
    for position, name in enumerate(names):
        gap = results.arrays[f"{name}_gap_per_image"].astype(np.float64)
        mean, error = gap.mean(), gap.std(ddof=1) / np.sqrt(len(gap))
        axes.barh(position, mean, xerr=2 * error, color=theme.TRAIN, ecolor=theme.INK, height=0.5, capsize=3)
        right = max(0, mean + 2 * error)
        axes.annotate(
            f"{measured(mean, error, 'nats')} nats", (right, position), (8, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(names)), [f"{name} gap" for name in names])
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel=in_data_terms(results, "nats per image"))
    # Room for the numbers behind the bars.
    axes.set_xlim(right=axes.get_xlim()[1] + 0.25 * np.ptp(axes.get_xlim()))
    axes.grid(axis="x")
    title_with_data(axes, results, len(results.arrays[f"{names[0]}_gap_per_image"]))
    return figure


def title_with_data(axes: Axes, results: Results, num_images: int) -> None:
    """What the numbers of a figure were measured on, above it."""
    elbo = results.score("elbo")
    about = [pluralise(num_images, "test image"), "" if elbo is None else pixels(elbo.convention)]
    axes.set_title(in_data_terms(results, ", ".join(filter(None, about))), color=theme.MUTED, size=8.5)

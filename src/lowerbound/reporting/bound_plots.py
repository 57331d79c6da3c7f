"""Figures on the bound: importance-weighted bounds against log p(x), inference gaps, rate of each latent dimension."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lowerbound.evaluation.results import Results
from lowerbound.foundation.number_format import format_estimate
from lowerbound.foundation.text import pluralise
from lowerbound.reporting import theme
from lowerbound.reporting.latent_plots import dimension_label
from lowerbound.reporting.terms import adapted_wording
from lowerbound.reporting.tiles import evenly
from lowerbound.reporting.wording import describe_convention

GAPS = ("amortisation", "approximation")

LEVELS = {
    "log p(x), exact": ("log_evidence_per_image", "--"),
    "log p(x), by annealing": ("annealed_evidence_per_image", ":"),
}
"""Estimates of log p(x) that bounds are compared with, and their line styles."""


@theme.themed
def bound_sweep(results: Results) -> Figure:
    """The importance-weighted bound for an increasing number of draws K, averaged over the same test images, with two
    standard errors of the paired increase from K = 1. At K = 1 it is the ELBO; with more draws it approaches log p(x):
    the dashed line where the exact integral is available, the dotted line where annealing was run. Where the bound
    stays below the line however many draws are used, the encoder's posterior misses part of the true one.
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
        # The mean over fewer images would not be comparable.
        if level is not None and len(level) >= num_images:
            mean = level[:num_images].mean()
            axes.axhline(mean, color=theme.HELD_OUT, linestyle=linestyle, linewidth=1.4, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="draws K", ylabel=adapted_wording(results, "nats per image"))
    axes.grid(axis="y")
    # Above the axes, where no whisker crosses it.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=1 + len(LEVELS), borderaxespad=0.1)
    title_with_data(axes, results, num_images)
    return figure


@theme.themed
def inference_gaps(results: Results) -> Figure:
    """The gap between the ELBO and log p(x), split into its two parts; whiskers are two standard errors over test
    images, numbers are means ± one standard error. The amortisation gap arises because one encoder serves all images:
    for each image alone, a better posterior of the same family could be found. The approximation gap arises because no
    member of that family is the true posterior. Where the first is larger, a better encoder gains more than a richer
    family of posteriors.
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
            f"{format_estimate(mean, error, 'nats')} nats",
            (right, position),
            (8, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(names)), [f"{name} gap" for name in names])
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel=adapted_wording(results, "nats per image"))
    # Room for the numbers next to the bars.
    axes.set_xlim(right=axes.get_xlim()[1] + 0.25 * np.ptp(axes.get_xlim()))
    axes.grid(axis="x")
    title_with_data(axes, results, len(results.arrays[f"{names[0]}_gap_per_image"]))
    return figure


@theme.themed
def rates(results: Results) -> Figure:
    """How much information each latent dimension carries about an image: its share of the rate, in nats, averaged over
    the test images, largest first. A dimension near zero has collapsed: its posterior is the prior for every image, and
    the model would be the same without it.
    """
    rate = results.arrays["rate_per_dimension"]
    order = np.argsort(-rate, kind="stable")
    # A narrow figure for few dimensions, so that bars stay bars.
    figure = Figure(figsize=(min(theme.WIDTH, 2.6 + 0.7 * len(rate)), 2.9), layout="constrained")
    axes = figure.subplots()
    axes.bar(np.arange(len(rate)), rate[order], width=0.75 if len(rate) > 2 else 0.5, color=theme.TRAIN)
    shown = evenly(len(rate), most=24)
    axes.set_xticks(shown, [dimension_label(int(i)) for i in order[shown]])
    theme.formulas(*axes.get_xticklabels())
    axes.tick_params(axis="x", length=0)
    axes.set(
        ylabel=adapted_wording(results, "rate, nats per image"), xlabel="latent dimension", xlim=(-0.7, len(rate) - 0.3)
    )
    axes.grid(axis="y")
    if "latent_mean" in results.arrays:
        title_with_data(axes, results, len(results.arrays["latent_mean"]))
    return figure


def title_with_data(axes: Axes, results: Results, num_images: int) -> None:
    """Title the axes with the number of images and the convention of a figure's numbers."""
    elbo = results.score("elbo")
    about = [pluralise(num_images, "test image"), "" if elbo is None else describe_convention(elbo.convention)]
    axes.set_title(adapted_wording(results, ", ".join(filter(None, about))), color=theme.MUTED, size=8.5)

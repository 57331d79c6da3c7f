"""How good is the bound: ever tighter bounds against the exact line, and the gap taken apart."""

import numpy as np
from matplotlib.figure import Figure

from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme


@theme.themed
def bound_sweep(results: Results) -> Figure:
    """How the importance-weighted bound rises with the number of draws K, averaged over the same test images, with
    two standard errors of the paired rise from K = 1. At K = 1 it is the ELBO; with more draws it comes closer to
    log p(x), which is the dashed line where it could be integrated exactly. Where the bound stays below the line
    however many draws there are, the encoder's posterior misses a part of the true one.
    """
    ks, bounds = results.arrays["sweep_ks"], results.arrays["sweep_bounds"].astype(np.float64)
    rise = bounds - bounds[:1]
    error = 2 * rise.std(axis=1, ddof=1) / np.sqrt(bounds.shape[1])
    figure = Figure(figsize=(theme.WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.errorbar(ks, bounds.mean(1), yerr=error, color=theme.TRAIN, marker="o", markersize=4, capsize=2, label="bound")
    if "log_evidence_per_image" in results.arrays:
        exact = results.arrays["log_evidence_per_image"][: bounds.shape[1]].mean()
        axes.axhline(exact, color=theme.WATCHED, linestyle="--", linewidth=1.4, label="log p(x), exact")
    axes.set_xscale("log")
    axes.set(xlabel="draws K", ylabel="nats per image")
    axes.grid(axis="y")
    axes.legend(loc="lower right")
    return figure


@theme.themed
def inference_gaps(results: Results) -> Figure:
    """What the ELBO lacks of log p(x), taken apart, with two standard errors over test images. The amortisation gap
    is lost because one encoder serves all images: for each image alone a better Gaussian could be found. The
    approximation gap is lost because the posterior is a Gaussian with independent dimensions at all. Where the first
    is the larger, a better encoder is worth more than a richer posterior.
    """
    names = [name for name in GAPS if f"{name}_gap_per_image" in results.arrays]
    figure = Figure(figsize=(theme.WIDTH, 0.9 + 0.45 * len(names)), layout="constrained")
    axes = figure.subplots()
    for position, name in enumerate(names):
        gap = results.arrays[f"{name}_gap_per_image"].astype(np.float64)
        error = 2 * gap.std(ddof=1) / np.sqrt(len(gap))
        axes.barh(position, gap.mean(), xerr=error, color=theme.TRAIN, height=0.55, capsize=3)
    axes.set_yticks(range(len(names)), [f"{name} gap" for name in names])
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel="nats per image")
    axes.grid(axis="x")
    return figure


GAPS = ("amortisation", "approximation")

"""Training curves: −ELBO, distortion and rate, or the reconstruction error, epoch by epoch."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lowerbound.evaluation.results import Results
from lowerbound.foundation.number_format import format_number
from lowerbound.objectives.objective import TERMS
from lowerbound.reporting import theme
from lowerbound.reporting.terms import adapted_wording

SPLITS = ("train", "validation")

EARLY = 8
"""Of this many epochs, the first does not set the scale."""

MARGIN = 0.08
"""Of the range of the curves, above and below them."""

BOUNDS = ("objective", "elbo")
"""Terms that are drawn negated, so that lower is better in every panel."""

TITLES = {"objective": "−objective (the training loss)", "elbo": "−ELBO"}


@theme.themed
def training_curves(results: Results) -> Figure:
    """Training, epoch by epoch, in nats per image; lower is better. −ELBO above is the sum of the two panels below it:
    the distortion, which measures what is lost between image and reconstruction, and the rate, the cost of the code,
    which measures how far the posteriors depart from the prior. There is a trade-off: a code that carries more
    information costs more and allows better reconstructions. The training curve averages over an epoch in which the
    weights still change, so it starts high; where it keeps falling while the validation curve rises, the model
    overfits. The dot marks the epoch whose weights were kept. Minus the objective has its own panel where the training
    loss is not −ELBO, and so does each penalty, without its weight. With the posterior gumbel-softmax, whose draws are
    relaxed in training, the training curve is not a bound. Of a model with levels of latents each level's part of the
    rate has a panel: level 1 is nearest the image, and a level whose rate is 0 is not used. The first epochs, which
    fall furthest, do not set the scale:
    where they lie outside it, a note gives the values of the first, of training and validation.
    """
    mosaic: list[Any] = [["elbo", "elbo"], ["distortion", "rate"]]
    if not _objective_is_elbo(results):
        mosaic[0] = ["objective", "elbo"]
    mosaic += [[penalty, penalty] for penalty in _penalties(results)]
    levels = _levels(results)
    mosaic += [[level, levels[min(place + 1, len(levels) - 1)]] for place, level in enumerate(levels) if place % 2 == 0]
    figure = Figure(figsize=(theme.WIDTH, 2.6 * len(mosaic)), layout="constrained")
    panels = figure.subplot_mosaic(mosaic)
    for term, axes in panels.items():
        _panel(axes, results, term)
    _legend(figure, panels["elbo"])
    return figure


@theme.themed
def reconstruction_error_curve(results: Results) -> Figure:
    """Training, epoch by epoch: the reconstruction error −log p(x|z) in nats per image; lower is better. The training
    curve averages over an epoch in which the weights still change, so it starts high. The dot marks the epoch whose
    weights were kept.
    """
    figure = Figure(figsize=(theme.NARROW, 3.6), layout="constrained")
    axes = figure.subplots()
    _panel(axes, results, "distortion")
    axes.set_title("reconstruction error")
    _legend(figure, axes)
    return figure


def best_epoch(results: Results) -> int | None:
    """The epoch whose weights were kept, or None if it is unknown."""
    best: int | None = results.context.get("training", {}).get("best_epoch")
    improvements = [record["epoch"] for record in results.history if record.get("is_best")]
    return best if best is not None or not improvements else max(improvements)


def _penalties(results: Results) -> list[str]:
    """Names of the penalties of the objective."""
    return list(results.history[0]["train"].get("penalties", {}))


def _levels(results: Results) -> list[str]:
    """Names of the levels of latents."""
    return list(results.history[0]["train"].get("levels", {}))


def _panel(axes: Axes, results: Results, term: str) -> None:
    epochs = [record["epoch"] for record in results.history]
    marker = "o" if len(epochs) <= 30 else None
    for split, label, colour in (
        ("train", "train", theme.TRAIN),
        ("validation", _held_out_name(results), theme.HELD_OUT),
    ):
        values = [_drawn(record[split], term) for record in results.history]
        axes.plot(epochs, values, color=colour, label=label, linewidth=1.6, marker=marker, markersize=2.6)
    _mark_best(axes, results, term)
    _fit_scale(axes, results, term)
    is_level = term in _levels(results)
    axes.set_title(f"rate of {term}" if is_level else TITLES.get(term, term))
    unit = adapted_wording(results, "nats per image" if term in TERMS or is_level else "of a batch")
    axes.set(xlabel="epoch", ylabel=unit, xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")


def _fit_scale(axes: Axes, results: Results, term: str) -> None:
    """Scale the axis by the later epochs and the best; where the first one lies outside it, say its values.

    The first epochs fall by more than all others together, which would then be a flat line.
    """
    values = np.array([[_drawn(record[split], term) for split in SPLITS] for record in results.history])
    is_later = np.arange(len(values)) >= len(values) / EARLY
    is_later |= np.array([record["epoch"] == best_epoch(results) for record in results.history])
    low, high = values[is_later].min(), values[is_later].max()
    if len(values) < EARLY or np.ptp(values) < 2 * (high - low) or high == low:
        return
    axes.set_ylim(low - MARGIN * (high - low), high + MARGIN * (high - low))
    first = " and ".join(format_number(float(value), 2) for value in values[0])
    axes.set_title(f"epoch {results.history[0]['epoch']}: {first}", loc="right", size=8, color=theme.MUTED)


def _drawn(terms: dict[str, Any], term: str) -> float:
    by_name = {**terms.get("penalties", {}), **terms.get("levels", {}), **{name: terms[name] for name in TERMS}}
    value: float = by_name[term]
    return -value if term in BOUNDS else value


def _mark_best(axes: Axes, results: Results, term: str) -> None:
    for record in results.history:
        if (best := record["epoch"]) == best_epoch(results):
            axes.axvline(best, color=theme.FAINT, linewidth=1, zorder=0)
            axes.plot(
                [best],
                [_drawn(record["validation"], term)],
                "o",
                markersize=7,
                color=theme.HELD_OUT,
                markeredgecolor=theme.PAPER,
                markeredgewidth=1.2,
                label=f"kept: epoch {best}",
            )


def _legend(figure: Figure, axes: Axes) -> None:
    # One legend for all panels, above them, where no curve crosses it.
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3)


def _held_out_name(results: Results) -> str:
    return "test (monitored)" if results.context.get("data", {}).get("monitored") == "test" else "validation"


def _objective_is_elbo(results: Results) -> bool:
    """Whether the two agree up to the noise of a sampled rate."""

    def agree(terms: dict[str, float]) -> bool:
        return math.isclose(terms["objective"], terms["elbo"], rel_tol=0.01, abs_tol=0.05)

    return all(agree(record["train"]) and agree(record["validation"]) for record in results.history)

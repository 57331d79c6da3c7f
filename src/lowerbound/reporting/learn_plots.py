"""Figures of the page of `lowerbound learn`: draws from one posterior in the latent plane, variances of gradients."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from lowerbound.evaluation.gradient_bench import GradientBench
from lowerbound.evaluation.worked_example import WorkedExample
from lowerbound.reporting import theme
from lowerbound.reporting.latent_plots import dimension_label
from lowerbound.reporting.posterior_plots import outline_normal, shade_density

SIDE = 4.4  # inches

ESTIMATORS = {
    "score-function-none": "score function",
    "score-function-mean": "score function, mean as baseline",
    "score-function-optimal": "score function, best baseline",
    "measure-valued": "measure-valued",
    "reparameterized": "reparameterised (pathwise)",
    "stl": "sticking the landing",
}
"""Estimators that the lesson compares, in its words: without the trick first."""


@theme.themed
def drawn_codes(worked: WorkedExample) -> Figure:
    """Draws from the posterior of one image. The orange ellipses are the encoder's posterior at one and two standard
    deviations; each numbered dot is a draw z = μ + σ ε, for an ε of its own. Blue is the true posterior p(z|x): 39 % of
    it lies in the darkest tone, 86 % within the next, 99 % within the palest.
    """
    figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
    axes = figure.add_subplot()
    arrays = {name.removeprefix("true_posterior_"): array for name, array in worked.true_posterior.items()}
    shade_density(axes, arrays["axes"][0], arrays["density"][0])
    outline_normal(axes, "encoder", arrays["encoder_mean"][0], arrays["encoder_covariance"][0])
    _number(axes, worked)
    axes.set_aspect("equal", adjustable="box")
    theme.formulas(axes.set_xlabel(dimension_label(0)), axes.set_ylabel(dimension_label(1)))
    return figure


def _number(axes: Axes, worked: WorkedExample) -> None:
    assert worked.draws is not None
    axes.plot(*worked.draws.z.T, "o", color=theme.INK, markersize=4)
    for number, z in enumerate(worked.draws.z, start=1):
        axes.annotate(str(number), z, xytext=(4, 4), textcoords="offset points", size=9)


def lesson_rows(bench: GradientBench) -> list[tuple[str, Float[np.ndarray, "2"]]]:
    """The measured estimators of ESTIMATORS in words, with the variance of dELBO/dμ and its standard error."""
    group = bench.groups[0]
    found = {row.name: row.statistics[group].variance for row in bench.estimators if not row.left_out}
    return [
        (words, np.array([found[name].value, found[name].standard_error]))
        for name, words in ESTIMATORS.items()
        if name in found
    ]


@theme.themed
def gradient_variances(bench: GradientBench) -> Figure:
    """The variance of one estimate of the gradient of the ELBO with respect to the posterior's first parameters (the
    means μ of a normal), summed over them, a mean over images; note the logarithmic axis. All estimators shown have
    the same expectation: only their noise differs. Error bars are two standard errors.
    """
    rows = lesson_rows(bench)
    figure = Figure(figsize=(theme.WIDTH, 0.9 + 0.32 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    values, errors = np.array([numbers for _, numbers in rows]).T
    below = np.minimum(2 * errors, 0.9 * values)
    axes.errorbar(values, range(len(rows)), xerr=[below, 2 * errors], fmt="o", color=theme.HELD_OUT, capsize=2)
    axes.set_yticks(range(len(rows)), [words for words, _ in rows])
    axes.set(xscale="log", ylim=(len(rows) - 0.5, -0.5), xlabel="variance of one estimate")
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x")
    return figure

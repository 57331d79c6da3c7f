"""PLOTS, the table of all figures: for each its title, its section, and the results that it applies to.

A plot is a function from results to a figure, whose docstring is the caption, and an entry in PLOTS. Its `applies`
returns an empty text, or the reason why the figure cannot be drawn; where the evaluation has left out the metric behind
the figure, its reason is used. The report prints these reasons under "Not shown".
"""

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from lowerbound.evaluation import metrics
from lowerbound.evaluation.results import FAILED, Results
from lowerbound.foundation.errors import in_one_line
from lowerbound.reporting.bit_plot import ARRAYS as BIT_ARRAYS
from lowerbound.reporting.bit_plot import where_bits_go
from lowerbound.reporting.bound_plots import bound_sweep, inference_gaps, rates
from lowerbound.reporting.calibration_plot import calibration_curve
from lowerbound.reporting.condition_plot import recoded
from lowerbound.reporting.factor_plots import factor_information
from lowerbound.reporting.feature_plots import reconstructed_features, sampled_features
from lowerbound.reporting.image_plots import code_means, manifold, mixtures, reconstructions, samples, traversals
from lowerbound.reporting.latent_plots import (
    category_shares,
    latent_line,
    latent_pair,
    latent_space,
    latent_sphere,
    latent_triangle,
)
from lowerbound.reporting.model_graph import model_graph
from lowerbound.reporting.posterior_plots import ARRAYS as TRUE_POSTERIOR
from lowerbound.reporting.posterior_plots import true_posterior
from lowerbound.reporting.terms import is_autoencoder
from lowerbound.reporting.training_curves import reconstruction_error_curve, training_curves

FIGURES, BOUND = "figures", "bound"
"""Sections of a report that contain plots."""

Condition = Callable[[Results], str]
"""Empty where results meet the condition, otherwise what is missing."""

MANY = sys.maxsize  # no upper limit on latent dimensions
EVALUATE = "not measured yet: lowerbound evaluate RUN"
NO_FACTORS = "needs data with known factors, and lowerbound evaluate RUN"
NOT_COMPUTED = "not computed for this run"
MANIFOLD_NAME = re.compile(r"manifold_(\d+)")


def caption_of(draw: object) -> str:
    """What a figure shows and how to read it: the docstring of the function that draws it, as one paragraph."""
    return " ".join((inspect.getdoc(draw) or "").split())


@dataclass(frozen=True)
class Plot:
    """A figure and the results that it applies to."""

    draw: Callable[[Results], Figure]
    applies: Condition
    title: str
    section: str = FIGURES
    metric: str = ""  # the row of a table of metrics that the arrays come from

    def why_not(self, results: Results) -> str:
        """Empty where the plot applies, otherwise the reason, that of its metric if the evaluation gave one."""
        try:
            reason = self.applies(results)
            if not isinstance(reason, str):
                raise TypeError(f"its condition returned a {type(reason).__name__} instead of a text")
        except metrics.CAUGHT as error:
            return FAILED + in_one_line(error)
        return reason and results.left_out.get(self.metric, reason)

    def figure(self, results: Results) -> Figure:
        """The figure of these results; TypeError if `draw` returns anything else."""
        figure = self.draw(results)
        if not isinstance(figure, Figure):
            raise TypeError(f"it returned a {type(figure).__name__} instead of a matplotlib Figure")
        return figure

    @property
    def caption(self) -> str:
        """What the figure shows and how to read it: the docstring of `draw` as one paragraph."""
        return caption_of(self.draw.func if isinstance(self.draw, partial) else self.draw)

    @property
    def subject(self) -> str:
        """The title up to its comma: plots with the same subject are alternatives for different models or data."""
        return self.title.partition(",")[0]


def plots_for(results: Results) -> dict[str, Plot]:
    """The plots that apply to these results, by name, in the order of the report."""
    return {name: plot for name, plot in all_plots(results).items() if not plot.why_not(results)}


def not_shown(results: Results) -> dict[str, str]:
    """The subjects that no plot shows for these results, each with its reason."""
    shown = {plot.subject for plot in plots_for(results).values()}
    reasons: dict[str, str] = {}
    for plot in all_plots(results).values():
        if plot.subject not in shown:
            reasons.setdefault(plot.subject, plot.why_not(results))
    return reasons


def not_measured(results: Results) -> dict[str, str]:
    """Metrics that were left out and that no plot represents, each with its reason."""
    plotted = {plot.metric for plot in all_plots(results).values()}
    return {name: reason for name, reason in results.left_out.items() if name not in plotted}


def manifold_row(size: int) -> Plot:
    """The row of a manifold of `size` by `size` tiles."""
    title = f"Latent manifold, {size} × {size}"
    return Plot(partial(manifold, size=size), _has(f"manifold_{size}"), title, metric="manifold")


def manifold_sizes(results: Results) -> list[int]:
    """Numbers of tiles in a row of the manifolds in the results, from small to large."""
    return sorted(int(match[1]) for name in results.arrays if (match := MANIFOLD_NAME.fullmatch(name)))


def all_plots(results: Results) -> dict[str, Plot]:
    """PLOTS, and manifolds of other sizes that the results contain."""
    rows = PLOTS | {f"manifold_{size}": manifold_row(size) for size in manifold_sizes(results)}
    return {name: row if isinstance(row, Plot) else _not_a_plot(name, row) for name, row in rows.items()}


def _not_a_plot(name: str, row: object) -> Plot:
    """The row of something else that was put into PLOTS: never drawn, and named as such."""
    reason = f"{FAILED}PLOTS[{name!r}] is a {type(row).__name__} instead of a Plot"
    return Plot(lambda results: Figure(), lambda results: reason, name)


def _all(*conditions: Condition) -> Condition:
    """The first unmet condition."""
    return lambda results: next((reason for condition in conditions if (reason := condition(results))), "")


def _has(*names: str, otherwise: str = NOT_COMPUTED) -> Condition:
    return lambda results: "" if all(name in results.arrays for name in names) else otherwise


def _has_latents(least: int, most: int | None = None) -> Condition:
    """A number of latent dimensions; `most` defaults to `least`."""
    most = least if most is None else most

    def condition(results: Results) -> str:
        number = _num_latents(results)
        if number is None:
            return NOT_COMPUTED
        needed = f"{least} or more" if most > least else str(least)
        came = f"but the model has {number}"
        plural = "s" if most > 1 else ""
        return "" if least <= number <= most else f"needs {needed} latent dimension{plural}, {came}"

    return condition


def _num_latents(results: Results) -> int | None:
    if "latent_mean" in results.arrays:
        return int(results.arrays["latent_mean"].shape[1])
    number: int | None = results.context.get("config", {}).get("model", {}).get("latent_dim")
    return number


def _has_no_chart(results: Results) -> str:
    is_charted = any(name in results.arrays for name in CHARTED)
    return "another figure shows these latents" if is_charted else ""


def _is_variational(results: Results) -> str:
    return "a plain autoencoder has no posterior and no prior" if is_autoencoder(results) else ""


def _is_coded_image(results: Results) -> str:
    if BIT_ARRAYS[0] in results.arrays or all(score.name != "coded-rate" for score in results.scores):
        return ""
    is_image = results.context.get("data", {}).get("layout") == "image"
    return "needs images of one or three channels" if is_image else "the data are not images"


def _is_deterministic(results: Results) -> str:
    return "" if is_autoencoder(results) else "only for plain autoencoders"


def _has_history(results: Results) -> str:
    return "" if results.history else "the training log is not available"


CODES = _has("latent_mean")
CHARTED = ("longitude_latitude", "triangle", "category_shares")
"""Arrays of figures that show latents which are not real numbers."""

PLOTS: dict[str, Plot] = {
    "bound_sweep": Plot(
        bound_sweep,
        _all(_is_variational, _has("sweep_ks", "sweep_bounds", otherwise=EVALUATE)),
        "Importance-weighted bounds",
        BOUND,
        "importance-weighted bounds",
    ),
    "inference_gaps": Plot(
        inference_gaps,
        _all(_is_variational, _has("amortisation_gap_per_image", otherwise=EVALUATE)),
        "Inference gaps",
        BOUND,
        "inference gaps",
    ),
    "true_posterior": Plot(
        true_posterior,
        _all(_is_variational, _has_latents(2), _has(*TRUE_POSTERIOR, otherwise=EVALUATE)),
        "True posterior and encoder",
        BOUND,
        "true posteriors",
    ),
    "bits": Plot(
        where_bits_go,
        _all(_is_coded_image, _has(*BIT_ARRAYS, otherwise=EVALUATE)),
        "Where the bits go",
        BOUND,
        "coded rate",
    ),
    "rates": Plot(rates, _has("rate_per_dimension"), "Rate of each latent dimension", BOUND, "rate per latent"),
    "graph": Plot(model_graph, _is_variational, "Graphical model"),
    "curves": Plot(training_curves, _all(_has_history, _is_variational), "Training"),
    "reconstruction_error": Plot(reconstruction_error_curve, _all(_has_history, _is_deterministic), "Training"),
    "reconstructions": Plot(
        reconstructions, _has("originals", "reconstructions"), "Reconstructions", metric="reconstructions"
    ),
    "samples": Plot(samples, _has("samples"), "Samples from the prior", metric="samples"),
    "recoded": Plot(
        recoded,
        _has("recoded", "recoded_originals", otherwise="the model is not conditional on anything with levels"),
        "One code under every label",
        metric="conditions",
    ),
    "calibration": Plot(
        calibration_curve,
        _has("calibration_confidence", "calibration_accuracy", otherwise="the model has no classifier"),
        "Calibration of the classifier",
        metric="classification",
    ),
    "sampled_features": Plot(
        sampled_features,
        _has("elements", "elements_drawn"),
        "Samples from the prior, feature by feature",
        metric="features",
    ),
    "reconstructed_features": Plot(
        reconstructed_features,
        _has("elements", "elements_reconstructed"),
        "Reconstructions, feature by feature",
        metric="features",
    ),
    "latent_space": Plot(latent_space, _all(CODES, _has_no_chart, _has_latents(2)), "Latent space", metric="codes"),
    "latent_pair": Plot(
        latent_pair,
        _all(CODES, _has_no_chart, _has_latents(3, MANY)),
        "Latent space, the two most used dimensions",
        metric="codes",
    ),
    "latent_sphere": Plot(latent_sphere, _has("longitude_latitude"), "Latent space, the sphere", metric="codes"),
    "latent_triangle": Plot(latent_triangle, _has("triangle"), "Latent space, the simplex", metric="codes"),
    "category_shares": Plot(category_shares, _has("category_shares"), "Latent space, the codes", metric="codes"),
    "latent_line": Plot(latent_line, _all(CODES, _has_latents(1)), "Latent space", metric="codes"),
    "traversals": Plot(
        traversals, _has("traversals", "traversal_dimensions"), "Latent traversals", metric="traversals"
    ),
    "mixtures": Plot(
        mixtures, _has("mixtures", "traversal_dimensions"), "Latent traversals, mixtures", metric="traversals"
    ),
    "code_means": Plot(
        code_means, _has("code_means", "category_shares"), "Latent traversals, every category", metric="traversals"
    ),
    "factor_information": Plot(
        factor_information,
        _has("factor_information", "factor_entropy", "factor_numbers", otherwise=NO_FACTORS),
        "Information about known factors",
        metric="disentanglement",
    ),
    "manifold_15": manifold_row(15),
    "manifold_20": manifold_row(20),
}

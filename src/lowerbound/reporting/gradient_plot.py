"""The figure of `lowerbound gradients`: the variance of every estimator, of one estimate and at equal time."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from lowerbound.evaluation.gradient_bench import EstimatorResult, GradientBench
from lowerbound.foundation.numerics import Estimate
from lowerbound.reporting import theme

ROW = 0.34  # inches
OFFSET = 0.14  # of the two markers of a row from its centre
NUM_ERRORS = 2.0
MAX_TICKS = 4
LONGEST = 0.9  # of a variance, to the left


@theme.themed
def gradient_figure(bench: GradientBench) -> Figure:
    """Variance of one estimate, and at equal time, by estimator; one panel for each group of parameters."""
    rows = [row for row in bench.estimators if not row.left_out]
    figure = Figure(figsize=(theme.WIDTH, 1.4 + ROW * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(bench.groups), sharey=True, squeeze=False)[0]
    for axes, group in zip(panels, bench.groups, strict=True):
        _draw(axes, rows, group)
    panels[0].set_yticks(range(len(rows)), [row.name for row in rows])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)
    label = f"variance of the gradient of {bench.bound_in_words} (± {NUM_ERRORS:g} standard errors)"
    figure.supxlabel(label, fontsize=theme.STYLE["axes.labelsize"])
    return figure


def _draw(axes: Axes, rows: list[EstimatorResult], group: str) -> None:
    markers = (
        (-OFFSET, "o", theme.HELD_OUT, "one estimate", lambda row: row.statistics[group].variance),
        (OFFSET, "s", theme.MUTED, "at equal time", lambda row: row.variance_at_equal_time(group)),
    )
    for offset, marker, colour, label, variance_of in markers:
        variances: list[Estimate] = [variance_of(row) for row in rows]
        axes.errorbar(
            [one.value for one in variances],
            [position + offset for position in range(len(rows))],
            xerr=list(zip(*map(_shown_error, variances), strict=True)),
            fmt=marker,
            color=colour,
            markersize=4,
            capsize=2,
            label=label,
        )
    axes.set(xscale="log", title=group, ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.set_major_locator(LogLocator(numticks=MAX_TICKS))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x")


def _shown_error(variance: Estimate) -> tuple[float, float]:
    """Lengths of an error bar to the left and right; one on a logarithmic axis does not reach zero."""
    error = NUM_ERRORS * variance.standard_error
    return min(error, LONGEST * variance.value), error

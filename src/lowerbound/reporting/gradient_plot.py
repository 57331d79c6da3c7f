"""The figure of `lowerbound gradients`: the variance of every estimator, of one estimate and at equal time."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowerbound.evaluation.gradient_bench import EstimatorResult, GradientBench
from lowerbound.foundation.numerics import Estimate
from lowerbound.reporting import theme

ROW = 0.34  # inches
OFFSET = 0.14  # of the two markers of a row from its centre
NUM_ERRORS = 2.0


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
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.supxlabel(f"variance of the gradient of {bench.bound_in_words} (± {NUM_ERRORS:g} standard errors)")
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
            xerr=[NUM_ERRORS * one.standard_error for one in variances],
            fmt=marker,
            color=colour,
            markersize=4,
            capsize=2,
            label=label,
        )
    axes.set(xscale="log", title=group, ylim=(len(rows) - 0.5, -0.5))
    axes.grid(axis="x")

"""The figure and the verdicts of `lowerbound compare`: paired differences from the first run, with their errors."""

from matplotlib.figure import Figure

from lowerbound.evaluation.comparison import Comparison, ComparisonRow
from lowerbound.reporting import theme

NOISE = 2.0
"""Standard errors within which a difference counts as noise, as in a 95 % interval."""

MAX_NAME = 32  # characters


def verdict(row: ComparisonRow, quantity: str) -> str:
    """A row's difference as a word: a higher ELBO is better, a lower reconstruction error is better."""
    if row.difference is None:
        return "reference"
    if row.num_standard_errors <= NOISE:
        return "within noise"
    return "better" if (row.difference.value > 0) == (quantity == "elbo") else "worse"


@theme.themed
def comparison_figure(comparison: Comparison) -> Figure:
    """Paired differences from the reference, in nats per example, with two standard errors on either side."""
    rows = comparison.rows[1:]
    figure = Figure(figsize=(theme.WIDTH, 0.9 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=theme.MUTED, linewidth=1)
    for position, row in enumerate(rows):
        assert row.difference is not None
        colour = theme.MUTED if verdict(row, comparison.quantity) == "within noise" else theme.HELD_OUT
        error = NOISE * row.difference.standard_error
        axes.errorbar(row.difference.value, position, xerr=error, fmt="o", color=colour, markersize=5, capsize=3)
    axes.set_yticks(range(len(rows)), [theme.fit_name(row.name, MAX_NAME) for row in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    quantity = "ELBO" if comparison.quantity == "elbo" else comparison.quantity.replace("-", " ")
    reference = theme.fit_name(comparison.rows[0].name, MAX_NAME)
    axes.set_xlabel(f"{quantity} minus that of {reference}, nats per example (± {NOISE:g} standard errors)")
    axes.grid(axis="x")
    return figure

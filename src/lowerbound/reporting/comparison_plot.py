"""The figure and the verdicts of `lowerbound compare`: paired differences from the first run, with their errors."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowerbound.evaluation.comparison import ComparedScore, Comparison, ComparisonRow
from lowerbound.reporting import theme
from lowerbound.reporting.wording import score_title

NOISE = 2.0
"""Standard errors within which a difference counts as noise, as in a 95 % interval."""

MAX_NAME = 32  # characters
WORDS = {"": ("higher", "lower"), "higher": ("better", "worse"), "lower": ("worse", "better")}
"""Words for a higher and a lower value, by which of them is better."""


def verdict(row: ComparisonRow, score: ComparedScore) -> str:
    """A row's difference as a word: a higher ELBO is better, a lower squared error is better."""
    if row is score.rows[0]:
        return "reference"
    if row.difference is None:
        return "not paired"
    if row.num_standard_errors <= NOISE:
        return "within noise"
    higher, lower = WORDS[score.better]
    return higher if row.difference.value > 0 else lower


@theme.themed
def comparison_figure(comparison: Comparison) -> Figure:
    """Differences from the first run, paired by example: mean and two standard errors on either side. Where the
    whiskers cross zero, the difference is within noise.
    """
    paired = [score for score in comparison.scores if score.is_paired]
    num_rows = len(comparison.names) - 1
    height = 0.85 + 0.4 * num_rows
    figure = Figure(figsize=(theme.WIDTH, max(1, len(paired)) * height), layout="constrained")
    for axes, score in zip(figure.subplots(len(paired) or 1, 1, squeeze=False)[:, 0], paired, strict=False):
        _draw(axes, score)
    return figure


def _draw(axes: Axes, score: ComparedScore) -> None:
    axes.axvline(0, color=theme.MUTED, linewidth=1)
    rows = score.rows[1:]
    for position, row in enumerate(rows):
        assert row.difference is not None
        colour = theme.MUTED if verdict(row, score) == "within noise" else theme.HELD_OUT
        error = NOISE * row.difference.standard_error
        axes.errorbar(row.difference.value, position, xerr=error, fmt="o", color=colour, markersize=5, capsize=3)
    axes.set_yticks(range(len(rows)), [theme.fit_name(row.name, MAX_NAME) for row in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    reference = theme.fit_name(score.rows[0].name, MAX_NAME)
    unit = "nats per example" if score.rows[0].score.unit == "nats" else score.rows[0].score.unit
    axes.set_xlabel(f"{score_title(score.name)} minus that of {reference}, {unit} (± {NOISE:g} standard errors)")
    axes.grid(axis="x")

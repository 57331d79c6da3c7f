"""Verdicts of a comparison, and its figure."""

import pytest

from lowerbound.evaluation.comparison import Comparison, ComparisonRow
from lowerbound.evaluation.results import Score
from lowerbound.foundation.numerics import Estimate
from lowerbound.reporting.comparison_plot import comparison_figure, verdict

SCORE = Score(
    name="elbo", value=-1.0, standard_error=0.1, unit="nats", split="test", convention="grey", num_examples=9,
    num_draws=1, description="",
)  # fmt: skip


@pytest.mark.parametrize(
    ("difference", "quantity", "word"),
    [
        (None, "elbo", "reference"),
        (Estimate(0.2, 0.1), "elbo", "within noise"),
        (Estimate(0.21, 0.1), "elbo", "better"),
        (Estimate(0.21, 0.1), "reconstruction-error", "worse"),
        (Estimate(-0.5, 0.1), "elbo", "worse"),
    ],
)
def test_a_difference_beyond_two_standard_errors_is_better_or_worse(difference, quantity, word):
    assert verdict(ComparisonRow("b", SCORE, difference), quantity) == word


def test_the_whiskers_are_two_standard_errors():
    rows = (ComparisonRow("a", SCORE, None), ComparisonRow("b", SCORE, Estimate(0.5, 0.1)))
    axes = comparison_figure(Comparison("elbo", rows)).axes[0]
    (whiskers,) = axes.containers[0].lines[2]
    assert whiskers.get_segments()[0][:, 0].tolist() == pytest.approx([0.3, 0.7])
    assert axes.get_xlabel() == "ELBO minus that of a, nats per example (± 2 standard errors)"

"""Verdicts of a comparison, and its figure."""

import pytest

from lowerbound.evaluation.comparison import ComparedScore, Comparison, ComparisonRow
from lowerbound.evaluation.results import Score
from lowerbound.foundation.numerics import Estimate
from lowerbound.reporting.comparison_plot import comparison_figure, verdict

SCORE = Score(
    name="elbo", value=-1.0, standard_error=0.1, unit="nats", split="test", convention="grey", num_examples=9,
    num_draws=1, description="",
)  # fmt: skip


@pytest.mark.parametrize(
    ("difference", "better", "word"),
    [
        (None, "higher", "not paired"),
        (Estimate(0.2, 0.1), "higher", "within noise"),
        (Estimate(0.21, 0.1), "higher", "better"),
        (Estimate(0.21, 0.1), "lower", "worse"),
        (Estimate(-0.5, 0.1), "higher", "worse"),
        (Estimate(-0.5, 0.1), "", "lower"),
    ],
)
def test_a_difference_beyond_two_standard_errors_is_better_or_worse(difference, better, word):
    score = ComparedScore("elbo", (ComparisonRow("a", SCORE), ComparisonRow("b", SCORE, difference)), better)
    assert [verdict(row, score) for row in score.rows] == ["reference", word]


def test_the_whiskers_are_two_standard_errors_and_unpaired_scores_have_none():
    rows = (ComparisonRow("a", SCORE), ComparisonRow("b", SCORE, Estimate(0.5, 0.1)))
    unpaired = ComparedScore("linear-probe", (ComparisonRow("a", SCORE), ComparisonRow("b", SCORE)))
    (axes,) = comparison_figure(Comparison(("a", "b"), (ComparedScore("elbo", rows, "higher"), unpaired))).axes
    (whiskers,) = axes.containers[0].lines[2]
    assert whiskers.get_segments()[0][:, 0].tolist() == pytest.approx([0.3, 0.7])
    assert axes.get_xlabel() == "ELBO minus that of a, nats per example (± 2 standard errors)"

"""The figure of anomaly scores: the same axis for examples and held-out ones, and the threshold on both."""

import numpy as np
import pytest

from lowerbound.reporting.score_plot import MARKS, score_figure


@pytest.mark.parametrize(("num", "bars"), [(1, False), (MARKS, False), (MARKS + 1, True)])
def test_few_examples_are_marks_and_many_are_bars_that_count_all(num, bars):
    scores = np.random.default_rng(0).normal(size=num)
    figure = score_figure(np.append(scores, np.nan), scores + 5, 3.0, "negative-elbo")
    upper, lower = figure.axes
    assert sum(bar.get_height() for bar in upper.patches) == (num if bars else 0)
    for axes in (upper, lower):
        assert any(set(line.get_xdata()) == {3.0} for line in axes.lines)
        assert axes.get_xlim() == upper.get_xlim()
        assert axes.get_xlim()[0] <= scores.min() and axes.get_xlim()[1] >= (scores + 5).max()

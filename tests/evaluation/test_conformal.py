"""Thresholds of split conformal prediction."""

import pytest

from lowerbound.evaluation.conformal import rounded_up


@pytest.mark.parametrize(
    ("rate", "text"), [(0.1, "0.1"), (1 / 3, "0.334"), (1 / 201, "0.00498"), (0.5, "0.5"), (1 / 1001, "0.001")]
)
def test_a_least_rate_is_rounded_up_where_it_is_rounded(rate, text):
    assert rounded_up(rate) == text
    assert float(text) >= rate

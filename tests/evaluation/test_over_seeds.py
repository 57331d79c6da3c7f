"""Means of scores over seeds."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lowerbound.evaluation.over_seeds import over_seeds
from lowerbound.evaluation.results import Results, Score

SCORE = Score(
    name="elbo", value=0.0, standard_error=9.0, unit="nats", split="test", convention="grey", num_examples=9,
    num_draws=1, description="a bound",
)  # fmt: skip


def results(*scores):
    return Results(scores, {}, {})


def test_the_error_is_that_over_seeds_and_not_over_examples():
    values = [-3.0, -1.0, -2.5]
    (mean,) = over_seeds([results(replace(SCORE, value=value)) for value in values])
    assert mean.value == pytest.approx(np.mean(values))
    assert mean.standard_error == pytest.approx(stats.sem(values))
    assert "over 3 seeds" in mean.description


def test_a_score_that_one_of_several_seeds_lacks_has_no_mean_over_them():
    evidence = replace(SCORE, name="grey-evidence", discretisation_error=0.25)
    unsettled = replace(evidence, name="grey-evidence-not-converged", num_not_converged=2)
    assert [one.name for one in over_seeds([results(SCORE, evidence), results(SCORE, unsettled)])] == ["elbo"]
    (both,) = over_seeds([results(evidence), results(replace(evidence, discretisation_error=0.75))])
    assert both.discretisation_error == 0.5


def test_a_single_seed_keeps_its_scores_and_their_errors_over_examples():
    assert over_seeds([results(SCORE)]) == (SCORE,)

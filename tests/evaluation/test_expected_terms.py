"""As many draws are taken as the standard error of the mean needs. The means are those of test_quick_evaluation.py."""

import pytest
import torch

from digits_models import FAST, model_of
from lowerbound.evaluation import expected_terms as expected
from lowerbound.evaluation.expected_terms import expected_terms, sufficient_draws
from lowerbound.evaluation.quick_evaluation import evaluate_quick


def widened(log_variance):
    """A model whose posteriors have this log-variance, so that draws of an example differ."""
    model = model_of()
    model.encoder.heads.weight.data[2:] = 0.0
    model.encoder.heads.bias.data[2:] = log_variance
    model.decoder.output.weight.data *= 3
    return model


@pytest.fixture(autouse=True)
def many(monkeypatch):
    """Draws count as those of many examples."""
    monkeypatch.setattr(expected, "FREE_DRAWS", 0)


@pytest.mark.parametrize("log_variance", [-3.0, -2.0, -1.0, 0.0])
def test_the_least_number_of_draws_is_taken_that_adds_a_tenth_to_the_standard_error(digits, log_variance):
    model = widened(log_variance)
    of_one_draw = torch.stack([expected_terms(model, digits.test, 1, seed).elbo for seed in range(300)]).double()
    within = of_one_draw.var(0).mean()
    between = of_one_draw.mean(0).var() - within / 300
    exact = float(within / (0.21 * between))
    assert sufficient_draws(model, digits.test, 1000, 0) == pytest.approx(exact, rel=0.35, abs=1)


def test_no_more_draws_are_taken_than_are_set(digits):
    assert sufficient_draws(widened(4.0), digits.test, 3, 0) == 3


def test_few_examples_get_all_draws_that_take_no_time(digits, monkeypatch):
    monkeypatch.setattr(expected, "FREE_DRAWS", 10 * len(digits.test))
    assert sufficient_draws(widened(-12.0), digits.test, 9, 0) == 9
    assert sufficient_draws(widened(-12.0), digits.test, 16, 0) == 10


def test_a_code_without_noise_is_drawn_once(digits):
    assert sufficient_draws(model_of(posterior="point-mass"), digits.test, 16, 0) == 1


def test_where_one_draw_suffices_the_evaluation_after_training_takes_one_and_the_gap_all(digits):
    model = widened(-12.0)
    results = evaluate_quick(model, digits, FAST)
    assert (results.score("elbo").num_draws, results.score("elbo", "train").num_draws) == (1, 1)
    elbo = expected_terms(model, digits.test, FAST.num_draws, FAST.seed).elbo[: FAST.num_exact]
    gap = results.score("log-evidence" if results.score("log-evidence") else "grey-evidence").value - elbo.mean()
    assert results.score("evidence-gap").value == pytest.approx(float(gap), abs=1e-4)

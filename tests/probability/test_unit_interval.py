"""The continuous Bernoulli: its normaliser, moments and draws, against torch and derivatives."""

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.probability.unit_interval import ContinuousBernoulli, log_normaliser, logits_of_mean, mean_of

pytestmark = pytest.mark.usefixtures("float64")


LOGITS = torch.tensor([-30.0, -3.0, -0.3, -0.051, 0.06, 0.7, 8.0], dtype=torch.float64)


def test_the_continuous_bernoullis_density_and_moments_are_those_of_torch():
    x = torch.rand(7, generator=generator(0, "x"))
    p, expected = ContinuousBernoulli(LOGITS, event_ndim=0), torch.distributions.ContinuousBernoulli(logits=LOGITS)
    assert_close(p.log_prob(x), expected.log_prob(x))
    assert_close(p.mean, expected.mean)
    assert_close(p.variance, expected.variance, rtol=1e-6, atol=1e-9)


@given(st.floats(-200, 200))
def test_the_continuous_bernoullis_mean_is_the_derivative_of_its_log_normaliser(logit):
    t = torch.tensor(logit, requires_grad=True)
    (slope,) = torch.autograd.grad(log_normaliser(t), t)
    assert slope.item() == pytest.approx(mean_of(t).item(), abs=1e-8)


@pytest.mark.parametrize("edge", [0.05, -0.05])
def test_series_and_closed_form_of_the_continuous_bernoulli_meet(edge):
    inside, outside = torch.tensor([edge * (1 - 1e-9), edge * (1 + 1e-9)]).split(1)
    for quantity in (log_normaliser, mean_of, lambda t: ContinuousBernoulli(t, event_ndim=0).variance):
        assert_close(quantity(inside), quantity(outside), rtol=0, atol=1e-10)


@given(st.floats(1e-6, 1 - 1e-6))
def test_logits_are_found_from_the_continuous_bernoullis_mean(mean):
    assert mean_of(logits_of_mean(torch.tensor(mean))).item() == pytest.approx(mean, rel=1e-9)


def test_the_continuous_bernoullis_distribution_function_makes_its_draws_uniform():
    draws = ContinuousBernoulli(LOGITS, event_ndim=0).sample(generator(0, "draws"), 2000)
    reached = torch.distributions.ContinuousBernoulli(logits=LOGITS).cdf(draws)
    for uniform in reached.T:
        assert scipy.stats.kstest(uniform.numpy(), "uniform").pvalue > 1e-3

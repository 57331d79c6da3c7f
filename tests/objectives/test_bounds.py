"""Bounds are in nats, from below, and tight where the posterior is exact: checked on a model with a known evidence."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.objectives.bounds import BOUNDS, elbo

pytestmark = pytest.mark.usefixtures("float64")

every_bound = pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS.keys())

WRONG_POSTERIORS = [(0.3, 0.0), (0.0, 0.8), (-0.2, -1.0)]
"""By how much posterior means and log-variances are off."""


def exact_posterior(linear_gaussian):
    x = linear_gaussian.x.flatten(1)
    return MultivariateNormal(linear_gaussian.data.posterior_mean(x), linear_gaussian.data.posterior_covariance())


def as_torch(q):
    return MultivariateNormal(q.mean, torch.diag_embed(q.variance))


def expected_elbo(linear_gaussian, q):
    """E[log p(x|z)] - KL(q || p), in closed form: the squared error has mean ||x - E x||² + tr(W S Wᵀ)."""
    data, x = linear_gaussian.data, linear_gaussian.x.flatten(1)
    squared = ((x - q.mean @ data.weight.T - data.bias) ** 2).sum(-1) + (q.variance * (data.weight**2).sum(0)).sum(-1)
    log_likelihood = -squared / (2 * data.sigma**2) - 6 / 2 * math.log(2 * math.pi * data.sigma**2)
    prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
    return log_likelihood - kl_divergence(as_torch(q), prior)


@every_bound
def test_a_bound_of_one_sample_is_its_log_weight(bound):
    log_weight = torch.randn(1, 6, generator=generator(0, "log weights"))
    assert_close(bound(log_weight), log_weight[0])


@every_bound
def test_a_bound_moves_with_its_log_weights_and_does_not_mix_examples(bound):
    log_weight = torch.randn(5, 6, generator=generator(0, "log weights"))
    shift = 1000 * torch.randn(6, generator=generator(0, "shift"))
    assert_close(bound(log_weight + shift), bound(log_weight) + shift)
    assert_close(bound(log_weight[:, 2:3]), bound(log_weight)[2:3])


@every_bound
def test_a_bound_is_the_evidence_when_the_posterior_is_exact(bound, linear_gaussian):
    samples = linear_gaussian.model.sample_posterior(linear_gaussian.x, generator(0, "noise"), num_samples=3)
    assert_close(bound(samples.log_weight), linear_gaussian.log_evidence)


@every_bound
@pytest.mark.parametrize(("mean", "log_variance"), WRONG_POSTERIORS)
def test_the_mean_of_a_bound_is_below_the_evidence_when_the_posterior_is_wrong(
    bound, linear_gaussian, mean, log_variance
):
    model, num_draws = linear_gaussian.with_posterior_moved(mean, log_variance), 5_000
    samples = model.sample_posterior(linear_gaussian.x, generator(0, "noise"), 2 * num_draws)
    draws = torch.stack([bound(pair) for pair in samples.log_weight.detach().split(2)])
    assert (draws.mean(0) - 4 * draws.std(0) / math.sqrt(num_draws) <= linear_gaussian.log_evidence).all()


def test_the_elbo_is_the_mean_log_weight():
    log_weight = torch.tensor([[1.0, -4.0], [2.0, 0.0], [6.0, 1.0]])
    assert_close(elbo(log_weight), torch.tensor([3.0, -1.0]))


@pytest.mark.parametrize(("mean", "log_variance"), WRONG_POSTERIORS)
def test_the_gap_of_the_elbo_is_the_divergence_from_the_exact_posterior(linear_gaussian, mean, log_variance):
    q = linear_gaussian.with_posterior_moved(mean, log_variance).encode(linear_gaussian.x)
    gap = kl_divergence(as_torch(q), exact_posterior(linear_gaussian))
    assert gap.min() > 0.05
    assert_close(linear_gaussian.log_evidence - expected_elbo(linear_gaussian, q), gap)


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, 0.0), *WRONG_POSTERIORS])
def test_the_elbo_over_draws_has_its_closed_form_as_mean(linear_gaussian, mean, log_variance):
    model, num_draws = linear_gaussian.with_posterior_moved(mean, log_variance), 10_000
    samples = model.sample_posterior(linear_gaussian.x, generator(0, "noise"), num_draws)
    log_weight = samples.log_weight.detach()
    standard_error = log_weight.std(0) / math.sqrt(num_draws)
    expected = expected_elbo(linear_gaussian, samples.groups[0].posterior)
    assert ((elbo(log_weight) - expected).abs() <= 4 * standard_error + 1e-9).all()


@pytest.mark.parametrize(("mean", "log_variance"), WRONG_POSTERIORS)
def test_importance_weights_of_a_wrong_posterior_have_the_evidence_as_mean(linear_gaussian, mean, log_variance):
    model, num_draws = linear_gaussian.with_posterior_moved(mean, log_variance), 20_000
    samples = model.sample_posterior(linear_gaussian.x, generator(0, "noise"), num_draws)
    ratio = torch.exp(samples.log_weight.detach() - linear_gaussian.log_evidence)
    assert ((ratio.mean(0) - 1).abs() <= 4 * ratio.std(0) / math.sqrt(num_draws)).all()

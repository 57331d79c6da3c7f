"""Bounds are in nats, from below, and tight where the posterior is exact: checked on a model with a known evidence."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.objectives.bounds import BOUNDS, GROUPED, ciwae, elbo, iwae, miwae, partition, renyi, thermodynamic

pytestmark = pytest.mark.usefixtures("float64")

every_bound = pytest.mark.parametrize(
    "bound",
    [partial(bound, num_groups=1) if name in GROUPED else bound for name, bound in BOUNDS.items()],
    ids=BOUNDS.keys(),
)

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


def log_weights(num_samples=12, num_examples=6):
    return 3 * torch.randn(num_samples, num_examples, generator=generator(0, "log weights"))


def test_miwae_is_the_elbo_with_groups_of_one_and_the_iwae_with_one_group():
    drawn = log_weights()
    assert_close(miwae(drawn, num_groups=12), elbo(drawn))
    assert_close(miwae(drawn, num_groups=1), iwae(drawn))
    assert_close(miwae(drawn, num_groups=3), torch.stack([iwae(part) for part in drawn.split(4)]).mean(0))


def test_ciwae_is_between_elbo_and_iwae_by_its_weight():
    drawn = log_weights()
    assert_close(ciwae(drawn, elbo_weight=1.0), elbo(drawn))
    assert_close(ciwae(drawn, elbo_weight=0.25), 0.25 * elbo(drawn) + 0.75 * iwae(drawn))


def test_the_renyi_bound_falls_from_the_iwae_to_the_elbo_and_below_as_alpha_grows():
    drawn = log_weights()
    assert_close(renyi(drawn, alpha=0.0), iwae(drawn))
    assert_close(renyi(drawn, alpha=1 - 1e-7), elbo(drawn), rtol=1e-5, atol=1e-5)
    values = [renyi(drawn, alpha=alpha) for alpha in (0.0, 0.5, 1.0, 2.0, 50.0)]
    assert all((after < before).all() for before, after in pairwise(values))
    assert_close(renyi(drawn, alpha=100.0), drawn.min(0).values, rtol=0, atol=0.03)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_renyi_bound_is_the_evidence_minus_the_renyi_divergence_of_two_normals(linear_gaussian, alpha):
    """D_α(q||p) of normals in closed form, Gil et al., 2013; the estimate in linear space, where it is unbiased."""
    shift = 0.3
    model = linear_gaussian.with_posterior_moved(shift, 0.0)
    q, exact = model.encode(linear_gaussian.x), linear_gaussian.model.encode(linear_gaussian.x)
    divergence = 0.5 * alpha * ((q.mean - exact.mean) ** 2 / exact.variance).sum(-1)  # of equal variances
    samples = model.sample_posterior(linear_gaussian.x, generator(0, "noise"), 100_000)
    powers = ((1 - alpha) * (samples.log_weight - linear_gaussian.log_evidence)).exp().detach()
    expected = (-(1 - alpha) * divergence).exp()
    assert ((powers.mean(0) - expected).abs() <= 4 * powers.std(0) / math.sqrt(len(powers))).all()


def test_the_thermodynamic_bound_is_a_left_sum_below_the_iwae_that_converges_to_it():
    drawn = log_weights()
    assert_close(thermodynamic(drawn, num_partitions=1), elbo(drawn))
    coarse, fine = (thermodynamic(drawn, num_partitions=number, first=1e-4) for number in (4, 1000))
    assert (elbo(drawn) < coarse).all()
    assert (coarse < fine).all()
    assert (fine < iwae(drawn)).all()
    assert_close(fine, iwae(drawn), rtol=0, atol=0.05)


def test_the_partition_starts_at_zero_and_is_even_in_the_logarithm():
    points = partition(5, 0.01)
    assert points[0] == 0
    assert_close(points[1:].log().diff(), torch.full((3,), -math.log(0.01) / 4))
    assert points[1] == pytest.approx(0.01)

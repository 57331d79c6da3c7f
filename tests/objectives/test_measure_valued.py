"""Measure-valued derivatives: the distributions of the coupled draws, and derivatives against closed forms."""

import math

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.objectives.bounds import elbo, iwae
from lowerbound.objectives.measure_valued import (
    double_sided_maxwell,
    evaluations_per_draw,
    measure_valued_derivatives,
    rayleigh,
)
from lowerbound.probability.distributions import DiagonalNormal

pytestmark = pytest.mark.usefixtures("float64")


def draws(distribution):
    return distribution(generator(0, "draws"), 20_000, torch.zeros(1, 1)).flatten()


def assert_distributed(values, cdf):
    assert stats.kstest(values.numpy(), cdf).pvalue > 1e-3


def test_the_draws_for_the_mean_have_a_rayleigh_distribution():
    assert_distributed(draws(rayleigh), stats.rayleigh.cdf)


def test_the_draws_for_the_standard_deviation_are_maxwell_on_either_side():
    found = draws(double_sided_maxwell)
    assert_distributed(found.abs(), stats.maxwell.cdf)
    assert abs((found > 0).double().mean() - 0.5) < 4 * 0.5 / math.sqrt(len(found))


def test_times_a_uniform_variable_they_are_standard_normal():
    far = draws(double_sided_maxwell)
    assert_distributed(far * torch.rand(far.shape, generator=generator(1, "uniform")), stats.norm.cdf)


def repeated(function, bound, num_samples, num=20_000):
    """Estimates at one normal in two dimensions, one in each row, with its mean and standard deviation."""
    mean, sd = torch.tensor([0.3, -0.8]), torch.tensor([0.7, 1.4])
    normal = DiagonalNormal(mean.expand(num, -1), 2 * sd.log().expand(num, -1))
    of_mean, of_sd, _ = measure_valued_derivatives(function, bound, normal, generator(0, "noise"), num_samples)
    return of_mean, of_sd, mean, sd


def assert_mean(rows, expected):
    assert ((rows.mean(0) - expected).abs() <= 4 * rows.std(0) / len(rows) ** 0.5).all()


@pytest.mark.parametrize("num_samples", [1, 3])
def test_derivatives_of_a_product_of_two_coordinates_are_those_of_its_closed_form(num_samples):
    """E[x² y] = (m² + s²) n for x ~ N(m, s²) and y ~ N(n, t²)."""
    of_mean, of_sd, mean, sd = repeated(lambda z: z[..., 0] ** 2 * z[..., 1], elbo, num_samples)
    assert_mean(of_mean, torch.stack([2 * mean[0] * mean[1], mean[0] ** 2 + sd[0] ** 2]))
    assert_mean(of_sd, torch.stack([2 * sd[0] * mean[1], torch.zeros(())]))


def test_derivatives_of_a_bound_of_two_draws_are_those_of_pathwise_draws():
    def function(z):
        return -(z**2).sum(-1)

    of_mean, of_sd, mean, sd = repeated(function, iwae, 2)
    noise = torch.randn(2, 20_000, 2, generator=generator(1, "noise"))
    mean, sd = (one.expand(20_000, -1).clone().requires_grad_() for one in (mean, sd))
    pathwise = torch.autograd.grad(iwae(function(mean + sd * noise)).sum(), (mean, sd))
    for found, other in zip((of_mean, of_sd), pathwise, strict=True):
        error = ((found.var(0) + other.var(0)) / len(found)).sqrt()
        assert ((found.mean(0) - other.mean(0)).abs() <= 4 * error).all()


def test_a_function_without_derivatives_has_them_in_expectation():
    """E[x > 0] = Φ(m / s), of the first coordinate alone."""
    of_mean, of_sd, mean, sd = repeated(lambda z: (z[..., 0] > 0).double(), elbo, 1)
    density = torch.exp(-0.5 * (mean[0] / sd[0]) ** 2) / math.sqrt(2 * math.pi)
    assert_mean(of_mean[:, :1], density / sd[0])
    assert_mean(of_sd[:, :1], -density * mean[0] / sd[0] ** 2)
    assert_close(of_mean[:, 1], torch.zeros_like(of_mean[:, 1]))


def test_a_draw_costs_as_many_evaluations_as_stated():
    calls = []

    def function(z):
        calls.append(len(z) * z.shape[1])
        return z.sum(-1)

    normal = DiagonalNormal(torch.zeros(1, 5), torch.zeros(1, 5))
    measure_valued_derivatives(function, elbo, normal, generator(0, "noise"), 1)
    assert sum(calls) == evaluations_per_draw(5)

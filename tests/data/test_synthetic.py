"""The closed forms of the linear-Gaussian model against scipy, quadrature and its own draws."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.testing import assert_close

from lowerbound.data.synthetic import LinearGaussian, orthogonal_linear_gaussian
from lowerbound.foundation.seeding import generator

DATA = orthogonal_linear_gaussian(5, 2, sigma=0.7, generator=generator(0, "data"))
X = DATA.sample(6, generator(0, "examples"))


def test_the_evidence_is_the_density_of_the_marginal_normal():
    weight, bias = DATA.weight.numpy(), DATA.bias.numpy()
    marginal = scipy.stats.multivariate_normal(bias, weight @ weight.T + 0.7**2 * np.eye(5))
    assert_close(DATA.log_evidence(X), torch.from_numpy(marginal.logpdf(X.numpy())))


def test_posterior_and_evidence_are_what_quadrature_over_the_latent_gives():
    data = LinearGaussian(torch.tensor([[1.5], [-0.5]]).double(), torch.tensor([0.3, -1.0]).double(), 0.6)
    x = torch.tensor([[1.2, 0.4]], dtype=torch.float64)
    z = np.linspace(-12, 12, 4001)
    means = z[:, np.newaxis] @ data.weight.T.numpy() + data.bias.numpy()
    joint = np.exp(scipy.stats.norm.logpdf(x.numpy(), means, 0.6).sum(axis=1) + scipy.stats.norm.logpdf(z))
    evidence = scipy.integrate.simpson(joint, x=z)
    mean = scipy.integrate.simpson(joint * z, x=z) / evidence
    variance = scipy.integrate.simpson(joint * (z - mean) ** 2, x=z) / evidence
    assert data.log_evidence(x).item() == pytest.approx(math.log(evidence))
    assert data.posterior_mean(x).item() == pytest.approx(mean)
    assert data.posterior_covariance().item() == pytest.approx(variance)


def test_bayes_rule_holds_at_every_latent():
    z = torch.randn(6, 2, generator=generator(0, "z"), dtype=torch.float64)
    normal = torch.distributions.Normal
    log_joint = normal(z @ DATA.weight.T + DATA.bias, 0.7).log_prob(X).sum(-1) + normal(0, 1).log_prob(z).sum(-1)
    posterior = torch.distributions.MultivariateNormal(DATA.posterior_mean(X), DATA.posterior_covariance())
    assert_close(log_joint - posterior.log_prob(z), DATA.log_evidence(X))


def test_draws_have_the_mean_and_the_covariance_of_the_marginal():
    x = DATA.sample(40_000, generator(0, "many examples"))
    centred = x - DATA.bias
    products = centred.unsqueeze(1) * centred.unsqueeze(2)
    covariance = DATA.weight @ DATA.weight.T + 0.7**2 * torch.eye(5)
    for draws, expected in ((x, DATA.bias), (products, covariance)):
        assert ((draws.mean(0) - expected).abs() <= 4 * draws.std(0) / math.sqrt(len(x))).all()


def test_columns_are_orthogonal_with_lengths_2_and_3_so_the_posterior_is_diagonal():
    assert_close(DATA.weight.T @ DATA.weight, torch.diag(torch.tensor([4.0, 9.0], dtype=torch.float64)))
    expected = [0.7**2 / (4 + 0.7**2), 0.7**2 / (9 + 0.7**2)]
    assert_close(DATA.posterior_covariance(), torch.diag(torch.tensor(expected, dtype=torch.float64)))


def test_equal_generators_give_equal_data():
    again = orthogonal_linear_gaussian(5, 2, sigma=0.7, generator=generator(0, "data"))
    assert torch.equal(again.weight, DATA.weight)
    assert torch.equal(again.sample(6, generator(0, "examples")), X)

"""Normals with a full covariance, and mixtures of normals, against scipy and their own draws."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch.testing import assert_close

from integrals import total_mass
from lowerbound.foundation.seeding import generator
from lowerbound.probability.posteriors import (
    FullNormalPosterior,
)
from mixtures import mixture

pytestmark = pytest.mark.usefixtures("float64")


def full(latent_dim=3):
    family = FullNormalPosterior(latent_dim)
    return family(torch.randn(4, *family.raw_shape, generator=generator(0, "raw")))


def test_a_full_covariance_is_that_of_scipy():
    posterior, z = full(), torch.randn(4, 3, generator=generator(0, "z"))
    expected = [
        scipy.stats.multivariate_normal(mean, covariance).logpdf(value)
        for mean, covariance, value in zip(posterior.mean, posterior.covariance, z, strict=True)
    ]
    assert_close(posterior.log_prob(z), torch.tensor(np.array(expected)))
    assert_close(posterior.covariance.diagonal(dim1=-2, dim2=-1), posterior.variance)


def test_draws_of_a_full_covariance_have_it():
    posterior = full()
    z = posterior.sample(generator(0, "draws"), 100_000)
    for member in range(4):
        assert_close(torch.cov(z[:, member].T), posterior.covariance[member], rtol=0.05, atol=0.02)


def test_the_marginal_of_a_full_covariance_is_its_block():
    posterior = full()
    marginal = posterior.marginal([2, 0])
    assert_close(marginal.mean, posterior.mean[:, [2, 0]])
    assert_close(marginal.covariance, posterior.covariance[:, [2, 0]][:, :, [2, 0]])


def test_one_latent_has_no_covariances():
    assert FullNormalPosterior(1).raw_shape == (2,)
    assert full(1).covariance.shape == (4, 1, 1)


def scipy_density(prior, z):
    parts = zip(prior.logits.softmax(0), prior.means, prior.log_variances.exp(), strict=True)
    return sum(
        float(weight) * scipy.stats.multivariate_normal(mean, torch.diag(variance)).pdf(z)
        for weight, mean, variance in parts
    )


def test_the_mixture_of_normals_is_that_of_scipy():
    z = 4 * torch.randn(7, 2, generator=generator(0, "z"))
    assert_close(mixture().log_prob(z).exp(), torch.from_numpy(scipy_density(mixture(), z)))
    assert mixture().log_prob(z.reshape(7, 1, 2)).shape == (7, 1)


def test_the_moments_of_a_mixture_are_those_of_its_draws():
    z = mixture()().sample(generator(0, "draws"), 200_000)
    assert_close(mixture()().mean, z.mean(0), rtol=0, atol=0.05)
    assert_close(mixture()().covariance, torch.cov(z.T), rtol=0.02, atol=0.02)


def test_a_marginal_of_a_mixture_has_its_quantiles():
    marginal = mixture()().marginal([1])
    place = float(mixture().quantiles(torch.tensor([0.3]))[0, 1])
    mass = total_mass(lambda z: marginal.log_prob(z), [-30.0], [place], [0.0])
    assert mass == pytest.approx(0.3, abs=1e-7)

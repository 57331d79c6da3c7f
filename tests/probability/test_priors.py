"""Every row of PRIORS is a normalised density over latents; the standard normal is what its name says."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.probability.priors import PRIORS, StandardNormalPrior

pytestmark = pytest.mark.usefixtures("float64")

every_prior = pytest.mark.parametrize("name", PRIORS)


@every_prior
def test_the_density_of_everything_is_one(name):
    axis = torch.linspace(-12, 12, 241)
    with torch.no_grad():
        density = PRIORS[name](2)().log_prob(torch.cartesian_prod(axis, axis)).exp().reshape(241, 241).numpy()
    total = scipy.integrate.simpson(scipy.integrate.simpson(density, x=axis.numpy()), x=axis.numpy())
    assert total == pytest.approx(1, abs=1e-7)


@every_prior
def test_draws_are_latents_with_the_mean_and_the_variance_that_are_claimed(name):
    prior = PRIORS[name](3)()
    z = prior.sample(generator(0, "draws"), 20_000)
    assert z.shape == (20_000, 3)
    for values, expected in ((z, prior.mean), ((z - prior.mean) ** 2, prior.variance)):
        assert ((values.mean(dim=0) - expected).abs() <= 4 * values.std(dim=0) / math.sqrt(len(z))).all()


@every_prior
def test_a_prior_follows_its_models_number_type(name):
    assert PRIORS[name](3).float()().sample(generator(0, "draws"), 1).dtype == torch.float32
    assert PRIORS[name](3).double()().sample(generator(0, "draws"), 1).dtype == torch.float64


def test_the_standard_normal_prior_is_that_of_scipy():
    z = torch.randn(5, 3, generator=generator(0, "z"))
    expected = scipy.stats.multivariate_normal(np.zeros(3)).logpdf(z.numpy())
    assert_close(StandardNormalPrior(3)().log_prob(z), torch.from_numpy(expected))


def test_the_standard_normal_prior_has_nothing_to_train_or_to_save():
    prior = StandardNormalPrior(3)
    assert list(prior.parameters()) == []
    assert prior.state_dict() == {}

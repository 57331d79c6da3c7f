"""Every entry in PRIORS is a normalised density over latents; the standard normal is what its name says."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.testing import assert_close

from integrals import total_mass
from latent_priors import ALONE, model_with_prior, prior_named
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.probability.priors import PRIORS, StandardNormalPrior
from lowerbound.probability.spaces import REAL
from small_models import size_in

pytestmark = pytest.mark.usefixtures("float64")

WITHOUT_TEMPERATURE = ("uniform-on-sphere", "uniform-categorical", "uniform-codes")

every_prior = pytest.mark.parametrize("name", ALONE)
every_real_prior = pytest.mark.parametrize("name", [name for name in ALONE if PRIORS[name].space == REAL])


def latents(name):
    return size_in(PRIORS[name].space)


@every_real_prior
def test_the_density_of_everything_is_one(name):
    prior = prior_named(name, 2)
    mean, reach = prior().mean.detach().numpy(), 12 * prior().variance.detach().sqrt().numpy()
    assert total_mass(prior.log_prob, mean - reach, mean + reach, mean) == pytest.approx(1, abs=1e-7)


@every_real_prior
def test_draws_are_latents_with_the_mean_and_the_variance_that_are_claimed(name):
    prior = prior_named(name, 3).requires_grad_(False)()
    with torch.no_grad():
        z = prior.sample(generator(0, "draws"), 20_000)
    assert z.shape == (20_000, 3)
    for values, expected in ((z, prior.mean), ((z - prior.mean) ** 2, prior.variance)):
        assert ((values.mean(dim=0) - expected).abs() <= 4 * values.std(dim=0) / math.sqrt(len(z))).all()


@every_prior
def test_the_first_draws_of_a_stream_are_the_same_however_many_follow(name):
    prior = prior_named(name, latents(name)).requires_grad_(False)
    temperature = 1.0 if name in WITHOUT_TEMPERATURE else 0.7
    few, many = (prior.sample(generator(0, "draws"), num, temperature) for num in (4, 9))
    assert torch.equal(few, many[:4])


@pytest.mark.parametrize("name", WITHOUT_TEMPERATURE)
def test_a_prior_without_a_scale_refuses_a_temperature(name):
    with pytest.raises(ConfigError, match="does not support a temperature"):
        prior_named(name, latents(name)).sample(generator(0, "draws"), 1, 0.7)


def test_a_flow_has_no_quantiles():
    assert prior_named("flow", 3).quantiles(torch.tensor([0.5])) is None


@pytest.mark.parametrize("name", [name for name in ALONE if name != "flow" and PRIORS[name].space == REAL])
def test_quantiles_are_those_of_draws(name):
    prior = prior_named(name, 3).requires_grad_(False)
    wanted = torch.tensor([0.1, 0.5, 0.9])
    quantiles = prior.quantiles(wanted)
    z = prior().sample(generator(0, "draws"), 20_000)
    for probability, place in zip(wanted, quantiles, strict=True):
        below = (z < place).double().mean(0)
        assert ((below - probability).abs() <= 4.5 * (probability * (1 - probability) / len(z)).sqrt()).all()


@every_prior
def test_a_prior_follows_its_models_number_type(name):
    model = model_with_prior(name, latents(name))
    for dtype in (torch.float32, torch.float64):
        assert model.to(dtype).prior().sample(generator(0, "draws"), 1).dtype == dtype


def test_the_standard_normal_prior_is_that_of_scipy():
    z = torch.randn(5, 3, generator=generator(0, "z"))
    expected = scipy.stats.multivariate_normal(np.zeros(3)).logpdf(z.numpy())
    assert_close(StandardNormalPrior(3)().log_prob(z), torch.from_numpy(expected))


def test_the_standard_normal_prior_has_nothing_to_train_or_to_save():
    prior = StandardNormalPrior(3)
    assert list(prior.parameters()) == []
    assert prior.state_dict() == {}

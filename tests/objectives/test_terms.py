"""The one estimate of the terms has the closed form as its mean, and its errors are those of its draws."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.terms import estimate_terms
from lowerbound.probability.kl import kl_divergence

pytestmark = pytest.mark.usefixtures("float64")


def test_the_elbo_of_the_exact_posterior_is_the_evidence_at_every_draw(linear_gaussian):
    model, x = linear_gaussian.model, linear_gaussian.x
    terms = estimate_terms(model, x, generator(0, "noise"), 2000)
    error = terms.log_likelihood.std(0) / math.sqrt(2000)
    assert ((terms.elbo - linear_gaussian.log_evidence).abs() <= 4.5 * error).all()
    assert_close(terms.rate, kl_divergence(model.encode(x), model.prior()).detach())


def test_the_standard_error_is_that_of_the_mean_over_draws(linear_gaussian):
    terms = estimate_terms(linear_gaussian.model, linear_gaussian.x, generator(0, "noise"), 50)
    of_draws = terms.log_likelihood - terms.rate_of_draw
    assert_close(terms.elbo, of_draws.mean(0))
    assert_close(terms.elbo_standard_error, of_draws.std(0) / math.sqrt(50))


@pytest.mark.parametrize("posterior", ["diagonal-normal", "full-normal"])
def test_without_a_closed_form_the_rate_is_the_mean_over_draws(posterior):
    config = ModelConfig(hidden=(5,), latent_dim=3, posterior=posterior, prior="mixture-of-normals")
    model = build_model(config, (1, 3, 3), generator(0, "weights"))
    x = torch.rand(4, 1, 3, 3, generator=generator(0, "x"))
    terms = estimate_terms(model, x, content_noise(x, 0, "noise"), 16)
    z = model.encode(x).sample_by_row(content_noise(x, 0, "noise"), 16)
    expected = (model.encode(x).log_prob(z) - model.prior.log_prob(z)).mean(0).detach()
    assert_close(terms.rate, expected)


def test_a_point_mass_costs_nothing():
    model = build_model(ModelConfig(hidden=(5,), posterior="point-mass"), (1, 3, 3), generator(0, "weights"))
    x = torch.rand(4, 1, 3, 3, generator=generator(0, "x"))
    terms = estimate_terms(model, x, generator(0, "noise"), 1)
    assert_close(terms.rate, torch.zeros(4))
    assert_close(terms.elbo, model.decode(model.encode(x).mean).log_prob(x).detach())

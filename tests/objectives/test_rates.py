"""Rates: what each charges for the code, and that those which estimate the divergence have it as their mean."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.objectives.rates import RATES, analytic, monte_carlo, none, true_rate
from lowerbound.probability.distributions import DiagonalNormal, Distribution, PointMass
from lowerbound.probability.samples import PosteriorSamples

pytestmark = pytest.mark.usefixtures("float64")

NUM_DRAWS = 20_000


class Shifted(Distribution):
    """A normal under another name: a family of which no closed form is known."""

    def __init__(self, normal):
        self.normal, self.event_ndim = normal, 1

    mean = mode = variance = property(lambda self: self.normal.mean)

    def log_prob(self, value):
        return self.normal.log_prob(value)

    def sample(self, generator, num_samples):
        return self.normal.sample(generator, num_samples)


def posterior():
    mean, log_variance = torch.randn(2, 3, 2, generator=generator(0, "posterior"))
    return DiagonalNormal(mean, log_variance)


def drawn(q, num_samples):
    z = q.sample(generator(0, "noise"), num_samples)
    prior = DiagonalNormal(torch.zeros(2), torch.zeros(2))
    return PosteriorSamples.of_one_group(z, torch.zeros(num_samples, 3), q, prior)


def exact_divergence(q):
    return kl_divergence(
        Independent(Normal(q.mean, q.standard_deviation), 1), Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    )


@pytest.mark.parametrize("name", RATES)
def test_a_rate_has_one_number_for_each_draw(name):
    assert RATES[name](drawn(posterior(), 5)).shape == (5, 3)


def test_the_analytic_rate_is_the_divergence_whatever_was_drawn():
    q = posterior()
    assert_close(analytic(drawn(q, 5)), exact_divergence(q).expand(5, 3))


def test_the_monte_carlo_rate_is_the_log_ratio_of_each_draw():
    q = posterior()
    samples = drawn(q, 5)
    log_ratio = Normal(q.mean, q.standard_deviation).log_prob(samples.z) - Normal(0.0, 1.0).log_prob(samples.z)
    assert_close(monte_carlo(samples), log_ratio.sum(-1))


def test_the_monte_carlo_rate_has_the_analytic_one_as_its_mean():
    charged = monte_carlo(drawn(posterior(), NUM_DRAWS))
    distance = (charged.mean(0) - analytic(drawn(posterior(), 1))[0]).abs()
    assert (distance <= 4 * charged.std(0) / math.sqrt(NUM_DRAWS)).all()


def test_a_plain_autoencoder_is_charged_nothing():
    samples = drawn(PointMass(torch.ones(3, 2)), 5)
    assert torch.equal(none(samples), torch.zeros(5, 3))


@pytest.mark.parametrize(("rate", "reason"), [(analytic, "no closed form"), (monte_carlo, "no log-density")])
def test_any_other_rate_of_a_point_mass_is_refused(rate, reason):
    with pytest.raises(ConfigError, match=reason):
        rate(drawn(PointMass(torch.ones(3, 2)), 5))


def test_the_true_rate_is_the_closed_form_where_there_is_one():
    q = posterior()
    assert_close(true_rate(drawn(q, 5)), exact_divergence(q))


def test_the_true_rate_is_estimated_where_there_is_no_closed_form():
    samples = drawn(Shifted(posterior()), NUM_DRAWS)
    with pytest.raises(ConfigError, match="'monte-carlo'"):
        analytic(samples)
    standard_error = monte_carlo(samples).std(0) / math.sqrt(NUM_DRAWS)
    assert ((true_rate(samples) - exact_divergence(posterior())).abs() <= 4 * standard_error).all()

"""Rates: what each charges for the code, and that those which estimate the divergence have it as their mean."""

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.objectives.rates import (
    RATES,
    Geco,
    analytic,
    capacity,
    capacity_per_example,
    described,
    free_bits,
    free_bits_total,
    monte_carlo,
    none,
    true_rate,
)
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


@pytest.mark.parametrize("name", [name for name in RATES if name != "geco"])
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


# ---- rates that change the KL on purpose


def elementwise(q):
    return kl_divergence(Normal(q.mean, q.standard_deviation), Normal(torch.zeros(2), torch.ones(2)))


def gradient_of(rate, q, **options):
    parameters = [q.mean.detach().requires_grad_(), q.log_variance.detach().requires_grad_()]
    rate(drawn(DiagonalNormal(*parameters), 1), **options).mean().backward()
    return [parameter.grad for parameter in parameters]


def test_free_bits_charge_the_batch_mean_of_each_latent_or_the_free_nats():
    of_latents = elementwise(posterior()).mean(0)
    nats = float(of_latents.mean())  # one latent is below, one above
    charged = free_bits(drawn(posterior(), 2), nats=nats)
    assert_close(charged, of_latents.clamp(min=nats).sum().expand(2, 3))
    assert_close(free_bits(drawn(posterior(), 2), nats=0.0).mean(), exact_divergence(posterior()).mean())


def test_a_latent_below_its_free_bits_has_exactly_no_gradient():
    of_latents = elementwise(posterior()).mean(0)
    low = int(of_latents.argmin())
    nats = float(of_latents.mean())
    free, all_charged = gradient_of(free_bits, posterior(), nats=nats), gradient_of(analytic, posterior())
    for gradient, plain in zip(free, all_charged, strict=True):
        assert (gradient[:, low] == 0).all()
        assert_close(gradient[:, 1 - low], plain[:, 1 - low])


def test_free_bits_need_a_rate_that_is_a_sum_over_latents_and_name_the_one_that_does_not():
    with pytest.raises(ConfigError, match="free-bits-total"):
        free_bits(drawn(Shifted(posterior()), 1))
    total = free_bits_total(drawn(Shifted(posterior()), NUM_DRAWS), nats=100.0)
    assert (total == 100).all()


def test_capacity_pushes_the_mean_rate_to_its_nats_and_per_example_every_rate():
    q, nats = posterior(), 1.5
    divergence = exact_divergence(q)
    assert_close(capacity(drawn(q, 1), nats=nats), (divergence.mean() - nats).abs().expand(1, 3))
    assert_close(capacity_per_example(drawn(q, 1), nats=nats), (divergence - nats).abs().expand(1, 3))
    assert_close(capacity(drawn(q, 1), 0.5, nats=nats), (divergence.mean() - 0.5 * nats).abs().expand(1, 3))
    assert (divergence - nats).abs().mean() > (divergence.mean() - nats).abs() + 0.01  # they are two objectives


def geco(**options):
    return Geco(2, generator(0, "none"), distortion=10.0, **options)


def with_distortion(nats):
    samples = drawn(posterior(), 2)
    return replace(samples, log_likelihood=torch.full((2, 3), -nats))


def test_the_multiplier_grows_while_the_distortion_is_too_high_and_shrinks_below():
    part = geco(speed=1e-3, decay=0.0)
    assert part.logged == 1
    part(with_distortion(30.0))
    part.update()
    assert float(part.logged) == pytest.approx(math.exp(1e-3 * 20))
    assert_close(part(with_distortion(5.0)), analytic(drawn(posterior(), 2)) / math.exp(1e-3 * 20))
    part.update()
    assert float(part.logged) == pytest.approx(math.exp(1e-3 * (20 - 5)))


def test_the_violation_is_averaged_and_a_step_is_limited():
    part = geco(speed=1e-3, decay=0.9)
    for nats in (12.0, 16.0):
        part(with_distortion(nats))
        part.update()
    assert float(part.average) == pytest.approx(0.9 * 2 + 0.1 * 6)
    assert float(part.logged) == pytest.approx(math.exp(1e-3 * (2 + 2.4)))
    fast = geco(speed=1.0)
    fast(with_distortion(1e6))
    fast.update()
    assert float(fast.logged) == pytest.approx(math.exp(0.1))


def test_validation_leaves_the_multiplier_alone():
    part = geco()
    with torch.no_grad():
        part(with_distortion(30.0))
    part.update()
    assert part.logged == 1
    assert part.num_steps == 0


def test_every_rate_is_described_when_a_training_starts():
    assert all(described(name) != name for name in RATES if name != "auto")

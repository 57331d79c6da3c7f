"""Draws from the posterior carry the densities that bounds and rates are made of."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.samples import PosteriorSamples

pytestmark = pytest.mark.usefixtures("float64")

PRIOR = DiagonalNormal(torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))


def drawn(posterior):
    z = posterior.sample(generator(0, "noise"), 5)
    return PosteriorSamples.of_one_group(
        z, torch.randn(5, 3, generator=generator(0, "log likelihood")), posterior, PRIOR
    )


def test_a_log_weight_is_log_p_of_x_and_z_minus_log_q_of_z():
    mean, log_variance = torch.randn(2, 3, 2, generator=generator(0, "posterior"))
    samples = drawn(DiagonalNormal(mean, log_variance))
    standard_normal = torch.distributions.Normal(0.0, 1.0)
    q = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    expected = samples.log_likelihood + (standard_normal.log_prob(samples.z) - q.log_prob(samples.z)).sum(-1)
    assert_close(samples.log_weight, expected)


def test_a_point_mass_can_be_sampled_and_only_its_density_is_refused():
    samples = drawn(PointMass(torch.ones(3, 2)))
    assert samples.log_prior.shape == samples.log_likelihood.shape == (5, 3)
    for density in ("log_posterior", "log_weight"):
        with pytest.raises(ConfigError, match="no log-density"):
            getattr(samples, density)

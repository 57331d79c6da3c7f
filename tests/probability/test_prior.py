"""The base of all priors: what a prior of one's own need not define."""

import pytest

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.probability.prior import Prior
from lowerbound.probability.priors import StandardNormalPrior


def test_a_prior_without_a_temperature_refuses_one():
    class Laplace(Prior):
        def forward(self):
            return StandardNormalPrior(self.latent_dim)()

    assert Laplace(2).sample(generator(0, "draws"), 3).shape == (3, 2)
    with pytest.raises(ConfigError, match=r"Laplace does not support a temperature other than 1, got 0\.5"):
        Laplace(2).sample(generator(0, "draws"), 3, temperature=0.5)

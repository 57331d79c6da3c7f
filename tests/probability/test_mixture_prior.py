"""A mixture of normals as a prior: its temperature, its options, and the copy of a mixture."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.probability.mixture_prior import MixtureOfNormalsPrior
from mixtures import mixture

pytestmark = pytest.mark.usefixtures("float64")


def test_the_temperature_of_a_mixture_narrows_its_components_and_leaves_their_weights():
    z = mixture().sample(generator(0, "draws"), 3000, temperature=1e-6)
    nearest = torch.cdist(z, mixture().means)
    assert float(nearest.min(1).values.max()) < 1e-4
    shares = nearest.argmin(1).bincount(minlength=3) / 3000
    assert_close(shares, torch.tensor([0.2, 0.3, 0.5]), rtol=0, atol=0.04)


def test_a_number_of_components_below_one_is_refused():
    with pytest.raises(ConfigError, match="num_components needs a number from 1 to 10000, got 0"):
        MixtureOfNormalsPrior(2, num_components=0)


def test_the_prior_of_a_mixture_has_its_distribution_and_its_number_type():
    z = torch.randn(5, 2, generator=generator(0, "z"))
    copied = MixtureOfNormalsPrior.of(mixture()())
    assert_close(copied.log_prob(z), mixture().log_prob(z))
    assert MixtureOfNormalsPrior.of(mixture().float()()).means.dtype == torch.float32

"""p(z|y) starts as the standard normal, and with one y it is a prior of its own."""

import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.conditional_prior import ConditionalNormalPrior
from lowerbound.probability.prior import Prior


class Unconditional:
    num_context_features = 0


@pytest.fixture
def prior() -> Prior:
    levels = Column(name="label", kind="categorical", levels=("a", "b"))
    config = ModelConfig(hidden=(8,), latent_dim=3, condition_on=("label",), prior="conditional-normal")
    return build_model(config, (4,), generator(0, "weights"), conditions=[levels]).prior


def test_it_starts_as_the_standard_normal_for_every_context(prior):
    z = torch.randn(2, 3, generator=generator(0, "z"), dtype=torch.float64)
    density = prior.given(torch.eye(2))().log_prob(z)
    assert_close(density, Normal(0, 1).log_prob(z).sum(-1).double(), rtol=0, atol=1e-6)


def test_each_row_has_its_own_normal(prior):
    weight = torch.randn(prior.parameters_of.weight.shape, generator=generator(0, "weight"))
    with torch.no_grad():
        prior.parameters_of.weight.copy_(weight)
    z = torch.randn(2, 3, generator=generator(0, "z"))
    mean, log_variance = weight.T.chunk(2, -1)
    expected = Normal(mean, (0.5 * log_variance).exp()).log_prob(z).sum(-1)
    assert_close(prior.given(torch.eye(2))().log_prob(z).float(), expected)
    one = prior.given(torch.eye(2)[1:]).standalone()
    assert not one.takes_context
    assert_close(one().log_prob(z[1:]).float(), expected[1:])
    assert prior.given(torch.eye(2)).standalone().takes_context


def test_it_needs_a_context_a_conditional_model_and_a_row_for_each_draw(prior):
    with pytest.raises(DataError, match="the prior is p"):
        prior()
    with pytest.raises(DataError, match="has 2 examples, not one for each of 3 draws"):
        prior.given(torch.eye(2)).sample(generator(0, "z"), 3)
    with pytest.raises(ConfigError, match="the model is given no y"):
        ConditionalNormalPrior(2).bind(Unconditional())

"""The distortion of an example, taken apart by its elements, adds up to the whole."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from lowerbound.data.examples import Examples
from lowerbound.evaluation.element_costs import element_costs, element_log_prob
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.distributions import Bernoulli, DiagonalNormal
from lowerbound.probability.likelihoods import LIKELIHOODS

NAMES = [name for name in LIKELIHOODS if name != "table"]


@pytest.mark.parametrize("shape", [(2, 3, 4), (5,)], ids=["image", "vector"])
@pytest.mark.parametrize("name", NAMES)
def test_the_elements_of_every_likelihood_add_up_to_its_log_density(name, shape):
    stream = generator(0, "elements")
    likelihood = LIKELIHOODS[name](shape).double()
    raw = torch.randn((6, *likelihood.raw_shape), generator=stream, dtype=torch.float64)
    distribution = likelihood(raw).detach()
    x = distribution.sample(stream, 1)[0]
    found = element_log_prob(distribution, x)
    assert found.shape == x.shape
    assert_close(found.flatten(1).sum(1), distribution.log_prob(x).double(), rtol=1e-9, atol=1e-9)


def test_the_elements_of_a_normal_have_the_log_densities_of_scipy():
    mean, variance = torch.randn(3, 4, dtype=torch.float64), torch.rand(4, dtype=torch.float64) + 0.5
    x = torch.randn(3, 4, dtype=torch.float64)
    found = element_log_prob(DiagonalNormal(mean, variance.log(), event_ndim=1), x)
    np.testing.assert_allclose(found, stats.norm.logpdf(x, mean, variance.sqrt()))


def test_the_costs_of_elements_are_the_distortion_of_the_evaluation():
    model = build_model(ModelConfig(hidden=(8,)), (1, 4, 4), generator(0, "weights")).eval()
    examples = Examples(np.random.default_rng(0).integers(0, 17, (7, 4, 4, 1), np.uint8), 16.0)
    costs = element_costs(model, examples, num_draws=4)
    assert costs.shape == (7, 1, 4, 4)
    expected = expected_terms(model, examples, num_draws=4, seed=0).distortion
    np.testing.assert_allclose(costs.reshape(7, -1).sum(1), expected, rtol=1e-5)


@dataclass(frozen=True, eq=False)
class Correlated(Bernoulli):
    """Its elements are not independent, whatever event_ndim says."""

    def log_prob(self, value):
        return super().log_prob(value) if self.event_ndim else super().log_prob(value) + 1


class Without(Bernoulli):
    """A distribution of your own without the field."""

    event_ndim = 1

    def __init__(self, logits):
        object.__setattr__(self, "logits", logits)


Without.__dataclass_fields__ = {
    name: field for name, field in Bernoulli.__dataclass_fields__.items() if name == "logits"
}


@pytest.mark.parametrize("distribution", [Correlated(torch.zeros(2, 3)), Without(torch.zeros(2, 3))])
def test_a_distribution_that_cannot_be_taken_apart_has_no_elements(distribution):
    assert element_log_prob(distribution, torch.ones(2, 3)) is None

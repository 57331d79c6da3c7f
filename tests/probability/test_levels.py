"""Distributions on levels: logistic masses, their mixtures and the softmax."""

import math

import pytest
import scipy.stats
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.probability.levels import Categorical, DiscretizedLogistics

pytestmark = pytest.mark.usefixtures("float64")


def test_a_levels_probability_is_the_logistic_mass_of_its_interval():
    location, log_scale = torch.tensor([[0.3], [0.9], [-0.2]]), torch.tensor([[-3.0], [-1.0], [-2.0]])
    p = DiscretizedLogistics(torch.zeros(3, 1), location, log_scale, num_levels=256, event_ndim=0)
    levels = torch.arange(256.0)
    edges = (levels[:-1] + 0.5) / 255
    cdf = scipy.stats.logistic.cdf(edges[:, None], location[:, 0].numpy(), log_scale[:, 0].exp().numpy())
    mass = torch.diff(torch.from_numpy(cdf), dim=0, prepend=torch.zeros(1, 3), append=torch.ones(1, 3))
    assert_close(p.log_prob((levels / 255)[:, None]).exp(), mass, rtol=1e-7, atol=1e-12)
    assert_close(p.mean, (levels[:, None] / 255 * mass).sum(0))


def test_a_level_far_out_in_the_tail_has_the_right_logarithm():
    # exp(-(0.9 - 0.1) / 0.001) is 1e-347: no difference of distribution functions has it.
    p = DiscretizedLogistics(torch.zeros(1, 1), torch.tensor([[0.1]]), torch.tensor([[math.log(1e-3)]]), 256, 0)
    level = torch.tensor([230 / 255])
    low, high = (230 - 0.5) / 255 - 0.1, (230 + 0.5) / 255 - 0.1
    expected = -low / 1e-3 + math.log1p(-math.exp(-(high - low) / 1e-3))
    assert p.log_prob(level).item() == pytest.approx(expected, rel=1e-12)


def test_a_mixture_of_logistics_is_the_weighted_sum_of_its_components():
    weight = torch.log_softmax(torch.tensor([[0.3, -1.0, 0.5]]), -1)
    location, log_scale = torch.tensor([[0.1, 0.5, 0.8]]), torch.tensor([[-2.0, -3.0, -1.0]])
    p = DiscretizedLogistics(weight, location, log_scale, 16, 0)
    levels = (torch.arange(16.0) / 15)[:, None]
    parts = [
        DiscretizedLogistics(torch.zeros(1, 1), location[:, [k]], log_scale[:, [k]], 16, 0).log_prob(levels).exp()
        for k in range(3)
    ]
    expected = sum(weight[0, k].exp() * part for k, part in enumerate(parts))
    assert_close(p.log_prob(levels).exp(), expected)


def test_a_categorical_level_has_the_probability_of_the_softmax():
    logits = torch.randn(5, 4, generator=generator(0, "logits"))
    p = Categorical(logits, event_ndim=0)
    for level in range(4):
        assert_close(p.log_prob(torch.full((5,), level / 3)), torch.log_softmax(logits, -1)[:, level])

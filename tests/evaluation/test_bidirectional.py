"""The bracket of the evidence of simulated examples, on models whose log p(x) is known in closed form."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from linear_models import linear_model
from lowerbound.evaluation.annealing import AnnealingConfig
from lowerbound.evaluation.bidirectional import bidirectional
from lowerbound.foundation.seeding import generator

pytestmark = pytest.mark.usefixtures("float64")

CONFIG = AnnealingConfig(num_temperatures=4, num_leapfrog=3, num_chains=3)


def standard_error(values):
    return values.std(0) / len(values) ** 0.5


def test_reverse_weights_are_unbiased_for_the_reciprocal_evidence():
    model, data = linear_model(6, 2, sigma=3.0)
    sandwich = bidirectional(model, 4000, replace(CONFIG, num_chains=1), generator(0, "noise"))
    truth = data.log_evidence(sandwich.x.flatten(1))
    for relative in ((sandwich.forward.log_weight - truth).exp()[0], (sandwich.reverse.log_weight + truth).exp()[0]):
        assert relative.log().std() > 0.1
        assert standard_error(relative) < 0.1
        assert abs(float(relative.mean()) - 1) < 4 * standard_error(relative)


@pytest.mark.parametrize(("latent_dim", "sigma"), [(2, 0.5), (50, 10.0)])
def test_on_simulated_data_the_bounds_enclose_the_truth_and_close_in_on_it(latent_dim, sigma):
    model, data = linear_model(latent_dim + 10, latent_dim, sigma)
    gaps = []
    for num_temperatures in (15, 60):
        config = AnnealingConfig(num_temperatures=num_temperatures, num_leapfrog=5, num_chains=8)
        sandwich = bidirectional(model, 40, config, generator(0, "noise"))
        truth = data.log_evidence(sandwich.x.flatten(1))
        below, above = truth - sandwich.lower, sandwich.upper - truth
        assert below.mean() > -4 * standard_error(below)
        assert above.mean() > -4 * standard_error(above)
        assert_close(sandwich.gap, below + above)
        gaps.append(float(sandwich.gap.mean()))
    assert gaps[0] > 2 * gaps[1] > 0


def test_several_reverse_chains_bring_the_upper_bound_down():
    model, _ = linear_model(6, 2, sigma=3.0)
    reverse = bidirectional(model, 2000, replace(CONFIG, num_chains=16), generator(0, "noise")).reverse
    one, all_of_them = -reverse.log_weight[0], -reverse.log_evidence
    assert (one - all_of_them).mean() > 4 * standard_error(one - all_of_them)


def test_simulated_examples_come_from_the_model():
    model, data = linear_model(6, 2, sigma=3.0)
    x = bidirectional(model, 3000, replace(CONFIG, num_temperatures=1), generator(0, "noise")).x
    assert x.shape == (3000, 1, 1, 6)
    expected = data.weight @ data.weight.T + 9 * torch.eye(6)
    error = expected.diagonal().outer(expected.diagonal()).sqrt() * (2 / 3000) ** 0.5
    assert ((torch.cov(x.flatten(1).T) - expected).abs() < 4 * error).all()

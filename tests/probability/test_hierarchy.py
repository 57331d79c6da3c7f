"""Normals in levels: products, differences, moments, and which pairs have rates by level."""

import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.hierarchy import has_kl_by_level, precision_weighted, residual_to
from lowerbound.probability.kl import kl_divergence


def model_of(hierarchy, **settings):
    config = ModelConfig(hidden=(8,), levels=(3, 2), level_hidden=(7,), hierarchy=hierarchy, **settings)
    return build_model(config, (1, 2, 3), generator(0, "model"))


def test_a_precision_weighted_normal_is_the_normalised_product(float64):
    first = DiagonalNormal(torch.tensor([[0.3]]), torch.tensor([[0.4]]))
    second = DiagonalNormal(torch.tensor([[-1.0]]), torch.tensor([[-0.7]]))
    grid = torch.linspace(-12, 12, 20001).unsqueeze(-1)
    product = torch.exp(first.log_prob(grid.unsqueeze(1)) + second.log_prob(grid.unsqueeze(1)))[:, 0]
    product = product / torch.trapezoid(product, grid[:, 0])
    found = precision_weighted(first, second)
    assert_close(found.log_prob(grid.unsqueeze(1))[:, 0].exp(), product, rtol=1e-6, atol=1e-9)


def test_a_product_with_a_far_sharper_normal_is_that_one():
    wide = DiagonalNormal(torch.tensor([[5.0]]), torch.tensor([[15.0]]))
    sharp = DiagonalNormal(torch.tensor([[-2.0]]), torch.tensor([[-15.0]]))
    for pair in ((wide, sharp), (sharp, wide)):
        found = precision_weighted(*pair)
        assert_close(found.mean, sharp.mean)
        assert_close(found.log_variance, sharp.log_variance)


def test_a_residual_of_nothing_is_the_prior_and_costs_nothing():
    prior = DiagonalNormal(
        torch.randn(4, 2, generator=generator(0, "m")), torch.randn(4, 2, generator=generator(0, "v"))
    )
    nothing = DiagonalNormal(torch.zeros(4, 2), torch.zeros(4, 2))
    assert_close(kl_divergence(residual_to(prior, nothing), prior), torch.zeros(4, dtype=torch.float64))


def test_rates_by_level_need_inference_from_the_top():
    for hierarchy, has_rates in (("ladder", True), ("residual", True), ("bottom-up", False)):
        model = model_of(hierarchy)
        assert has_kl_by_level(model.posterior_of_zeros(), model.prior()) == has_rates
        assert not has_kl_by_level(model.posterior_of_zeros(), DiagonalNormal(torch.zeros(5), torch.zeros(5)))


def test_draws_with_noise_of_rows_do_not_depend_on_other_rows():
    model, x = model_of("ladder"), torch.rand(4, 1, 2, 3, generator=generator(0, "x"))
    both = model.encode(x).draw(content_noise(x, 0, "test"), 2).value
    alone = model.encode(x[1:2]).draw(content_noise(x[1:2], 0, "test"), 2).value
    assert_close(both[:, 1:2], alone)


def test_the_table_of_densities_is_that_of_single_ones(float64):
    model, x = model_of("residual").double(), torch.rand(3, 1, 2, 3, generator=generator(0, "x")).double()
    z = torch.randn(4, 5, generator=generator(0, "z"), dtype=torch.float64)
    table = model.encode(x).log_prob_table(z)
    for row in range(3):
        assert_close(table[:, row], model.encode(x[row : row + 1]).log_prob(z.unsqueeze(1))[:, 0])


def test_moments_are_those_of_many_draws():
    model, x = model_of("ladder"), torch.rand(2, 1, 2, 3, generator=generator(0, "x"))
    posterior = model.encode(x)
    draws = posterior.sample(generator(0, "draws"), 4000)
    assert_close(posterior.mean, draws.mean(0), rtol=0, atol=0.15)
    assert_close(posterior.variance.sqrt(), draws.std(0), rtol=0.1, atol=0.05)
    top = Normal(posterior.centre[:, 3:], posterior.variance[:, 3:].sqrt())
    assert_close(posterior.mean[:, 3:], top.mean, rtol=0, atol=1e-5)


@pytest.mark.parametrize("hierarchy", ["ladder", "residual"])
def test_levels_below_one_that_is_chosen_follow_from_those_above(hierarchy):
    prior = model_of(hierarchy).prior().detach()
    z = torch.randn(6, 5, generator=generator(0, "z"))
    found = prior.completed(z, 1)
    assert torch.equal(found[:, 3:], z[:, 3:])
    # The mean of level 1 is that of many draws of it given the same level 2.
    assert_close(found[:, :3], prior.levels_at(z)[0].mean)
    assert torch.equal(prior.completed(z, 0), z)

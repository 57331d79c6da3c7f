"""The flow prior: densities against autograd and a grid, draws in any number, and what it cannot do."""

import pytest
import torch
from torch.testing import assert_close

from densities import log_density_of_draws, mass_on_grid, shifted_weights
from lowerbound.foundation.errors import UnknownName
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.probability.flow_prior import FlowPrior

pytestmark = pytest.mark.usefixtures("float64")

every_kind = pytest.mark.parametrize("kind", ["affine", "spline"])


def prior(kind, latent_dim=2):
    return shifted_weights(FlowPrior(latent_dim, hidden=16, kind=kind), 0.15).requires_grad_(False)


def standard_normal(z):
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)


@every_kind
@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_at_first_it_is_the_standard_normal(kind, latent_dim):
    z = 2 * torch.randn(6, latent_dim, generator=generator(0, "z"))
    assert_close(FlowPrior(latent_dim, kind=kind).log_prob(z), standard_normal(z))


@every_kind
@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_its_density_is_the_change_of_variables_by_autograd(kind, latent_dim):
    flow = prior(kind, latent_dim)()
    noise = torch.randn(latent_dim, generator=generator(0, "noise"))
    expected = log_density_of_draws(standard_normal, lambda u: flow.of_noise(u[None]).value[0], noise)
    draws = flow.of_noise(noise[None])
    assert_close(draws.log_density[0], expected)
    assert_close(flow.log_prob(draws.value)[0], expected)


@every_kind
def test_its_density_integrates_to_one_and_is_not_normal(kind):
    flow = prior(kind)
    mean, deviation = flow().mean, flow().variance.sqrt()
    assert mass_on_grid(flow.log_prob, mean, deviation) == pytest.approx(1, abs=1e-3)
    z = flow.sample(generator(0, "draws"), 2000)
    assert (flow.log_prob(z) - standard_normal((z - mean) / deviation) + deviation.log().sum()).mean() > 0.02


@every_kind
@pytest.mark.parametrize("latent_dim", [2, 3, 4, 5, 8])
def test_every_latent_depends_on_the_noise_of_every_other(kind, latent_dim):
    flow, noise = prior(kind, latent_dim)(), torch.randn(latent_dim, generator=generator(0, "noise"))
    jacobian = torch.autograd.functional.jacobian(lambda u: flow.of_noise(u[None]).value[0], noise)
    assert (jacobian != 0).all()


def test_the_temperature_scales_the_noise():
    flow = prior("affine")
    cold = flow.sample(generator(0, "draws"), 300, temperature=1e-6)
    assert_close(cold, flow().of_noise(torch.zeros(1, 2)).value.expand(300, -1), rtol=0, atol=1e-4)
    noise = torch.cat([torch.randn(1, 2, generator=stream) for stream in [generator(0, "draws")] for _ in range(3)])
    assert_close(flow.sample(generator(0, "draws"), 3, 0.5), flow().of_noise(0.5 * noise).value)


def test_gradients_reach_every_weight():
    flow = shifted_weights(FlowPrior(3, hidden=12), 0.1)
    flow.log_prob(torch.randn(8, 3, generator=generator(0, "z"))).sum().backward()
    assert all((parameter.grad != 0).any() for parameter in flow.parameters())


def test_an_unknown_kind_is_refused_with_those_that_exist():
    with pytest.raises(UnknownName, match=r"model\.prior_options\.kind"):
        ModelConfig(prior="flow", prior_options={"kind": "quadratic"})

"""Models with two levels of latents agree with the exact linear-Gaussian chain, and with torch.distributions."""

import numpy as np
import pytest
import torch
from tests.fixtures.levels import HIERARCHIES, OFFSET, A, S, exact_chain
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.rates import true_rate
from lowerbound.probability.samples import PosteriorSamples

pytestmark = pytest.mark.usefixtures("float64")


def built(hierarchy, levels=(3, 2), **settings):
    config = ModelConfig(hidden=(8,), levels=levels, level_hidden=(7,), hierarchy=hierarchy, **settings)
    return build_model(config, (1, 2, 3), generator(0, "model")).double()


def x_of(num=4):
    return torch.rand(num, 1, 2, 3, generator=generator(1, "x"), dtype=torch.float64)


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_every_log_weight_is_the_log_evidence_if_inference_is_exact(hierarchy):
    chain = exact_chain(hierarchy)
    samples = chain.model.sample_posterior(chain.x, generator(0, "noise"), 5)
    expected = torch.tensor(chain.log_evidence())
    assert_close(samples.log_weight, expected.expand(5, -1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_the_exact_posterior_has_the_moments_of_the_joint_normal(hierarchy):
    chain = exact_chain(hierarchy)
    means, covariance = chain.posterior_of_both()
    posterior = chain.model.encode(chain.x)
    assert_close(posterior.mean, torch.tensor(means), rtol=0, atol=1e-6)
    assert_close(posterior.centre, torch.tensor(means), rtol=0, atol=1e-9)
    z = torch.randn(6, 1, 4, generator=generator(0, "z"), dtype=torch.float64).expand(-1, 4, -1)
    exact = torch.distributions.MultivariateNormal(torch.tensor(means), torch.tensor(covariance))
    assert_close(posterior.log_prob(z), exact.log_prob(z))


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_the_rates_of_the_levels_are_those_of_the_exact_posterior(hierarchy):
    chain = exact_chain(hierarchy)
    # Draws at plus and minus one deviation of each level have the exact mean of a quadratic function, such as a rate.
    signs = torch.cartesian_prod(torch.tensor([1.0, -1.0]), torch.tensor([1.0, -1.0]))
    noise = signs.repeat_interleave(2, -1)[:, None].expand(-1, 4, -1)
    posterior = chain.model.encode(chain.x)
    z = posterior.moved(noise)
    samples = _samples(chain, posterior, z)
    means, covariance = (torch.tensor(part) for part in chain.posterior_of_both())
    rate = kl_divergence(
        torch.distributions.MultivariateNormal(means, covariance),
        torch.distributions.MultivariateNormal(
            torch.tensor(np.concatenate([OFFSET, np.zeros(2)])),
            torch.tensor(np.block([[A @ A.T + np.diag(S), A], [A.T, np.eye(2)]])),
        ),
    )
    assert_close(true_rate(samples), rate, rtol=0, atol=1e-6)
    if hierarchy != "bottom-up":
        top = kl_divergence(Normal(means[:, 2:], covariance.diagonal()[2:].sqrt()), Normal(0.0, 1.0)).sum(-1)
        assert_close(samples.rates[1].mean(0), top, rtol=0, atol=1e-6)
        assert_close(samples.rates[0].mean(0), rate - top, rtol=0, atol=1e-6)


def _samples(chain, posterior, z):
    log_likelihood = chain.model.decode(z).log_prob(chain.x)
    return PosteriorSamples.of_one_group(z, log_likelihood, posterior, chain.model.prior())


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
@pytest.mark.parametrize("objective", [Objective(gradient="stl"), Objective(bound="iwae", gradient="dreg")])
def test_gradients_without_the_score_vanish_for_the_encoder_if_inference_is_exact(hierarchy, objective):
    chain = exact_chain(hierarchy)
    loss = objective(chain.model.sample_posterior(chain.x, generator(0, "noise"), 3))
    loss.value.backward()
    for part in (chain.model.encoder, chain.model.posterior):
        for name, parameter in part.named_parameters():
            assert_close(parameter.grad, torch.zeros_like(parameter), rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_the_importance_weighted_bound_sums_over_levels_before_the_logarithm(hierarchy):
    model, x = built(hierarchy), x_of()
    samples = model.sample_posterior(x, generator(0, "noise"), 6)
    objective = Objective(bound="iwae", num_samples=6)(samples).objective
    q, p = (distribution.levels_at(samples.z) for distribution in (model.encode(x), model.prior()))
    parts = samples.z.split((3, 2), dim=-1)
    log_weight = model.decode(samples.z).log_prob(x).detach().numpy()
    for z, posterior, prior in zip(parts, q, p, strict=True):
        densities = (Normal(d.mean, d.standard_deviation).log_prob(z).sum(-1) for d in (prior, posterior))
        log_prior, log_posterior = (density.detach().numpy() for density in densities)
        log_weight = log_weight + log_prior - log_posterior
    assert_close(objective.numpy(), np.log(np.exp(log_weight).mean(0)))


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_the_prior_is_the_chain_of_its_levels(hierarchy):
    model = built(hierarchy, (3, 2, 2))
    prior, z = model.prior(), model.sample_prior(5, generator(0, "prior"))
    first, second, top = z.split((3, 2, 2), dim=-1)
    of_first = torch.cat([second, top], -1) if hierarchy == "residual" else second
    expected = Normal(0.0, 1.0).log_prob(top).sum(-1)
    for network, given, value in ((0, of_first, first), (1, top, second)):
        mean, log_variance = model.prior.networks[network](given).chunk(2, -1)
        expected = expected + Normal(mean, torch.exp(log_variance / 2)).log_prob(value).sum(-1)
    assert_close(prior.log_prob(z), expected)


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_a_temperature_scales_every_level_or_each_level_by_its_own(hierarchy):
    model = built(hierarchy)
    at_zero = model.sample_prior(2, generator(0, "prior"), 0.0)
    mean = model.prior.networks[0](torch.zeros(2)).chunk(2, -1)[0]
    assert_close(at_zero, torch.cat([mean, torch.zeros(2)]).expand(2, -1))
    sample = model.prior.sample
    both, first = sample(generator(0, "prior"), 2), sample(generator(0, "prior"), 2, (0.0, 1.0))
    assert_close(first[:, 3:], both[:, 3:])
    assert_close(first[:, :3], model.prior.networks[0](both[:, 3:]).chunk(2, -1)[0])
    assert_close(sample(generator(0, "prior"), 1), both[:1])
    with pytest.raises(ConfigError, match="3 temperatures for 2 levels"):
        sample(generator(0, "prior"), 1, (1.0, 1.0, 1.0))
    assert_close(model.sample_prior(2, generator(0, "prior"), (0.0, 1.0)), first)


def test_latents_without_levels_have_one_temperature():
    flat = build_model(ModelConfig(hidden=(4,), latent_dim=2), (1, 2, 3), generator(0, "model"))
    with pytest.raises(ConfigError, match="got 2 temperatures, and the latents have no levels; give one number"):
        flat.sample_prior(2, generator(0, "prior"), (0.0, 1.0))


def test_a_ladder_multiplies_the_normals_of_encoder_and_prior():
    model, x = built("ladder"), x_of()
    raw = model.encoder(x)
    z = model.encode(x).sample(generator(0, "noise"), 2)
    mean, log_variance = raw[:, :6].chunk(2, -1)
    prior_mean, prior_log_variance = model.prior.networks[0](z[..., 3:]).chunk(2, -1)
    precision = (-log_variance).exp() + (-prior_log_variance).exp()
    weighted = (mean * (-log_variance).exp() + prior_mean * (-prior_log_variance).exp()) / precision
    first = model.encode(x).levels_at(z)[0]
    assert_close(first.mean, weighted)
    assert_close(first.variance, 1 / precision)


def test_a_residual_posterior_has_the_kl_of_its_differences():
    model, x = built("residual"), x_of()
    samples = model.sample_posterior(x, generator(0, "noise"), 2)
    top = samples.z[..., 3:]
    network = model.prior.networks[0]
    change, log_change = (model.encoder(x)[:, :6] + model.posterior.maps[0](network.body(top))).chunk(2, -1)
    prior_log_variance = network(top).chunk(2, -1)[1]
    # NVAE, Equation 2.
    expected = 0.5 * (change**2 / prior_log_variance.exp() + log_change.exp() - log_change - 1).sum(-1)
    assert_close(samples.groups[0].kl, expected)
    assert_close(samples.rates[0], expected)


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_a_detached_posterior_passes_gradients_to_z_alone(hierarchy):
    model, x = built(hierarchy), x_of()
    posterior = model.encode(x)
    z = posterior.sample(generator(0, "noise"), 2).detach().requires_grad_()
    assert_close(posterior.detach().log_prob(z), posterior.log_prob(z))
    (of_both,) = torch.autograd.grad(posterior.log_prob(z).sum(), z)
    (of_detached,) = torch.autograd.grad(posterior.detach().log_prob(z).sum(), z)
    assert_close(of_detached, of_both)
    parameters = list(model.parameters())
    found = torch.autograd.grad(posterior.detach().log_prob(z).sum(), parameters, allow_unused=True)
    assert all(gradient is None for gradient in found)

"""The inverse autoregressive flow: densities against autograd and a grid, and a single pass for its own draws."""

import pytest
import torch
from torch.testing import assert_close

import lowerbound as lb
from densities import log_density_of_draws, mass_on_grid, shifted_weights
from lowerbound.evaluation.importance import log_weights
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.presets import OBJECTIVES
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.iaf_posterior import InverseAutoregressivePosterior
from lowerbound.training.checkpoint import load_model, save_model

pytestmark = pytest.mark.usefixtures("float64")

SMALL = {"num_transforms": 3, "hidden": 12, "context": 3}


def raw_of(family, num=4):
    return torch.randn(num, *family.raw_shape, generator=generator(0, "raw"))


def posterior(latent_dim, num=4):
    """Posteriors that are far from normal."""
    family = shifted_weights(InverseAutoregressivePosterior(latent_dim, **SMALL), 0.3)
    return family(raw_of(family, num))


def model_with(latent_dim=3, prior="standard-normal", shape=(1, 4, 3)):
    config = ModelConfig(hidden=(6,), latent_dim=latent_dim, posterior="iaf", posterior_options={**SMALL}, prior=prior)
    return shifted_weights(build_model(config, shape, generator(0, "weights")), 0.2).eval()


def images(num=5):
    return torch.rand(num, 1, 4, 3, generator=generator(0, "images"))


def passes_of(model):
    """A list that grows by one with each pass of the first transform's network."""
    passes = []
    model.posterior.flow.transforms[0].hyper.register_forward_hook(lambda *_: passes.append(1))
    return passes


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_at_first_it_is_the_diagonal_normal_of_its_heads(latent_dim):
    family = InverseAutoregressivePosterior(latent_dim)
    raw = raw_of(family)
    normal = lb.posteriors["diagonal-normal"](latent_dim)(raw[:, : 2 * latent_dim])
    flow = family(raw)
    draws, expected = flow.draw(generator(0, "draws"), 3), normal.draw(generator(0, "draws"), 3)
    assert_close(draws.value, expected.value)
    assert_close(draws.log_density, normal.log_prob(expected.value))
    assert_close(flow.log_prob(expected.value), normal.log_prob(expected.value))
    for moment in ("mean", "variance"):
        assert_close(getattr(flow, moment), getattr(normal, moment))


def test_at_first_the_elbo_is_that_of_the_diagonal_normal():
    flow, normal = (
        build_model(ModelConfig(hidden=(6,), posterior=name), (1, 4, 3), generator(0, "w"))
        for name in ("iaf", "diagonal-normal")
    )
    heads = {name: tensor[:4] for name, tensor in flow.encoder.state_dict().items() if name.startswith("heads")}
    normal.encoder.load_state_dict(flow.encoder.state_dict() | heads)
    normal.decoder.load_state_dict(flow.decoder.state_dict())
    objective = lb.Objective(rate="monte-carlo")
    bounds = [objective(model.sample_posterior(images(), generator(0, "n"))).objective for model in (flow, normal)]
    assert_close(*bounds, rtol=0, atol=1e-9)


@pytest.mark.parametrize("latent_dim", [1, 2, 4])
def test_the_density_of_a_draw_is_the_change_of_variables_by_autograd(latent_dim):
    q = posterior(latent_dim, num=1)
    noise = torch.randn(latent_dim, generator=generator(0, "noise"))
    standard = torch.distributions.Normal(0.0, 1.0)
    expected = log_density_of_draws(
        lambda u: standard.log_prob(u).sum(), lambda u: q.of_noise(u.reshape(1, 1, -1)).value[0, 0], noise
    )
    draws = q.of_noise(noise.reshape(1, 1, -1))
    assert_close(draws.log_density[0, 0], expected)
    assert_close(q.log_prob(draws.value)[0, 0], expected)


def test_its_density_integrates_to_one():
    q = posterior(2, num=1)
    with torch.no_grad():
        mass = mass_on_grid(lambda z: q.log_prob(z), q.mean[0], q.variance[0].sqrt())
    assert mass == pytest.approx(1, abs=1e-4)


def test_its_density_is_not_that_of_a_normal():
    q = posterior(2)
    z = q.sample(generator(0, "draws"), 2000)
    normal = DiagonalNormal(q.mean, q.variance.log())
    assert ((q.log_prob(z) - normal.log_prob(z)).mean(0) > 0.02).all()


def test_moments_are_near_those_of_many_draws():
    q = posterior(3)
    z = q.sample(generator(0, "draws"), 100_000)
    deviation = z.std(0)
    assert ((q.mean - z.mean(0)).abs() < 0.1 * deviation).all()
    assert ((q.variance / z.var(0)).log().abs() < 0.25).all()
    assert_close(q.covariance.diagonal(dim1=-2, dim2=-1), q.variance)
    assert (q.log_prob(q.mode) >= q.log_prob(q.mean) - 0.5).all()


def test_noise_of_a_row_is_the_rows_own():
    model, x = model_with(), images()
    together = model.encode(x).draw(content_noise(x, 0, "noise"), 2)
    alone = model.encode(x[3:4]).draw(content_noise(x[3:4], 0, "noise"), 2)
    assert_close(together[:, 3:4].value, alone.value)
    assert_close(together[:, 3:4].log_density, alone.log_density)


def test_training_and_importance_weights_need_one_pass_for_each_draw():
    model, x = model_with(latent_dim=3), images()
    passes = passes_of(model)
    samples = model.sample_posterior(x, generator(0, "noise"), 4)
    lb.Objective()(samples).value.backward()
    assert len(passes) == 1
    log_weights(model, x, 6, generator(0, "noise"), chunk=2)
    assert len(passes) == 1 + 6
    model.encode(x).log_prob(samples.z.detach())
    assert len(passes) > 1 + 6 + 3


def test_carried_densities_give_the_gradient_of_evaluated_ones():
    model, x = model_with(), images()

    def gradients(is_carried):
        model.zero_grad()
        samples = model.sample_posterior(x, generator(0, "noise"), 3)
        log_q = samples.log_posterior if is_carried else samples.groups[0].posterior.log_prob(samples.z)
        (samples.log_likelihood + samples.log_prior - log_q).sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    for carried, evaluated in zip(gradients(True), gradients(False), strict=True):
        assert_close(carried, evaluated)


@pytest.mark.parametrize("preset", ["sticking-the-landing", "dreg", "score-function"])
def test_an_estimator_has_the_mean_of_the_plain_gradient(preset):
    model, (bound, gradient) = model_with(latent_dim=2), (OBJECTIVES[preset].bound, OBJECTIVES[preset].gradient)
    parameter = model.posterior.flow.transforms[1].hyper[-1].bias
    x = images(1).expand(4000, -1, -1, -1)  # a gradient of the mean over as many draws

    def estimate(gradient, seed):
        objective = lb.Objective(bound=bound, gradient=gradient, rate="monte-carlo", num_samples=3)
        samples = model.sample_posterior(x, generator(seed, gradient), 3, objective.through_draws)
        return torch.autograd.grad(objective(samples).value, parameter)[0]

    repeats = [[estimate(name, seed) for seed in range(4)] for name in (gradient, "reparameterized")]
    found, plain = (torch.stack(estimates) for estimates in repeats)
    error = ((found.var(0) + plain.var(0)) / 4).sqrt()
    assert ((found.mean(0) - plain.mean(0)).abs() <= 6 * error + 1e-9).all()


def test_a_posterior_with_fixed_parameters_has_only_the_gradient_through_z():
    model, x = model_with(), images()
    fixed = model.sample_posterior(x, generator(0, "noise")).with_fixed_posterior()
    z = fixed.z.detach().requires_grad_()
    log_q = fixed.groups[0].posterior.log_prob(z)
    assert_close(fixed.log_posterior, log_q)
    log_q.sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (z.grad != 0).any()


def test_a_model_file_holds_the_flow(tmp_path):
    model = model_with()
    save_model(tmp_path / "model.safetensors", model, None, {})
    loaded, z = load_model(tmp_path / "model.safetensors"), torch.zeros(5, 3)
    assert torch.equal(loaded.encode(images()).log_prob(z), model.encode(images()).log_prob(z))
    assert loaded.config.posterior_options == SMALL


def test_options_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="hidden needs a number from 1 to 4096, got 0"):
        InverseAutoregressivePosterior(2, hidden=0)

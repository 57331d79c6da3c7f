"""Hamiltonian Monte Carlo against closed forms: scores, the leapfrog's symmetries, invariance of a known target."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.evaluation.hamiltonian import BASES, AnnealedPath, Phase, leapfrog, transition
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

pytestmark = pytest.mark.usefixtures("float64")

every_base = pytest.mark.parametrize("base", BASES)


@pytest.fixture
def smooth_path():
    """One example under a Bernoulli likelihood without hidden layers: smooth, and no Gaussian."""
    model = build_model(ModelConfig(hidden=(), latent_dim=2), (1, 2, 3), generator(0, "weights"))
    return AnnealedPath.of(model, torch.rand(1, 1, 2, 3, generator=generator(0, "x")), "prior")


def normal(*shape, name="draws"):
    return torch.randn(*shape, generator=generator(0, name))


def phase(path, num_chains=3):
    shape = (num_chains, len(path.x), path.model.latent_dim)
    return Phase(path.at(normal(*shape, name="z")), normal(*shape, name="momentum"))


def steps(path, size, num_chains=3):
    return torch.full((num_chains, len(path.x)), size)


def annealed_posterior(data, x, beta):
    """Mean and covariance of p(z) p(x|z)^beta, which is Gaussian."""
    scale = beta / data.sigma**2
    covariance = torch.linalg.inv(torch.eye(data.weight.shape[1]) + scale * data.weight.T @ data.weight)
    return scale * (x.flatten(1) - data.bias) @ data.weight @ covariance, covariance


# ---- the path


@every_base
def test_the_path_leads_from_the_base_to_the_joint(linear_gaussian, base):
    model, x = linear_gaussian.with_posterior_moved(0.3, 0.5), linear_gaussian.x
    point = AnnealedPath.of(model, x, base).at(normal(5, 8, 2))
    start = model.prior() if base == "prior" else model.encode(x)
    assert_close(point.log_density(0.0), start.log_prob(point.z))
    assert_close(point.log_density(1.0), model.log_joint(x, point.z))


@every_base
def test_scores_are_the_closed_form_ones(linear_gaussian, base):
    data, model = linear_gaussian.data, linear_gaussian.with_posterior_moved(0.3, 0.5)
    point = AnnealedPath.of(model, linear_gaussian.x, base).at(normal(5, 8, 2))
    residual = linear_gaussian.x.flatten(1) - data.bias - point.z @ data.weight.T
    assert_close(point.score(1.0), -point.z + residual @ data.weight / data.sigma**2)
    q = model.encode(linear_gaussian.x)
    assert_close(point.score(0.0), -point.z if base == "prior" else (q.mean - point.z) / q.variance)


@every_base
def test_chains_start_at_independent_draws_from_the_base(linear_gaussian, base):
    num_chains = 4000
    path = AnnealedPath.of(linear_gaussian.model, linear_gaussian.x, base)
    z = path.draw(generator(0, "noise"), num_chains).z
    mean, variance = path.base.mean.expand(8, 2), path.base.variance.expand(8, 2)
    assert ((z.mean(0) - mean).abs() < 4 * (variance / num_chains).sqrt()).all()
    assert ((z.var(0) / variance - 1).abs() < 4 * (2 / num_chains) ** 0.5).all()


def test_the_models_parameters_are_left_alone(linear_gaussian):
    model = linear_gaussian.model
    model.encoder.requires_grad_(False)
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    with torch.no_grad():
        point = AnnealedPath.of(model, linear_gaussian.x, "posterior").draw(generator(0, "noise"), 2)
    assert point.ratio_score.abs().max() > 0
    assert not any(tensor.requires_grad for tensor in vars(point).values())
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert all(parameter.grad is None for parameter in model.parameters())


# ---- the leapfrog


def test_the_leapfrog_with_the_momentum_reversed_returns_to_its_start(smooth_path):
    start = phase(smooth_path)
    there = leapfrog(smooth_path, start, 0.7, steps(smooth_path, 0.3), 10)
    back = leapfrog(smooth_path, Phase(there.point, -there.momentum), 0.7, steps(smooth_path, 0.3), 10)
    assert (there.point.z - start.point.z).abs().max() > 0.5
    assert_close(back.point.z, start.point.z, atol=1e-10, rtol=0)
    assert_close(-back.momentum, start.momentum, atol=1e-10, rtol=0)


def test_the_leapfrog_preserves_volume(smooth_path):
    """The Jacobian of (z, momentum), by central differences; a chain for each of them."""
    width = 1e-5
    start = torch.cat([normal(2, name="z"), normal(2, name="momentum")])
    z, momentum = (start + width * torch.cat([torch.eye(4), -torch.eye(4)])).unsqueeze(1).chunk(2, dim=-1)
    end = leapfrog(smooth_path, Phase(smooth_path.at(z), momentum), 0.7, steps(smooth_path, 0.5, 8), 7)
    up, down = torch.cat([end.point.z, end.momentum], dim=-1)[:, 0].chunk(2)
    jacobian = (up - down) / (2 * width)
    assert (jacobian - torch.eye(4)).abs().max() > 0.5
    assert_close(torch.linalg.det(jacobian), torch.tensor(1.0), atol=1e-8, rtol=0)


def test_the_leapfrogs_energy_error_is_of_second_order(smooth_path):
    start = phase(smooth_path)
    coarse, fine = (
        leapfrog(smooth_path, start, 1.0, steps(smooth_path, 1.5 / num_steps), num_steps).energy(1.0)
        - start.energy(1.0)
        for num_steps in (20, 40)
    )
    assert_close(coarse / fine, torch.full_like(fine, 4.0), rtol=0.05, atol=0)


# ---- transitions


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_transitions_leave_a_known_target_invariant(linear_gaussian, beta):
    """Exact draws stay such, with steps so long that a third of the moves are refused."""
    num_chains, x = 3000, linear_gaussian.x[:2]
    mean, covariance = annealed_posterior(linear_gaussian.data, x, beta)
    path = AnnealedPath.of(linear_gaussian.model, x, "prior")
    stream = generator(0, "noise")
    point = path.at(mean + normal(num_chains, 2, 2) @ torch.linalg.cholesky(covariance).T)
    for _ in range(6):
        move = transition(path, point, beta, torch.full((2,), 0.27 / beta**0.5), 3, stream)
        point = move.point
    assert 0.4 < float(move.acceptance.mean()) < 0.8
    assert_moments(point.z, mean, covariance)


def test_transitions_lead_to_their_target_from_elsewhere(linear_gaussian):
    x = linear_gaussian.x[:2]
    path = AnnealedPath.of(linear_gaussian.model, x, "prior")
    stream = generator(0, "noise")
    point = path.draw(stream, 1000)
    for _ in range(30):
        point = transition(path, point, 1.0, torch.full((2,), 0.1), 5, stream).point
    assert_moments(point.z, *annealed_posterior(linear_gaussian.data, x, 1.0))


def assert_moments(z, mean, covariance):
    """Within 4 standard errors of independent draws from a Gaussian with uncorrelated elements."""
    variance, num_draws = covariance.diagonal(), len(z)
    assert ((z.mean(0) - mean).abs() < 4 * (variance / num_draws).sqrt()).all()
    assert ((z.var(0) / variance - 1).abs() < 4 * (2 / num_draws) ** 0.5).all()
    correlation = ((z - mean).prod(-1) / variance.prod().sqrt()).mean(0)
    assert (correlation.abs() < 4 / num_draws**0.5).all()


def test_a_trajectory_that_diverges_is_refused(linear_gaussian):
    path = AnnealedPath.of(linear_gaussian.model, linear_gaussian.x, "prior")
    point = path.draw(generator(0, "noise"), 4)
    move = transition(path, point, 1.0, torch.full((8,), 1e40), 10, generator(1, "noise"))
    assert torch.equal(move.acceptance, torch.zeros(4, 8))
    for here, there in zip(vars(point).values(), vars(move.point).values(), strict=True):
        assert torch.equal(here, there)


def test_each_chain_accepts_for_itself(linear_gaussian):
    path = AnnealedPath.of(linear_gaussian.model, linear_gaussian.x, "prior")
    point = path.draw(generator(0, "noise"), 50)
    move = transition(path, point, 1.0, torch.full((8,), 0.3), 3, generator(1, "noise"))
    stayed = (move.point.z == point.z).all(-1)
    assert 0 < stayed.sum() < stayed.numel()
    again = path.at(move.point.z)
    for name, value in vars(move.point).items():
        assert_close(value, getattr(again, name))


def test_a_trajectory_as_long_as_the_targets_period_does_not_end_where_it_began(linear_gaussian):
    """A standard normal's trajectories all close after a time of 2π; the jitter keeps chains from standing still."""
    path = AnnealedPath.of(linear_gaussian.model, linear_gaussian.x[:1], "prior")
    point, num_steps = path.at(normal(200, 1, 2)), 40
    period = torch.tensor([2 * math.pi / num_steps])
    unjittered = leapfrog(path, Phase(point, normal(200, 1, 2, name="momentum")), 0.0, period.expand(200, 1), num_steps)
    move = transition(path, point, 0.0, period, num_steps, generator(1, "noise"))
    distances = [(end.z - point.z).norm(dim=-1).median() for end in (unjittered.point, move.point)]
    assert distances[0] < 0.02
    assert distances[1] > 0.5

"""Every gradient estimator against exact variances by quadrature, and against the exact gradient."""

import math
from dataclasses import replace

import pytest
import torch
from benchmarks import gradient_estimators as benchmark
from torch.testing import assert_close

from lowerbound.data.batches import Batch
from lowerbound.evaluation.gradient_bench import GradientConfig, target_of
from lowerbound.foundation.seeding import generator
from lowerbound.objectives.bounds import BOUNDS
from lowerbound.objectives.gradient_estimators import ESTIMATORS, Target, estimate_gradients
from lowerbound.objectives.gradients import GRADIENTS
from lowerbound.objectives.rates import RATES
from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.kl import kl_divergence

pytestmark = pytest.mark.usefixtures("float64")

NUM = 8_000


@pytest.mark.parametrize("k", [-3.0, 0.0, 1.0, 3.0])
def test_variances_by_quadrature_are_those_of_their_closed_forms_for_a_quadratic(k):
    """With mu = sigma = 1, in d = mu - k: polynomials from the moments of the normal distribution."""
    exact, d = benchmark.exact_variances(benchmark.COSTS[0], k), 1 - k
    closed = {
        "score-function-none": (15 + 14 * d**2 + d**4, 74 + 60 * d**2 + 2 * d**4),
        "reparameterized": (4.0, 8 + 4 * d**2),
        "measure-valued": (d**2 * (16 / math.pi - 4), 4 * d**2 + 4),
    }
    for name, expected in closed.items():
        assert exact[name] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", benchmark.NAMES)
@pytest.mark.parametrize("cost", benchmark.COSTS, ids=lambda cost: cost.name)
def test_the_variance_of_every_estimator_is_the_one_that_quadrature_gives(cost, name):
    measured, error = benchmark.measured_variances(cost, name, 2**15, seed=0, num_pilot=2**15)
    exact = torch.tensor([benchmark.exact_variances(cost, k)[name] for k in cost.parameters])
    # Where the fourth moment is itself an estimate from rare draws, errors of a few per cent are unseen.
    assert ((measured - exact).abs() <= 4 * error + 0.03 * exact + 1e-9).all()


@pytest.mark.slow
def test_within_two_per_cent_for_every_cell_with_millions_of_draws():
    cells = list(benchmark.variances(4_000_000, seed=1))
    assert len(cells) == 110
    assert all(benchmark.agrees(cell, relative=0.02) for cell in cells)


def test_signal_to_noise_ratios_have_the_slopes_of_theory():
    ratios = benchmark.signal_to_noise(1, seed=0, draws=(16, 64))
    for name, expected in benchmark.SERIES.items():
        assert benchmark.slope(ratios[name], first=16)[0] == pytest.approx(expected, abs=0.1), name


def test_every_gradient_that_training_uses_is_measured():
    assert {estimator.gradient for estimator in ESTIMATORS.values()} - {""} == set(GRADIENTS)


def model_target(linear_gaussian, **settings):
    model = linear_gaussian.with_posterior_moved(0.1, 0.3)
    return model, target_of(model, Batch(linear_gaussian.x[:2]), GradientConfig(**settings))


def assert_agree(rows, expected, expected_error=0.0):
    error = rows.std(0) / len(rows) ** 0.5
    assert ((rows.mean(0) - expected).abs() <= 4.5 * (error**2 + expected_error**2) ** 0.5 + 1e-9).all()


def exact_elbo_gradient(linear_gaussian, model, parameters):
    """With respect to mean and log-variance of q: the expected log-likelihood is quadratic in z."""
    raw = parameters.detach().clone().requires_grad_()
    q = model.posterior(raw)
    residual = (model.decode(q.mean).mean - linear_gaussian.x[:2]).flatten(1)
    spread = (q.variance @ (model.decoder.output.weight**2).T).sum(1)
    expected = -((residual**2).sum(1) + spread) / (2 * linear_gaussian.data.sigma**2)
    (gradient,) = torch.autograd.grad((expected - kl_divergence(q, model.prior())).sum(), raw)
    return gradient


OF_ELBO = [
    (name, rate, num_samples)
    for name in ESTIMATORS
    for rate in ("analytic", "monte-carlo")
    for num_samples in (1, 3)
    if name != "dreg"
    and (name, rate) != ("reparameterized-monte-carlo", "monte-carlo")
    and (name, num_samples) != ("score-function", 1)
]


@pytest.mark.parametrize(("name", "rate", "num_samples"), OF_ELBO)
def test_estimates_of_the_elbo_have_its_exact_gradient_as_mean(linear_gaussian, name, rate, num_samples):
    model, target = model_target(linear_gaussian, num_samples=num_samples)
    assert target.rate == "analytic"
    target = replace(target, rate=rate)
    rows = estimate_gradients(target, name, NUM, generator(0, name))
    assert_agree(rows, exact_elbo_gradient(linear_gaussian, model, target.parameters))


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in ("dreg", "reparameterized-monte-carlo")])
def test_estimates_of_the_importance_weighted_bound_agree_unless_they_are_called_biased(linear_gaussian, name):
    _, target = model_target(linear_gaussian, bound="iwae", num_samples=3)
    reference = estimate_gradients(target, "dreg", NUM, generator(0, "reference"))
    rows = estimate_gradients(target, name, NUM, generator(0, name))
    error = ((rows.var(0) + reference.var(0)) / NUM) ** 0.5
    distance = (rows.mean(0) - reference.mean(0)).abs() / error
    assert (distance.max() > 6) if ESTIMATORS[name].is_biased(target) else (distance.max() < 4.5)


@pytest.mark.parametrize("bound", [name for name in BOUNDS if name not in ("elbo", "iwae")])
def test_estimators_of_every_other_bound_agree_unless_they_are_called_biased(linear_gaussian, bound):
    _, target = model_target(linear_gaussian, bound=bound, num_samples=8)
    reference = estimate_gradients(target, "reparameterized", 4000, generator(0, "reference"))
    for name in ("stl", "score-function-mean", "score-function", "measure-valued"):
        rows = estimate_gradients(target, name, 4000, generator(0, name))
        error = ((rows.var(0) + reference.var(0)) / len(rows)) ** 0.5
        if not ESTIMATORS[name].is_biased(target):
            assert ((rows.mean(0) - reference.mean(0)).abs() < 4.5 * error).all(), name


def test_sticking_the_landing_is_biased_unless_the_bound_is_a_mean_over_draws(linear_gaussian):
    def is_biased(bound, num_samples):
        _, target = model_target(linear_gaussian, bound=bound, num_samples=num_samples)
        return ESTIMATORS["stl"].is_biased(target)

    assert [is_biased(*case) for case in (("elbo", 4), ("iwae", 1), ("iwae", 4), ("miwae", 8), ("miwae", 16))] == [
        False, False, True, False, True,
    ]  # fmt: skip


def test_one_draw_of_the_importance_weighted_bound_is_the_elbo(linear_gaussian):
    _, weighted = model_target(linear_gaussian, bound="iwae", num_samples=1)
    for name in ("reparameterized", "stl", "score-function-none", "score-function-mean"):
        one, other = (estimate_gradients(target, name, 50, generator(0, "same"))
                      for target in (weighted, replace(weighted, bound="elbo")))  # fmt: skip
        assert_close(one, other)


def test_a_baseline_for_each_parameter_has_the_least_variance():
    target = Target.of_normal(lambda z: (z[..., 0] + 2) ** 2, torch.ones(1, 1), torch.ones(1, 1), num_samples=4)
    none, mean, optimal = (
        estimate_gradients(target, f"score-function-{baseline}", NUM, generator(0, baseline)).var(0)
        for baseline in ("none", "mean", "optimal")
    )
    assert (optimal < mean).all()
    assert (mean < none).all()


def test_estimates_in_parts_are_as_many_as_asked_for_and_each_row_has_its_own(linear_gaussian):
    _, target = model_target(linear_gaussian)
    in_parts = estimate_gradients(replace(target, evaluations_at_once=24), "stl", 11, generator(0, "noise"))
    assert in_parts.shape == (11, 2, 4)
    assert len(in_parts.unique(dim=0)) == 11


def refusals(target):
    return {name: estimator.why_not(target) for name, estimator in ESTIMATORS.items() if estimator.why_not(target)}


def test_estimators_that_are_not_defined_say_why(linear_gaussian):
    _, target = model_target(linear_gaussian, num_samples=1)
    assert refusals(target) == {
        "dreg": "it is an estimator for the importance-weighted bound only",
        "score-function": "the mean of the other draws needs at least two draws",
    }
    function = Target.of_normal(lambda z: z.sum(-1), torch.zeros(1, 1), torch.ones(1, 1))
    assert refusals(function).keys() == {"reparameterized-monte-carlo", "stl", "dreg", "score-function"}


class Fixed(DiagonalNormal):
    """A normal whose draws have no gradient."""

    def sample(self, generator, num_samples):
        return super().sample(generator, num_samples).detach()


def test_pathwise_estimators_need_draws_that_are_differentiable(linear_gaussian):
    _, target = model_target(linear_gaussian)
    target = replace(target, posterior=lambda raw: Fixed(*raw.chunk(2, dim=-1)))
    assert {"reparameterized", "stl"} <= refusals(target).keys()
    assert "score-function" not in refusals(target)
    point = replace(target, posterior=lambda raw: PointMass(raw))
    assert "diagonal normal" in refusals(point)["measure-valued"]


def test_the_rate_of_a_target_is_one_of_training(linear_gaussian):
    assert model_target(linear_gaussian)[1].rate in RATES
    assert model_target(linear_gaussian, bound="iwae")[1].rate == "monte-carlo"

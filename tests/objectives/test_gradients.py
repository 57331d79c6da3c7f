"""Gradient estimators against the exact gradient of a linear-Gaussian model, and against one another."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.bounds import BOUNDS, GROUPED, elbo
from lowerbound.objectives.gradients import bounds_with_replaced, leave_one_out
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.penalties import PenaltyContext
from lowerbound.objectives.presets import OBJECTIVES
from lowerbound.probability.kl import kl_divergence

pytestmark = pytest.mark.usefixtures("float64")

NUM_REPEATS = 400


def encoder_and_decoder_gradient(loss, model):
    gradients = torch.autograd.grad(loss, [model.encoder.heads.bias, model.decoder.output.bias])
    return torch.cat(gradients)


def estimates(objective, model, x, num_repeats=NUM_REPEATS):
    """Independent estimates of minus the objective's gradient, one in each row."""
    return repeated_gradients(lambda samples: objective(samples).value, objective, model, x, num_repeats)


def repeated_gradients(loss_of, objective, model, x, num_repeats=NUM_REPEATS):
    """Gradients of as many independent draws, from one batch that holds the examples that often.

    A bias's gradient is the sum over a batch of the gradients of what it is added to.
    """
    outputs = {}
    layers = {"encoder": model.encoder.heads, "decoder": model.decoder.output}
    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
        for name, layer in layers.items()
    ]
    repeated = x.repeat(num_repeats, *[1] * (x.ndim - 1))
    samples = model.sample_posterior(repeated, generator(0, "noise"), objective.num_samples, objective.through_draws)
    rows = torch.autograd.grad(loss_of(samples), [outputs["encoder"], outputs["decoder"]])
    for hook in hooks:
        hook.remove()
    per_repeat = [row.reshape(-1, num_repeats, len(x), row[0].numel()).sum((0, 2)) for row in rows]
    return num_repeats * torch.cat(per_repeat, dim=1)


def exact_elbo_gradient(linear_gaussian, model, weight=1.0):
    """Of minus the expected ELBO, whose likelihood term is quadratic in z."""
    x = linear_gaussian.x
    q = model.encode(x)
    residual = (model.decode(q.mean).mean - x).flatten(1)
    spread = (q.variance @ (model.decoder.output.weight**2).T).sum(1)
    sigma2 = linear_gaussian.data.sigma**2
    expected = -((residual**2).sum(1) + spread) / (2 * sigma2) - 0.5 * residual.shape[1] * math.log(
        2 * math.pi * sigma2
    )
    loss = -(expected - weight * kl_divergence(q, model.prior())).mean()
    return encoder_and_decoder_gradient(loss, model)


def assert_agree(rows, expected, expected_error=0.0):
    error = rows.std(0) / len(rows) ** 0.5
    assert ((rows.mean(0) - expected).abs() <= 4 * (error**2 + expected_error**2) ** 0.5 + 1e-9).all()


@pytest.mark.parametrize("weight", [1.0, 3.0])
@pytest.mark.parametrize("num_samples", [1, 4])
@pytest.mark.parametrize(
    ("gradient", "rate"),
    [
        ("reparameterized", "analytic"),
        ("reparameterized", "monte-carlo"),
        ("stl", "monte-carlo"),
        ("score-function", "analytic"),
        ("score-function", "monte-carlo"),
    ],
)
def test_estimators_of_the_elbo_agree_with_its_exact_gradient(linear_gaussian, gradient, rate, num_samples, weight):
    model = linear_gaussian.with_posterior_moved(0.1, 0.3)
    objective = Objective(gradient=gradient, rate=rate, num_samples=num_samples, rate_weight=weight)
    assert_agree(estimates(objective, model, linear_gaussian.x), exact_elbo_gradient(linear_gaussian, model, weight))


@pytest.mark.parametrize("num_samples", [1, 2, 8])
def test_the_doubly_reparameterized_gradient_agrees_with_the_plain_one_of_the_same_bound(linear_gaussian, num_samples):
    model = linear_gaussian.with_posterior_moved(0.1, 0.5)
    plain, doubly = (
        estimates(Objective(bound="iwae", gradient=gradient, rate="monte-carlo", num_samples=num_samples), model,
                  linear_gaussian.x, NUM_REPEATS)
        for gradient in ("reparameterized", "dreg")
    )  # fmt: skip
    assert_agree(doubly, plain.mean(0), plain.std(0) / len(plain) ** 0.5)


@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_the_score_function_of_the_importance_weighted_bound_agrees_with_the_doubly_reparameterized_gradient(
    linear_gaussian, num_samples
):
    model = linear_gaussian.with_posterior_moved(0.1, 0.5)
    score, doubly = (
        estimates(Objective(bound="iwae", gradient=gradient, rate="monte-carlo", num_samples=num_samples), model,
                  linear_gaussian.x, 4 * NUM_REPEATS)
        for gradient in ("score-function", "dreg")
    )  # fmt: skip
    assert_agree(score, doubly.mean(0), doubly.std(0) / len(doubly) ** 0.5)


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_with_one_draw_replaced_are_those_of_each_replacement_alone(name):
    bound = partial(BOUNDS[name], **({"num_groups": 4} if name in GROUPED else {}))
    log_weights, others = torch.randn(2, 8, 3, generator=generator(0, "weights"))
    for draw, replaced in enumerate(bounds_with_replaced(bound, log_weights, others)):
        assert_close(replaced, bound(torch.cat([log_weights[:draw], others[draw : draw + 1], log_weights[draw + 1 :]])))


def test_the_signal_of_a_draw_of_the_elbo_is_its_difference_from_the_mean_of_the_others():
    log_weights = torch.tensor([[1.0], [4.0], [10.0]])
    assert_close(leave_one_out(elbo, log_weights), torch.tensor([[-6.0], [-1.5], [7.5]]) / 3)
    assert_close(leave_one_out(elbo, log_weights[:1]), log_weights[:1])


def test_it_is_less_noisy_for_the_encoder(linear_gaussian):
    model = linear_gaussian.with_posterior_moved(0.1, 0.5)
    plain, doubly = (
        estimates(
            Objective(bound="iwae", gradient=gradient, rate="monte-carlo", num_samples=16), model, linear_gaussian.x
        )
        for gradient in ("reparameterized", "dreg")
    )
    encoder = slice(0, len(model.encoder.heads.bias))
    assert (doubly[:, encoder].std(0) < 0.5 * plain[:, encoder].std(0)).all()


@pytest.mark.parametrize(("gradient", "bound"), [("stl", "elbo"), ("dreg", "iwae")])
def test_where_the_posterior_is_exact_the_encoders_gradient_is_zero_for_every_draw(linear_gaussian, gradient, bound):
    objective = Objective(bound=bound, gradient=gradient, rate="monte-carlo", num_samples=3)
    rows = estimates(objective, linear_gaussian.model, linear_gaussian.x, 5)
    encoder = rows[:, : len(linear_gaussian.model.encoder.heads.bias)]
    assert_close(encoder, torch.zeros_like(encoder), atol=1e-9, rtol=0)
    # The plain estimator is noisy there: its mean is zero, its draws are not.
    plain = estimates(
        Objective(bound=bound, rate="monte-carlo", num_samples=3), linear_gaussian.model, linear_gaussian.x, 5
    )
    assert plain[:, : encoder.shape[1]].abs().max() > 0.01


def test_sticking_the_landing_on_iwae_is_biased_as_its_refusal_says(linear_gaussian):
    """Averages of the two estimators differ by more than their errors."""
    from lowerbound.objectives.bounds import iwae
    from lowerbound.objectives.gradients import sticking_the_landing

    model = linear_gaussian.with_posterior_moved(0.1, 0.8)
    objective = Objective(bound="iwae", rate="monte-carlo", num_samples=4)

    def biased(samples):
        return -sticking_the_landing(samples, iwae, lambda draws: draws.log_weight).mean()

    rows = repeated_gradients(biased, objective, model, linear_gaussian.x)
    plain = estimates(objective, model, linear_gaussian.x)
    error = (rows.var(0) / len(rows) + plain.var(0) / len(plain)) ** 0.5
    assert ((rows.mean(0) - plain.mean(0)).abs() > 6 * error).any()


def test_the_score_function_needs_no_gradient_through_the_draws(linear_gaussian):
    objective = Objective(gradient="score-function", rate="monte-carlo")
    assert not objective.through_draws
    samples = linear_gaussian.model.sample_posterior(
        linear_gaussian.x, generator(0, "noise"), 1, objective.through_draws
    )
    assert not samples.z.requires_grad


def test_reported_terms_are_the_true_ones_whatever_the_estimator(linear_gaussian):
    model = linear_gaussian.with_posterior_moved(0.1, 0.3)
    samples = model.sample_posterior(linear_gaussian.x, generator(0, "noise"), 8)
    plain = Objective(bound="iwae", rate="monte-carlo", num_samples=8)(samples)
    doubly = Objective(bound="iwae", gradient="dreg", rate="monte-carlo", num_samples=8)(samples)
    assert_close(doubly.objective, plain.objective)
    assert_close(doubly.elbo, plain.elbo)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_gradients_in_single_precision(name):
    """Log-densities are in double precision, weights are not."""
    config = ModelConfig(hidden=(4,), posterior="point-mass" if OBJECTIVES[name].rate == "none" else "diagonal-normal")
    model = build_model(config, (1, 3, 3), generator(0, "weights")).float()
    objective = replace(OBJECTIVES[name], num_samples=8)
    x = torch.rand(5, 1, 3, 3, generator=generator(0, "x"), dtype=torch.float32)
    samples = model.sample_posterior(x, generator(0, "noise"), 8, objective.through_draws)
    context = PenaltyContext(model, generator(0, "noise"), 100, objective.new_state(2, 0))
    objective.resolved(config.posterior, True)(samples, 1.0, context).value.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())

"""The objective: signs, weights, sums over pixels and means over examples, gradients, and what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.families import Families
from lowerbound.objectives.bounds import BOUNDS
from lowerbound.objectives.combinations import refuse_unfit_training
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.penalties import PenaltyContext
from lowerbound.objectives.presets import OBJECTIVES
from lowerbound.objectives.rates import PLAIN, RATES
from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.probability.posteriors import POSTERIORS
from lowerbound.probability.samples import PosteriorSamples
from small_models import latents_for

OF_ANY_SHAPE = [name for name in LIKELIHOODS if name != "table"]  # which is of rows alone

pytestmark = pytest.mark.usefixtures("float64")

CHARGED = [name for name in PLAIN if name != "none"]


def tiny(posterior="diagonal-normal", likelihood="bernoulli"):
    config = ModelConfig(hidden=(3,), latent_dim=latents_for(posterior, 2), posterior=posterior, likelihood=likelihood)
    return build_model(config, (1, 2, 2), generator(0, "weights"))


def images(count=5):
    return torch.rand(count, 1, 2, 2, generator=generator(0, "images"))


def drawn(model, num_samples=4, seed=0):
    return model.sample_posterior(images(), generator(seed, "noise"), num_samples)


def combined(samples, log_likelihood):
    return replace(samples, log_likelihood=log_likelihood)


# ---- signs and terms


@pytest.mark.parametrize(("bound", "rate"), [("elbo", "analytic"), ("elbo", "monte-carlo"), ("iwae", "monte-carlo")])
def test_the_loss_is_minus_the_mean_objective_over_the_batch(bound, rate):
    loss = Objective(bound=bound, rate=rate)(drawn(tiny()))
    assert loss.objective.shape == loss.rate.shape == loss.distortion.shape == (5,)
    assert loss.value.item() == pytest.approx(-loss.objective.mean().item())
    assert loss.value.requires_grad
    assert not any(term.requires_grad for term in (loss.objective, loss.distortion, loss.rate, loss.elbo))


@pytest.mark.parametrize("rate", CHARGED)
def test_distortion_is_minus_the_mean_log_likelihood_and_rate_the_divergence(rate):
    samples = drawn(tiny())
    loss = Objective(rate=rate)(samples)
    q = samples.groups[0].posterior
    assert_close(loss.distortion, -samples.log_likelihood.detach().mean(0))
    assert_close(loss.rate, (0.5 * (q.variance + q.mean**2 - 1 - q.log_variance)).sum(-1).detach())
    assert_close(loss.elbo, -(loss.distortion + loss.rate))


def test_the_objective_of_a_vae_is_its_elbo():
    loss = OBJECTIVES["vae"](drawn(tiny()))
    assert_close(loss.objective, loss.elbo)


def test_with_the_monte_carlo_rate_the_elbo_objective_is_the_mean_log_weight():
    samples = drawn(tiny())
    assert_close(Objective(rate="monte-carlo")(samples).objective, samples.log_weight.detach().mean(0))


def test_the_objective_is_the_exact_evidence_when_the_posterior_is_exact(linear_gaussian):
    samples = linear_gaussian.model.sample_posterior(linear_gaussian.x, generator(0, "noise"), num_samples=2)
    loss = Objective(rate="monte-carlo", num_samples=2)(samples)
    assert_close(loss.objective, linear_gaussian.log_evidence)
    assert_close(loss.value, -linear_gaussian.log_evidence.mean())


@pytest.mark.parametrize("rate", CHARGED)
@given(weight=st.floats(0, 20), scale=st.floats(0, 1))
def test_the_rate_is_charged_times_its_weight_and_the_terms_do_not_see_it(rate, weight, scale):
    samples = drawn(tiny())
    charged = RATES[rate](samples).mean(0).detach()
    plain, weighted = Objective(rate=rate)(samples), Objective(rate=rate, rate_weight=weight)(samples, scale)
    assert_close(weighted.objective, -plain.distortion - weight * scale * charged)
    assert_close(weighted.elbo, plain.elbo)
    assert_close(weighted.rate, plain.rate)


def test_the_objective_of_an_autoencoder_is_minus_its_reconstruction_error():
    samples = drawn(tiny(posterior="point-mass"))
    loss = OBJECTIVES["autoencoder"](samples)
    assert torch.equal(loss.rate, torch.zeros(5))
    assert_close(loss.objective, samples.log_likelihood.detach().mean(0))
    assert_close(loss.elbo, -loss.distortion)


# ---- sums over pixels, means over examples


@pytest.mark.parametrize("name", OF_ANY_SHAPE)
def test_twice_the_pixels_have_twice_the_distortion(name):
    likelihood = LIKELIHOODS[name]((3, 4))
    raw = torch.randn(5, *likelihood.raw_shape, generator=generator(0, "raw"))
    samples, x = drawn(tiny(), num_samples=1), torch.rand(5, 3, 4, generator=generator(0, "pixels"))
    once = likelihood(raw).log_prob(x)
    twice = LIKELIHOODS[name]((3, 8))(raw.repeat(1, 1, 2)).log_prob(x.repeat(1, 1, 2))
    small, large = (Objective()(combined(samples, value.unsqueeze(0))) for value in (once, twice))
    assert_close(large.distortion, 2 * small.distortion)
    assert_close(large.rate, small.rate)


@pytest.mark.parametrize("rate", CHARGED)
def test_a_batch_met_twice_has_the_loss_of_the_batch_met_once(rate):
    samples = drawn(tiny())
    (group,) = samples.groups
    q = group.posterior
    doubled = PosteriorSamples.of_one_group(
        torch.cat([samples.z, samples.z], dim=1),
        torch.cat([samples.log_likelihood, samples.log_likelihood], dim=1),
        DiagonalNormal(torch.cat([q.mean, q.mean]), torch.cat([q.log_variance, q.log_variance])),
        group.prior,
    )
    objective = Objective(rate=rate, rate_weight=2.0)
    assert_close(objective(doubled).value, objective(samples).value)


# ---- gradients


@pytest.mark.parametrize("likelihood", OF_ANY_SHAPE)
@pytest.mark.parametrize("rate", PLAIN)
def test_the_gradient_is_that_of_finite_differences_with_the_noise_held(rate, likelihood):
    model = tiny("point-mass" if rate == "none" else "diagonal-normal", likelihood)
    objective = Objective(rate=rate, rate_weight=1.5, num_samples=2)

    def loss():
        return objective(drawn(model, objective.num_samples), rate_scale=0.5).value

    parameters = list(model.parameters())
    gradients = torch.autograd.grad(loss(), parameters)
    step, stream = 1e-5, generator(0, "directions")
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            for direction in directions(likelihood, parameter, stream):
                difference = torch.zeros(())
                for sign in (1, -1):
                    parameter += sign * step * direction
                    difference += sign * loss() / (2 * step)
                    parameter -= sign * step * direction
                assert_close((gradient * direction).sum(), difference, rtol=1e-5, atol=1e-8)


def directions(likelihood, parameter, stream):
    """Every entry with one likelihood; a random direction with the others, in which an error of any entry shows."""
    if likelihood == "bernoulli":
        return torch.eye(parameter.numel()).view(-1, *parameter.shape)
    return torch.randn(1, *parameter.shape, generator=stream)


def test_both_rates_have_the_same_gradient_on_average():
    model, num_repeats = tiny(), 40
    analytic, estimated = (
        torch.stack(
            [
                torch.autograd.grad(Objective(rate=rate)(drawn(model, 125, seed)).value, model.encoder.heads.bias)[0]
                for seed in range(num_repeats)
            ]
        )
        for rate in ("analytic", "monte-carlo")
    )
    difference = analytic - estimated  # of equal draws
    standard_error = difference.std(0) / math.sqrt(num_repeats)
    assert (analytic.mean(0).abs() > 4 * standard_error).all()
    assert (difference.mean(0).abs() <= 4 * standard_error).all()


# ---- presets


def fitted(objective, model):
    try:
        return objective.fitted_to(Families.of_model(model))
    except ConfigError:
        return None


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_preset_trains_a_model_with_the_posteriors_that_it_accepts(name):
    num_accepted = 0
    for posterior in POSTERIORS:
        model = tiny(posterior)
        objective = fitted(OBJECTIVES[name], model)
        if objective is None:
            continue
        num_accepted += 1
        draws = model.sample_posterior(images(), generator(0, "noise"), objective.num_samples, objective.through_draws)
        context = PenaltyContext(model, generator(0, "noise"), 100, objective.new_state(model.latent_dim, 0))
        objective(draws, 1.0, context).value.backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.any() for gradient in gradients)
    assert num_accepted >= 1


@pytest.mark.parametrize(
    ("settings", "posterior", "reason"),
    [
        (
            {"rate": "free-bits"},
            "full-normal",
            "a sum over latents, which posterior 'full-normal' and",
        ),
        ({"penalties": {"total-correlation": 1.0}}, "iaf", "needs .* latents are independent, got posterior 'iaf'"),
        ({"penalties": {"dip-i": 1.0}}, "power-spherical", "of single latents, which must be real numbers"),
        ({"bound": "iwae", "rate": "monte-carlo"}, "gumbel-softmax", "relaxed in training and have no log q"),
        ({"gradient": "stl"}, "gumbel-softmax", "set objective.gradient=reparameterized"),
    ],
)
def test_what_a_posterior_does_not_have_is_refused_with_the_reason(settings, posterior, reason):
    with pytest.raises(ConfigError, match=reason):
        Objective(**settings).fitted_to(Families.of_model(tiny(posterior)))


def test_the_papers_are_what_they_say():
    assert OBJECTIVES["vae"] == Objective(bound="elbo", rate="auto", rate_weight=1.0, num_samples=1)
    assert OBJECTIVES["beta-vae"] == Objective(rate_weight=4.0)


# ---- refusals


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"bound": "iwae", "rate": "analytic"}, "not a lower bound"),
        ({"bound": "iwae", "rate": "none"}, "needs log q"),
        ({"gradient": "stl", "rate": "analytic"}, "use rate 'monte-carlo'"),
        ({"gradient": "dreg", "bound": "iwae", "rate": "analytic"}, "use rate 'monte-carlo'"),
        ({"gradient": "stl", "bound": "iwae", "rate": "monte-carlo"}, "biased.*dreg"),
        ({"gradient": "dreg", "rate": "monte-carlo"}, "needs bound 'iwae', got 'elbo'.*stl"),
        ({"gradient": "dreg", "bound": "iwae", "rate": "monte-carlo", "rate_weight": 2.0}, "biased unless"),
        ({"gradient": "dreg", "bound": "iwae", "rate": "monte-carlo", "rate_warm_up": 2.0}, "biased unless"),
        (
            {"gradient": "score-function", "bound": "piwae", "rate": "monte-carlo", "num_samples": 8},
            "needs gradient 'reparameterized'",
        ),
        ({"bound": "piwae", "rate": "analytic", "num_samples": 8}, "not a lower bound"),
        ({"bound": "miwae", "rate": "monte-carlo", "num_samples": 12}, "num_samples is 12; use a multiple of 8"),
        ({"bound": "piwae", "rate": "monte-carlo", "num_samples": 8, "rate_weight": 2.0}, "weight 1 throughout"),
        ({"bound": "iwae", "rate": "free-bits"}, "needs the rate of each draw"),
        ({"bound": "renyi", "gradient": "stl", "rate": "monte-carlo"}, "biased for bound 'renyi'"),
        ({"bound": "piwae", "gradient": "dreg", "rate": "monte-carlo", "num_samples": 8}, "needs bound 'iwae'"),
        ({"bound": "renyi", "bound_options": {"alpha": -1.0}, "rate": "monte-carlo"}, "alpha needs a number from 0"),
        ({"bound": "elbo", "bound_options": {"alpha": 0.5}}, "'elbo' has no options"),
        ({"rate": "geco"}, "needs objective.rate_options.distortion, which has no default"),
        ({"rate": "geco", "rate_options": {"distortion": 9.0}, "rate_weight": 2.0}, "learns the weight"),
        ({"rate": "capacity", "gradient": "score-function"}, "would lose a part of the gradient"),
        ({"penalties": {"mmd": 1.0}, "gradient": "score-function", "rate": "monte-carlo"}, "penalties would lose"),
        ({"rate_cycles": 4}, "no cycle rises"),
        ({"penalty_options": {"dip-i": {"diagonal": 5.0}}}, "has no effect"),
        ({"penalties": {"factor": 1.0}, "penalty_options": {"factor": {"hidden": 2.5}}}, "needs a whole number"),
        ({"gradient": "score-function", "rate": "none"}, "needs a posterior with a density"),
    ],
)
def test_combinations_that_would_be_silently_wrong_are_refused_with_the_reason(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        Objective(**settings)


def test_the_analytic_rate_inside_iwae_would_exceed_the_evidence(linear_gaussian):
    """Why it is refused: where the posterior is wider than p(z|x) but narrower than p(z), it is no lower bound."""
    model = linear_gaussian.with_posterior_moved(0.0, 1.0)
    samples = model.sample_posterior(linear_gaussian.x, generator(0, "noise"), 20_000)
    wrong = BOUNDS["iwae"](samples.log_likelihood - RATES["analytic"](samples))
    assert (wrong > linear_gaussian.log_evidence + 0.1).all()


@pytest.mark.parametrize(
    ("settings", "nearest"), [({"bound": "elbow"}, "elbo"), ({"rate": "monte_carlo"}, "monte-carlo")]
)
def test_an_unknown_bound_or_rate_is_refused_with_the_nearest_one(settings, nearest):
    with pytest.raises(UnknownName, match=f"unknown objective.{next(iter(settings))} ") as caught:
        Objective(**settings)
    assert caught.value.nearest == nearest


@pytest.mark.parametrize(
    ("settings", "batch_size", "num_epochs", "reason"),
    [
        ({"penalties": {"mmd": 1.0}}, 1, 10, r"objective.penalties \(mmd\) compare .* training.batch_size is 1"),
        ({"rate_cycles": 5, "rate_warm_up": 3.0}, 32, 10, "rate_warm_up is 3 epochs, longer than a cycle: 10 epochs"),
    ],
)
def test_a_training_in_which_a_part_has_no_effect_is_refused(settings, batch_size, num_epochs, reason):
    with pytest.raises(ConfigError, match=reason):
        refuse_unfit_training(Objective(**settings), batch_size, num_epochs)
    refuse_unfit_training(Objective(**settings), 2, 15)


def test_penalties_of_single_examples_accept_batches_of_one():
    refuse_unfit_training(Objective(rate="none", penalties={"latent-l2": 0.01, "decoder-l2": 0.01}), 1, 10)


def test_an_unknown_option_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownName, match=r"objective\.penalty_options\.dip-i of 'dip-i' 'diag'") as caught:
        Objective(penalties={"dip-i": 1.0}, penalty_options={"dip-i": {"diag": 5.0}})
    assert caught.value.nearest == "diagonal"


@pytest.mark.parametrize("key", ["rate_weight", "rate_warm_up"])
@pytest.mark.parametrize("value", [-1e-9, -1.0, math.nan, math.inf, -math.inf])
def test_a_weight_or_warm_up_that_is_negative_or_no_number_is_refused(key, value):
    with pytest.raises(ConfigError, match=f"objective.{key} needs .*got {value:g}"):
        Objective(**{key: value})


@pytest.mark.parametrize("num_samples", [0, -1])
def test_fewer_than_one_sample_are_refused(num_samples):
    with pytest.raises(ConfigError, match=f"objective.num_samples needs at least 1, got {num_samples}"):
        Objective(num_samples=num_samples)


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("rate", [name for name in RATES if name != "geco"])
def test_a_point_mass_goes_with_rate_none_and_nothing_else_does(posterior, rate):
    if rate == "monte-carlo" and POSTERIORS[posterior].has_relaxed_draws:
        pytest.skip("relaxed draws have no log q(z|x)")
    if rate == "auto" or (posterior == "point-mass") == (rate == "none"):
        Objective(rate=rate).check_posterior(posterior)
    else:
        remedy = "objective.preset=autoencoder" if posterior == "point-mass" else "model.posterior=point-mass"
        with pytest.raises(
            ConfigError, match=f"'{posterior}' does not fit objective.rate '{rate}': .*set {remedy}, or"
        ):
            Objective(rate=rate).check_posterior(posterior)


@pytest.mark.parametrize(
    ("settings", "posterior", "has_closed_form", "resolved"),
    [
        ({}, "diagonal-normal", True, "analytic"),
        ({}, "diagonal-normal", False, "monte-carlo"),
        ({}, "point-mass", False, "none"),
        ({"bound": "iwae"}, "diagonal-normal", True, "monte-carlo"),
        ({"gradient": "stl"}, "diagonal-normal", True, "monte-carlo"),
        ({"rate": "monte-carlo"}, "diagonal-normal", True, "monte-carlo"),
    ],
)
def test_rate_auto_is_the_closed_form_where_it_may_be_used(settings, posterior, has_closed_form, resolved):
    assert Objective(**settings).resolved(posterior, has_closed_form).rate == resolved


def test_an_explicit_analytic_rate_without_a_closed_form_is_refused():
    with pytest.raises(ConfigError, match=r"'analytic' needs a closed-form KL.*use 'monte-carlo' or 'auto'"):
        Objective(rate="analytic").resolved("diagonal-normal", False)


@pytest.mark.parametrize("gradient", ["reparameterized", "dreg"])
def test_rate_auto_inside_iwae_is_the_monte_carlo_rate(gradient):
    samples = drawn(tiny())
    auto, explicit = (Objective(bound="iwae", gradient=gradient, rate=rate) for rate in ("auto", "monte-carlo"))
    assert_close(auto(samples).objective, explicit(samples).objective)


@pytest.mark.parametrize("rate", CHARGED)
def test_a_rate_that_a_point_mass_cannot_have_is_refused_at_the_latest_when_it_is_formed(rate):
    samples = drawn(tiny("point-mass"))
    assert isinstance(samples.groups[0].posterior, PointMass)
    with pytest.raises(ConfigError):
        Objective(rate=rate)(samples)

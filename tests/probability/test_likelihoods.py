"""Every entry in LIKELIHOODS is a normalised family whose moments, output map and constants are what they claim.

A new row is tested at once: a likelihood on the real line by quadrature, any other over what `values_of` says.
"""

import math
from dataclasses import replace
from functools import partial

import pytest
import scipy.stats
import torch
from torch.testing import assert_close

from integrals import total_mass
from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.schema import Support
from lowerbound.foundation.seeding import generator
from lowerbound.probability.likelihoods import (
    LIKELIHOODS,
    MIN_SIGMA,
    BernoulliLikelihood,
    GaussianLikelihood,
    convention_for,
)
from table_columns import COLUMNS

pytestmark = pytest.mark.usefixtures("float64")

EVENT = (1, 1, 2)
NUM_DRAWS = 20_000

OPTIONS = {
    "gaussian": [{"sigma": 0.3}, {"learn_sigma": True, "sigma": 2.0}, {"mean_map": "sigmoid"}],
    "discretized-logistic": [{"num_levels": 5}, {"num_levels": 5, "num_components": 3}],
    "categorical": [{"num_levels": 4}],
    "table": [{"columns": COLUMNS}],
}
"""Options to test a likelihood with, besides its defaults."""

CASES = [(name, options) for name in LIKELIHOODS for options in [{}, *OPTIONS.get(name, [])]]
every_likelihood = pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{name}-{opts}" for name, opts in CASES])


def event_of(name, options, event_shape=EVENT):
    """The shape that an example has: a table's is a row."""
    if name != "table":
        return event_shape
    return (len(options["columns"]),) if "columns" in options else (math.prod(event_shape),)


def made(name, options, event_shape=EVENT):
    """A likelihood, and raw decoder outputs for a batch of three."""
    likelihood = LIKELIHOODS[name](event_of(name, options, event_shape), **options)
    raw = torch.randn(3, *likelihood.raw_shape, generator=generator(0, "raw"))
    return likelihood, raw


def on_levels(p, num_levels):
    """Values and weights with which a sum over one element's values is made; here all values, each once."""
    return torch.linspace(0, 1, num_levels), torch.ones(num_levels)


def on_counts(p, num_values=400):
    return torch.arange(float(num_values)), torch.ones(num_values)


DISCRETE = {
    "bernoulli": lambda p: on_levels(p, 2),
    "discretized-logistic": lambda p: on_levels(p, p.num_levels),
    "categorical": lambda p: on_levels(p, p.num_levels),
    "poisson": on_counts,
    "negative-binomial": on_counts,
}
"""Values of one element, and their weights in a sum; the other likelihoods are densities."""


def summed(p, values, weights, event_shape):
    both = torch.cartesian_prod(values, values).reshape(-1, 1, *event_shape)
    weight = torch.cartesian_prod(weights, weights).prod(-1)
    return [float((weight * p.log_prob(both)[:, member].exp()).sum()) for member in range(3)]


def integrated(p, event_shape, is_within_unit_interval):
    """Of each member of the batch: over its support or 12 standard deviations around its mean."""
    for member in range(3):
        mean, reach = p.mean[member].flatten(), 12 * p.variance[member].sqrt().flatten()
        low, high = (torch.zeros(2), torch.ones(2)) if is_within_unit_interval else (mean - reach, mean + reach)
        yield total_mass(partial(log_prob_of, p, member, event_shape), low, high, mean)


def log_prob_of(p, member, event_shape, x):
    return p.log_prob(x.reshape(-1, 1, *event_shape))[:, member]


@every_likelihood
def test_the_probability_of_everything_is_one(name, options):
    if "columns" in options:
        pytest.skip("columns of several kinds are summed one by one, with the tables")
    likelihood, raw = made(name, options)
    with torch.no_grad():
        p = likelihood(raw)
        if name in DISCRETE:
            assert summed(p, *DISCRETE[name](p), likelihood.event_shape) == pytest.approx([1] * 3, abs=1e-7)
        else:
            masses = integrated(p, likelihood.event_shape, likelihood.is_within_unit_interval)
            assert list(masses) == pytest.approx([1] * 3, abs=1e-7)


@every_likelihood
def test_draws_have_the_mean_and_the_variance_that_are_claimed(name, options):
    likelihood, raw = made(name, options)
    with torch.no_grad():
        p = likelihood(raw)
        draws = p.sample(generator(0, "draws"), NUM_DRAWS)
        assert (p.log_prob(draws) > -math.inf).all()
        for values, expected in ((draws, p.mean), ((draws - p.mean) ** 2, p.variance)):
            standard_error = values.std(dim=0) / math.sqrt(NUM_DRAWS)
            assert ((values.mean(dim=0) - expected).abs() <= 4.5 * standard_error + 1e-6).all()


@every_likelihood
def test_the_output_map_is_inverted_by_raw_of_mean(name, options):
    likelihood, _ = made(name, options)
    # Mass beyond the outermost levels piles up on them, which moves a logistic's mean.
    tolerance = 0.1 if name == "discretized-logistic" else 1e-7
    for mean in torch.tensor([[0.01, 0.3, 0.4, 1.2], [0.5, 0.99, 0.9, 0.1]]):
        mean = mean[: math.prod(likelihood.event_shape)].reshape(likelihood.event_shape)
        raw = likelihood.raw_of_mean(mean)
        assert raw.shape == likelihood.raw_shape
        assert_close(likelihood(raw).mean, mean, rtol=0, atol=tolerance)


@every_likelihood
def test_means_at_the_ends_of_the_data_have_a_finite_raw_output(name, options):
    likelihood, _ = made(name, options)
    ends = torch.tensor([0.0, 1.0, 0.0, 1.0])[: math.prod(likelihood.event_shape)].reshape(likelihood.event_shape)
    raw = likelihood.raw_of_mean(ends)
    assert raw.isfinite().all()
    assert_close(likelihood(raw).mean, ends, rtol=0, atol=0.15 if name == "discretized-logistic" else 1e-5)


@every_likelihood
@pytest.mark.parametrize("event_shape", [(4,), (2, 3), (3, 2, 5)])
def test_log_likelihoods_are_sums_over_the_event_and_keep_the_batch(name, options, event_shape):
    likelihood, raw = made(name, options, event_shape)
    x = torch.rand(3, *likelihood.event_shape, generator=generator(0, "x")).round()
    p = likelihood(raw)
    assert p.mean.shape == p.mode.shape == p.variance.shape == (3, *likelihood.event_shape)
    assert p.log_prob(x).shape == (3,)
    # A draw axis in front of the batch, as the model has it.
    assert_close(likelihood(raw.expand(2, *raw.shape)).log_prob(x), p.log_prob(x).expand(2, 3))
    # Every value under every distribution.
    assert_close(p.log_prob_table(x), torch.stack([p.log_prob(value) for value in x]))


@every_likelihood
def test_log_likelihoods_depend_on_the_raw_output_as_finite_differences_say(name, options):
    likelihood, raw = made(name, options)
    x = torch.rand(3, *likelihood.event_shape, generator=generator(0, "x"))
    assert torch.autograd.gradcheck(lambda raw: likelihood(raw).log_prob(x), raw.requires_grad_())


@every_likelihood
def test_raw_outputs_however_extreme_give_finite_numbers_and_gradients(name, options):
    likelihood, raw = made(name, options)
    x = torch.rand(3, *likelihood.event_shape, generator=generator(0, "x")).round()
    for size in (0.0, 1e-3, 1e3):
        extreme = (size * raw.sign()).float().requires_grad_()
        log_prob = likelihood.float()(extreme).log_prob(x.float())
        assert log_prob.isfinite().all()
        (gradient,) = torch.autograd.grad(log_prob.sum(), extreme)
        assert gradient.isfinite().all()
    likelihood.double()


@every_likelihood
def test_nothing_is_more_probable_than_the_mode(name, options):
    likelihood, raw = made(name, options)
    with torch.no_grad():
        p = likelihood(raw)
        draws = p.sample(generator(0, "draws"), 500)
        assert (p.log_prob(draws) <= p.log_prob(p.mode) + 1e-9).all()


@every_likelihood
def test_the_encoder_reads_finite_features_of_the_shape_that_is_stated(name, options):
    likelihood, _ = made(name, options)
    features = likelihood.features(torch.ones(5, *likelihood.event_shape))
    assert features.shape == (5, *likelihood.feature_shape)
    assert features.isfinite().all()


@every_likelihood
@pytest.mark.parametrize(("low", "high"), [(math.nan, math.nan), (0.0, math.inf), (-math.inf, 1.0)])
def test_data_that_are_not_finite_are_refused(name, options, low, high):
    likelihood, _ = made(name, options)
    with pytest.raises(DataError, match=f"likelihood '{name}' needs"):
        likelihood.convention(Support(low, high))


@pytest.mark.parametrize(
    ("name", "options", "support", "reason"),
    [
        (
            "discretized-logistic",
            {},
            Support(0.0, 1.0, num_levels=17),
            "17 levels.* set model.likelihood_options.num_lev",
        ),
        ("discretized-logistic", {}, Support(0.0, 1.0), "no fixed levels.* use likelihood 'gaussian'"),
        ("categorical", {"num_levels": 3}, Support(0.0, 1.0, is_binary=True), "2 levels.* needs 3 levels"),
        ("poisson", {}, Support(0.0, 7.5), "fractional values in \\[0, 7.5\\]"),
        ("negative-binomial", {}, Support(-1.0, 7.0, is_integer=True), "whole numbers in \\[-1, 7\\]"),
        ("gaussian-per-element", {}, Support(0.0, 1.0, has_missing=True), "missing values.* use likelihood 'table'"),
    ],
)
def test_data_outside_the_support_are_refused_with_what_to_do(name, options, support, reason):
    with pytest.raises(DataError, match=reason):
        convention_for(LIKELIHOODS[name](EVENT, **options), support)


@pytest.mark.parametrize(
    ("name", "support", "convention"),
    [
        ("discretized-logistic", Support(0.0, 1.0, num_levels=256), "levels"),
        ("discretized-logistic", Support(0.0, 0.0, num_levels=256, is_binary=True), "levels"),  # a black image
        ("categorical", Support(0.0, 1.0, num_levels=256, is_binary=True), "levels"),
        ("poisson", Support(0.0, 900.0, is_integer=True), "counts"),
        ("table", Support(-5.0, 900.0, has_missing=True), "table"),
        ("gaussian-per-element", Support(-5.0, 900.0), "density"),
        ("continuous-bernoulli", Support(0.0, 1.0), "density"),
    ],
)
def test_the_convention_states_the_meaning_of_log_likelihoods(name, support, convention):
    assert LIKELIHOODS[name](EVENT if name != "table" else (2,)).convention(support) == convention


# ---- the Bernoulli


def test_bernoulli_log_likelihoods_are_minus_the_cross_entropy_in_nats():
    raw, x = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[1.0, 0.0]])
    assert_close(BernoulliLikelihood((2,))(raw).log_prob(x), torch.tensor([math.log(1 / 2) + math.log(1 / 4)]))


@pytest.mark.parametrize(
    ("low", "high", "is_binary", "convention"),
    [(0.0, 1.0, True, "binary"), (0.0, 0.0, True, "binary"), (0.0, 1.0, False, "grey"), (0.2, 0.7, False, "grey")],
)
def test_bernoulli_numbers_are_called_grey_unless_the_data_are_binary(low, high, is_binary, convention):
    assert BernoulliLikelihood(EVENT).convention(Support(low, high, is_binary=is_binary)) == convention


@pytest.mark.parametrize(("low", "high"), [(-0.5, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_data_outside_the_bernoullis_support_are_refused_with_their_range(low, high):
    with pytest.raises(DataError, match=rf"lie in \[{low:g}, {high:g}\].*needs \[0, 1\]"):
        BernoulliLikelihood(EVENT).convention(Support(low, high))


# ---- the Gaussian


@pytest.mark.parametrize("sigma", [0.05, 1 / math.sqrt(2), 1.0, 3.0])
def test_the_gaussian_log_likelihood_is_that_of_scipy(sigma):
    likelihood, raw = made("gaussian", {"sigma": sigma})
    x = torch.randn(3, *EVENT, generator=generator(0, "x"))
    expected = scipy.stats.norm.logpdf(x.numpy(), raw.numpy(), sigma).sum(axis=(1, 2, 3))
    assert_close(likelihood(raw).log_prob(x), torch.from_numpy(expected))


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_at_its_mean_the_gaussian_keeps_the_normaliser_of_every_pixel(sigma):
    likelihood = GaussianLikelihood((1, 28, 28), sigma)
    mean = torch.zeros(1, 28, 28)
    expected = -784 / 2 * math.log(2 * math.pi * sigma**2)
    assert likelihood(mean).log_prob(mean).item() == pytest.approx(expected)
    assert sigma != 1 or expected == pytest.approx(-720.45, abs=0.01)


@pytest.mark.parametrize(("sigma", "weight"), [(1 / math.sqrt(2), 1.0), (1.0, 0.5), (0.1, 50.0)])
def test_squared_error_is_weighted_by_one_over_twice_the_variance(sigma, weight):
    likelihood, raw = made("gaussian", {"sigma": sigma})
    x, other = torch.randn(2, 3, *EVENT, generator=generator(0, "x"))
    p = likelihood(raw)
    squared_errors = [((value - raw) ** 2).sum(dim=(1, 2, 3)) for value in (x, other)]
    expected = -weight * (squared_errors[0] - squared_errors[1])
    assert_close(p.log_prob(x) - p.log_prob(other), expected)


def test_a_sigmoid_mean_map_keeps_means_between_0_and_1():
    raw = torch.tensor([[-1000.0, 0.0], [2.0, 1000.0]])
    expected = torch.tensor([[0.0, 0.5], [1 / (1 + math.exp(-2)), 1.0]])
    assert_close(GaussianLikelihood((2,), mean_map="sigmoid")(raw).mean, expected)
    assert_close(GaussianLikelihood((2,))(raw).mean, raw)


def test_a_fixed_sigma_is_stored_and_not_trained_and_a_learned_one_is_a_single_parameter():
    fixed, learned = GaussianLikelihood(EVENT, 0.3), GaussianLikelihood(EVENT, 0.3, learn_sigma=True)
    assert list(fixed.parameters()) == []
    assert [parameter.shape for parameter in learned.parameters()] == [()]
    assert fixed.state_dict().keys() == learned.state_dict().keys() == {"log_sigma"}
    assert fixed.sigma == pytest.approx(0.3)
    assert learned.sigma == pytest.approx(0.3)


def test_a_learned_sigma_is_pulled_towards_the_root_mean_square_error():
    x = torch.randn(50, 3, generator=generator(0, "x"))
    mean = torch.zeros(50, 3)
    for sigma in (0.4, 1.0, 2.5):
        likelihood = GaussianLikelihood((3,), sigma, learn_sigma=True)
        (gradient,) = torch.autograd.grad(likelihood(mean).log_prob(x).sum(), likelihood.parameters())
        # d/d log(sigma) of -n log(sigma) - sum(x²) / (2 sigma²)
        assert_close(gradient, (x**2).sum() / sigma**2 - x.numel())


@pytest.mark.parametrize("learn_sigma", [False, True])
@pytest.mark.parametrize("sigma", [1e-4, 0.999e-3, 0.0, -1.0, math.nan, 2e18])
def test_a_sigma_that_would_not_be_used_as_it_is_is_refused_with_what_is_accepted(sigma, learn_sigma):
    with pytest.raises(ConfigError, match=r"sigma needs a number from 0\.001 to 1e\+18, got"):
        GaussianLikelihood(EVENT, sigma, learn_sigma)


@pytest.mark.parametrize("sigma", [1e-3, 0.0312, 1e6, 1e18])
def test_every_accepted_sigma_is_that_of_the_density(sigma):
    for learn_sigma in (False, True):
        p = GaussianLikelihood(EVENT, sigma, learn_sigma)(torch.zeros(EVENT))
        expected = 2 * scipy.stats.norm.logpdf(0.7 * sigma, 0, sigma)
        assert p.log_prob(torch.full(EVENT, 0.7 * sigma)).item() == pytest.approx(expected, rel=1e-9)


def test_a_learned_sigma_never_falls_below_its_least_value():
    likelihood = GaussianLikelihood(EVENT, learn_sigma=True)
    with torch.no_grad():
        likelihood.log_sigma.fill_(-1000)
    assert likelihood.sigma == pytest.approx(MIN_SIGMA)
    assert likelihood(torch.zeros(EVENT)).log_prob(torch.ones(EVENT)).isfinite()


def test_gaussian_numbers_are_called_densities_whatever_the_range():
    assert GaussianLikelihood(EVENT).convention(Support(-3.0, 7.0)) == "density"
    assert GaussianLikelihood(EVENT).convention(Support(0.0, 1.0, is_binary=True)) == "density"


def test_missing_values_are_refused_by_any_likelihood_that_does_not_say_that_it_accepts_them():
    class Own(LIKELIHOODS["gaussian"]):
        def convention(self, support):
            return "density"

    class Lenient(Own):
        accepts_missing = True

    missing = Support(0.0, 1.0, has_missing=True)
    for likelihood, name in ((Own((3,)), "Own"), (LIKELIHOODS["gaussian"]((3,)), "'gaussian'")):
        with pytest.raises(DataError, match=f"missing values, which likelihood {name} does not support; use"):
            convention_for(likelihood, missing)
    assert convention_for(Lenient((3,)), missing) == "density"
    assert convention_for(Own((3,)), replace(missing, has_missing=False)) == "density"

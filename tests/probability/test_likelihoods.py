"""Every row of LIKELIHOODS is a normalised family whose moments, output map and constants are what they claim.

A new row is tested at once: a likelihood on the real line by quadrature, any other by how `TOTALS` sums it.
"""

import itertools
import math

import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.testing import assert_close

from lowerbound.errors import DataError
from lowerbound.probability.likelihoods import LIKELIHOODS, MIN_SIGMA, BernoulliLikelihood, GaussianLikelihood
from lowerbound.seeding import generator

pytestmark = pytest.mark.usefixtures("float64")

EVENT = (1, 1, 2)
NUM_DRAWS = 20_000

OPTIONS = {"gaussian": [{"sigma": 0.3}, {"learn_sigma": True, "sigma": 2.0}, {"mean_map": "sigmoid"}]}
"""Options to test a likelihood with, besides its defaults."""

CASES = [(name, options) for name in LIKELIHOODS for options in [{}, *OPTIONS.get(name, [])]]
every_likelihood = pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{name}-{opts}" for name, opts in CASES])


def made(name, options, event_shape=EVENT):
    """A likelihood, and raw decoder outputs for a batch of three."""
    likelihood = LIKELIHOODS[name](event_shape, **options)
    raw = torch.randn(3, *likelihood.raw_shape, generator=generator(0, "raw"))
    return likelihood, raw


def total_over_binary_images(p):
    images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=math.prod(EVENT)))).reshape(-1, 1, *EVENT)
    return p.log_prob(images).exp().sum(dim=0)


def total_by_quadrature(p):
    """The integral over both pixels, ± 12 standard deviations around the mean of each."""
    reach = torch.linspace(-12, 12, 201)
    axes = p.mean.reshape(3, 2, 1) + p.variance.sqrt().reshape(3, 2, 1) * reach
    totals = []
    for member, (first, second) in enumerate(axes):
        grid = torch.cartesian_prod(first, second).reshape(-1, 1, *EVENT)
        density = p.log_prob(grid)[:, member].exp().reshape(201, 201).numpy()
        totals.append(scipy.integrate.simpson(scipy.integrate.simpson(density, x=second.numpy()), x=first.numpy()))
    return torch.tensor(totals)


TOTALS = {"bernoulli": total_over_binary_images}
"""How the probability of everything is summed, where it is not an integral over the real line."""


@every_likelihood
def test_the_probability_of_everything_is_one(name, options):
    likelihood, raw = made(name, options)
    with torch.no_grad():
        total = TOTALS.get(name, total_by_quadrature)(likelihood(raw))
    assert_close(total, torch.ones(3), rtol=0, atol=1e-7)


@every_likelihood
def test_draws_have_the_mean_and_the_variance_that_are_claimed(name, options):
    likelihood, raw = made(name, options)
    with torch.no_grad():
        p = likelihood(raw)
        draws = p.sample(generator(0, "draws"), NUM_DRAWS)
        for values, expected in ((draws, p.mean), ((draws - p.mean) ** 2, p.variance)):
            standard_error = values.std(dim=0) / math.sqrt(NUM_DRAWS)
            assert ((values.mean(dim=0) - expected).abs() <= 4 * standard_error).all()


@every_likelihood
def test_the_output_map_is_inverted_by_raw_of_mean(name, options):
    likelihood, _ = made(name, options)
    for mean in torch.tensor([[0.01, 0.3], [0.5, 0.99]]).reshape(2, *EVENT):
        raw = likelihood.raw_of_mean(mean)
        assert raw.shape == likelihood.raw_shape
        assert_close(likelihood(raw).mean, mean)


@every_likelihood
def test_means_at_the_ends_of_the_data_have_a_finite_raw_output(name, options):
    likelihood, _ = made(name, options)
    ends = torch.tensor([0.0, 1.0]).reshape(EVENT)
    raw = likelihood.raw_of_mean(ends)
    assert raw.isfinite().all()
    assert_close(likelihood(raw).mean, ends, rtol=0, atol=1e-5)


@every_likelihood
@pytest.mark.parametrize("event_shape", [(4,), (2, 3), (3, 2, 5)])
def test_log_likelihoods_are_sums_over_the_event_and_keep_the_batch(name, options, event_shape):
    likelihood, raw = made(name, options, event_shape)
    x = torch.rand(3, *event_shape, generator=generator(0, "x")).round()
    p = likelihood(raw)
    assert p.mean.shape == (3, *event_shape)
    assert p.log_prob(x).shape == (3,)
    # A draw axis in front of the batch, as the model has it.
    assert_close(likelihood(raw.expand(2, *raw.shape)).log_prob(x), p.log_prob(x).expand(2, 3))


@every_likelihood
def test_log_likelihoods_depend_on_the_raw_output_as_finite_differences_say(name, options):
    likelihood, raw = made(name, options)
    x = torch.rand(3, *EVENT, generator=generator(0, "x"))
    assert torch.autograd.gradcheck(lambda raw: likelihood(raw).log_prob(x), raw.requires_grad_())


@every_likelihood
@pytest.mark.parametrize(("low", "high"), [(math.nan, math.nan), (0.0, math.inf), (-math.inf, 1.0)])
def test_data_that_are_not_finite_are_refused(name, options, low, high):
    likelihood, _ = made(name, options)
    with pytest.raises(DataError, match=f"likelihood '{name}' needs"):
        likelihood.convention(low, high, is_binary=False)


# ---- the Bernoulli


def test_bernoulli_log_likelihoods_are_minus_the_cross_entropy_in_nats():
    raw, x = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[1.0, 0.0]])
    assert_close(BernoulliLikelihood((2,))(raw).log_prob(x), torch.tensor([math.log(1 / 2) + math.log(1 / 4)]))


@pytest.mark.parametrize(
    ("low", "high", "is_binary", "convention"),
    [(0.0, 1.0, True, "binary"), (0.0, 0.0, True, "binary"), (0.0, 1.0, False, "grey"), (0.2, 0.7, False, "grey")],
)
def test_bernoulli_numbers_are_called_grey_unless_the_data_are_binary(low, high, is_binary, convention):
    assert BernoulliLikelihood(EVENT).convention(low, high, is_binary) == convention


@pytest.mark.parametrize(("low", "high"), [(-0.5, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_data_outside_the_bernoullis_support_are_refused_with_their_range(low, high):
    with pytest.raises(DataError, match=rf"lie in \[{low:g}, {high:g}\].*needs \[0, 1\]"):
        BernoulliLikelihood(EVENT).convention(low, high, is_binary=False)


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


@pytest.mark.parametrize("options", [{"sigma": 1e-9}, {"sigma": 1e-9, "learn_sigma": True}])
def test_sigma_never_falls_below_its_least_value(options):
    likelihood = GaussianLikelihood(EVENT, **options)
    assert likelihood.sigma == pytest.approx(MIN_SIGMA)
    with torch.no_grad():
        likelihood.log_sigma.fill_(-1000)
    assert likelihood.sigma == pytest.approx(MIN_SIGMA)
    assert likelihood(torch.zeros(EVENT)).log_prob(torch.ones(EVENT)).isfinite()


def test_gaussian_numbers_are_called_densities_whatever_the_range():
    assert GaussianLikelihood(EVENT).convention(-3.0, 7.0, is_binary=False) == "density"
    assert GaussianLikelihood(EVENT).convention(0.0, 1.0, is_binary=True) == "density"

"""Densities, draws and divergences against torch.distributions, scipy and enumeration."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import Bernoulli, DiagonalNormal, Distribution, PointMass
from lowerbound.probability.kl import elementwise_kl, kl_divergence
from lowerbound.probability.likelihoods import LIKELIHOODS

pytestmark = pytest.mark.usefixtures("float64")

EVENTS = [(), (3,), (2, 3), (1, 2, 3)]
NUM_DRAWS = 20_000


def normal(*shape: int, seed: int = 0, event_ndim: int = 1) -> DiagonalNormal:
    """A normal with means and log-variances drawn at random."""
    stream = generator(seed, "parameters")
    mean, log_variance = torch.randn(2, *shape, generator=stream)
    return DiagonalNormal(mean, log_variance, event_ndim)


def torch_normal(distribution: DiagonalNormal) -> torch.distributions.Distribution:
    scale = distribution.log_variance.exp().sqrt()
    return torch.distributions.Independent(
        torch.distributions.Normal(distribution.mean, scale), distribution.event_ndim
    )


def bernoulli(*shape: int, event_ndim: int = 1) -> Bernoulli:
    return Bernoulli(2 * torch.randn(shape, generator=generator(0, "logits")), event_ndim)


def binary_images(num_pixels: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=num_pixels)))


def standard_errors_off(draws: torch.Tensor, expected: torch.Tensor) -> float:
    """Greatest distance of a mean over draws from what is expected, in standard errors."""
    standard_error = draws.std(dim=0) / math.sqrt(len(draws))
    return float(((draws.mean(dim=0) - expected).abs() / standard_error).max())


# ---- the diagonal normal


@pytest.mark.parametrize("event", EVENTS)
def test_the_normals_log_density_is_that_of_torch(event):
    q = normal(4, *event, event_ndim=len(event))
    value = torch.randn(4, *event, generator=generator(0, "value"))
    assert q.log_prob(value).shape == (4,)
    assert_close(q.log_prob(value), torch_normal(q).log_prob(value))


def test_one_log_variance_for_all_elements_is_the_same_as_that_one_repeated():
    mean, one = torch.randn(2, 4, 3, generator=generator(0, "mean"))[0], torch.tensor(-0.7)
    shared, repeated = DiagonalNormal(mean, one), DiagonalNormal(mean, one.expand(4, 3))
    value = torch.zeros(5, 4, 3)
    assert_close(shared.log_prob(value), repeated.log_prob(value))
    assert_close(shared.variance, repeated.variance)
    assert_close(kl_divergence(shared, normal(3)), kl_divergence(repeated, normal(3)))
    assert_close(shared.sample(generator(0, "noise"), 2), repeated.sample(generator(0, "noise"), 2))


@given(st.floats(-30, 30), st.floats(-15, 15))
def test_the_normals_density_integrates_to_one(mean, log_variance):
    q = DiagonalNormal(torch.tensor([mean]), torch.tensor([log_variance]))
    z = q.mean + q.standard_deviation * torch.linspace(-12, 12, 401)
    total = scipy.integrate.simpson(q.log_prob(z.unsqueeze(-1)).exp().numpy(), x=z.numpy())
    assert total == pytest.approx(1, abs=1e-9)


def test_mean_mode_and_variance_of_the_normal_are_its_parameters():
    q = normal(4, 3)
    assert_close(q.mean, torch_normal(q).mean)
    assert_close(q.mode, q.mean)
    assert_close(q.variance, torch_normal(q).variance)


def test_draws_from_the_normal_have_its_mean_and_variance():
    q = normal(4, 3)
    z = q.sample(generator(0, "draws"), NUM_DRAWS)
    assert z.shape == (NUM_DRAWS, 4, 3)
    assert standard_errors_off(z, q.mean) < 4
    assert standard_errors_off((z - q.mean) ** 2, q.variance) < 4


@given(st.floats(1e-12, 1 - 1e-12))
def test_quantiles_of_the_normal_are_those_of_scipy(probability):
    q = normal(3)
    expected = scipy.stats.norm.ppf(probability, q.mean.numpy(), q.log_variance.exp().sqrt().numpy())
    assert_close(q.inverse_cdf(torch.full((3,), probability)), torch.from_numpy(expected))


def test_gradients_flow_through_the_normals_draws_and_density_as_finite_differences_say():
    value = torch.randn(4, 2, generator=generator(0, "value"))

    def draw_and_score(mean, log_variance):
        q = DiagonalNormal(mean, log_variance)
        z = q.sample(generator(0, "noise"), 3)
        return z, q.log_prob(value), q.log_prob(z)

    parameters = [part.requires_grad_() for part in torch.randn(2, 4, 2, generator=generator(0, "parameters"))]
    assert gradcheck(draw_and_score, parameters)


# ---- the Bernoulli


@pytest.mark.parametrize("event", EVENTS)
def test_the_bernoullis_log_probability_is_that_of_torch(event):
    p = bernoulli(4, *event, event_ndim=len(event))
    value = torch.bernoulli(torch.full((4, *event), 0.5), generator=generator(0, "value"))
    expected = torch.distributions.Independent(torch.distributions.Bernoulli(logits=p.logits), len(event))
    assert p.log_prob(value).shape == (4,)
    assert_close(p.log_prob(value), expected.log_prob(value))


def test_the_bernoullis_log_probabilities_of_all_images_sum_to_one():
    p = bernoulli(4)
    assert_close(p.log_prob(binary_images(4)).exp().sum(), torch.tensor(1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_bernoullis_log_probability_is_exact_at_extreme_logits(dtype):
    logits = torch.tensor([[1000.0], [-1000.0], [20.0]], dtype=dtype)
    p = Bernoulli(logits)
    expected_of_one = torch.tensor([0.0, -1000.0, -math.log1p(math.exp(-20))], dtype=dtype)
    assert_close(p.log_prob(torch.ones_like(logits)).to(dtype), expected_of_one)
    expected_of_zero = torch.tensor([-1000.0, 0.0, -20 - math.log1p(math.exp(-20))], dtype=dtype)
    assert_close(p.log_prob(torch.zeros_like(logits)).to(dtype), expected_of_zero)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_grey_value_scores_the_expectation_over_its_binarisations(grey):
    p, x = bernoulli(4), torch.tensor(grey)
    images = binary_images(4)
    probability = torch.where(images == 1, x, 1 - x).prod(dim=-1)
    assert_close(p.log_prob(x), (probability * p.log_prob(images)).sum())


def test_the_gradient_of_the_bernoulli_is_value_minus_mean():
    logits = torch.tensor([-800.0, -1.0, 0.5, 800.0], requires_grad=True)
    value = torch.tensor([1.0, 0.25, 0.0, 0.0])
    (gradient,) = torch.autograd.grad(Bernoulli(logits).log_prob(value), logits)
    assert_close(gradient, value - torch.tensor([0.0, 1 / (1 + math.e), 1 / (1 + math.exp(-0.5)), 1.0]))


def test_mean_variance_and_mode_of_the_bernoulli_are_those_of_torch():
    p = bernoulli(4, 3)
    expected = torch.distributions.Bernoulli(logits=p.logits)
    assert_close(p.mean, expected.mean)
    assert_close(p.variance, expected.variance)
    assert_close(p.mode, expected.mode)


def test_draws_from_the_bernoulli_are_binary_and_independent_with_its_mean():
    p = Bernoulli(torch.tensor([[-2.0, 0.0, 0.0], [1.0, 0.5, -0.5]]))
    x = p.sample(generator(0, "draws"), NUM_DRAWS)
    assert x.shape == (NUM_DRAWS, 2, 3)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert standard_errors_off(x, p.mean) < 4
    correlation = np.corrcoef(x.flatten(1).T.numpy())
    assert np.abs(correlation - np.eye(6)).max() < 4 / math.sqrt(NUM_DRAWS)
    assert abs(np.corrcoef(x[:-1, 0, 1], x[1:, 0, 1])[0, 1]) < 4 / math.sqrt(NUM_DRAWS)


# ---- what all have in common

ALL: list[Distribution] = [normal(4, 2, 3, event_ndim=2), bernoulli(4, 2, 3, event_ndim=2)]
POINT = PointMass(torch.arange(6.0).reshape(2, 3))
names = [type(distribution).__name__ for distribution in ALL]


@pytest.mark.parametrize("distribution", ALL, ids=names)
def test_log_densities_broadcast_over_a_leading_sample_axis(distribution):
    values = distribution.sample(generator(0, "draws"), 5)
    each = torch.stack([distribution.log_prob(value) for value in values])
    assert_close(distribution.log_prob(values), each)
    # One value for all members of the batch, and all values for one distribution.
    assert_close(distribution.log_prob(values[0, 0]), distribution.log_prob(values[0, :1].expand(4, 2, 3)))


@pytest.mark.parametrize("distribution", [*ALL, POINT], ids=[*names, "PointMass"])
def test_equal_generators_give_equal_draws(distribution):
    first, second = (distribution.sample(generator(0, "draws"), 3) for _ in range(2))
    assert first.shape == (3, *distribution.mean.shape)
    assert torch.equal(first, second)


@pytest.mark.parametrize("distribution", ALL, ids=names)
def test_single_precision_parameters_give_single_precision_draws(distribution):
    singles = {name: value.float() for name, value in vars(distribution).items() if isinstance(value, torch.Tensor)}
    single = type(distribution)(**singles)
    draws = single.sample(generator(0, "draws"), 2)
    assert draws.dtype == single.mean.dtype == torch.float32
    assert single.log_prob(draws).dtype == torch.float64


@pytest.mark.parametrize("distribution", ALL, ids=names)
def test_no_value_is_more_probable_than_the_mode(distribution):
    values = distribution.sample(generator(0, "draws"), 200)
    assert (distribution.log_prob(values) <= distribution.log_prob(distribution.mode)).all()


def test_every_draw_from_a_point_mass_is_the_point():
    assert_close(POINT.sample(generator(0, "draws"), 4), POINT.value.expand(4, 2, 3))
    assert_close(POINT.mean, POINT.value)
    assert_close(POINT.mode, POINT.value)
    assert not POINT.variance.any()


def test_a_point_mass_refuses_a_density_and_says_what_to_use():
    with pytest.raises(ConfigError, match="no log-density and no ELBO; use rate 'none'"):
        POINT.log_prob(POINT.value)


# ---- divergences


def test_the_divergence_of_two_normals_is_that_of_torch():
    q, p = normal(4, 3), normal(4, 3, seed=1)
    expected = torch.distributions.kl_divergence(torch_normal(q), torch_normal(p))
    assert_close(kl_divergence(q, p), expected)
    assert_close(elementwise_kl(q, p).sum(-1), expected)


def test_one_prior_serves_a_whole_batch_of_posteriors():
    q, p = normal(4, 3), normal(3, seed=1)
    repeated = DiagonalNormal(p.mean.expand(4, 3), p.log_variance.expand(4, 3))
    assert_close(kl_divergence(q, p), kl_divergence(q, repeated))


@pytest.mark.parametrize(
    ("mean", "variance", "nats"),
    [(0.0, 1.0, 0.0), (1.0, 1.0, 0.5), (3.0, 1.0, 4.5), (0.0, math.e**2, 0.5 * (math.e**2 - 3))],
)
def test_the_divergence_from_a_standard_normal_has_its_half(mean, variance, nats):
    q = DiagonalNormal(torch.tensor([mean]), torch.tensor([math.log(variance)]))
    standard = DiagonalNormal(torch.zeros(1), torch.zeros(1))
    assert kl_divergence(q, standard).item() == pytest.approx(nats)


def test_the_divergence_is_the_mean_log_ratio_over_draws():
    q, p = normal(4, 3), normal(4, 3, seed=1)
    z = q.sample(generator(0, "draws"), NUM_DRAWS)
    assert standard_errors_off(q.log_prob(z) - p.log_prob(z), kl_divergence(q, p)) < 4


@given(st.floats(-5, 5), st.floats(-10, 10), st.floats(-5, 5), st.floats(-10, 10))
def test_the_divergence_is_never_negative_and_zero_for_equals(mean, log_variance, other_mean, other_log_variance):
    q = DiagonalNormal(torch.tensor([mean]), torch.tensor([log_variance]))
    p = DiagonalNormal(torch.tensor([other_mean]), torch.tensor([other_log_variance]))
    assert kl_divergence(q, p).item() >= -1e-12
    assert kl_divergence(q, q).item() == 0


OF_ANY_SHAPE = [name for name in LIKELIHOODS if name != "table"]  # which is of rows alone


def rows_by_log_prob(distribution: Distribution, values: Tensor) -> Tensor:
    return torch.stack([distribution.log_prob(value) for value in values])


@pytest.mark.parametrize("name", OF_ANY_SHAPE)
def test_a_table_of_log_densities_is_what_log_prob_gives_pair_by_pair(name):
    likelihood = LIKELIHOODS[name]((2, 3, 4))
    raw = 3 * torch.randn(5, *likelihood.raw_shape, generator=generator(0, "raw"))
    values = torch.rand(7, 2, 3, 4, generator=generator(0, "values"))
    distribution = likelihood(raw)
    expected = rows_by_log_prob(distribution, values)
    assert expected.shape == (7, 5)
    assert_close(distribution.log_prob_table(values), expected)
    assert_close(Distribution.log_prob_table(distribution, values), expected)


@pytest.mark.parametrize("shape", [(), (3, 4), (1, 3, 4), (5, 3, 4)])
def test_a_normals_table_takes_log_variances_of_any_shape(shape):
    mean = torch.randn(5, 3, 4, generator=generator(0, "mean"))
    normal = DiagonalNormal(mean, torch.randn(shape, generator=generator(0, "log variance")), event_ndim=2)
    values = torch.randn(7, 3, 4, generator=generator(0, "values"))
    assert_close(normal.log_prob_table(values), rows_by_log_prob(normal, values))


def test_tables_of_scalar_events_are_tables_too():
    parameter, values = torch.randn(5, generator=generator(0, "p")), torch.rand(7, generator=generator(0, "v"))
    for distribution in (DiagonalNormal(parameter, parameter, event_ndim=0), Bernoulli(parameter, event_ndim=0)):
        assert_close(distribution.log_prob_table(values), rows_by_log_prob(distribution, values))


def test_a_normals_table_keeps_its_digits_in_32_bits_where_sigma_is_a_hundredth():
    mean = torch.rand(5, 784, generator=generator(0, "mean"))
    noise = torch.randn(5, 784, generator=generator(0, "noise"))
    values = torch.cat([mean + 0.01 * noise, mean + 0.05 * noise])
    log_variance = torch.tensor(2 * math.log(0.01))
    expected = rows_by_log_prob(DiagonalNormal(mean, log_variance), values)
    table = DiagonalNormal(mean.float(), log_variance.float()).log_prob_table(values.float())
    assert_close(table.double(), expected, rtol=1e-4, atol=0)

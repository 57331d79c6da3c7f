"""The families beside the normal and the Bernoulli, each against another library or a closed form."""

import math

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.probability.counts import NegativeBinomial, Poisson
from lowerbound.probability.distributions import Bernoulli, DiagonalNormal
from lowerbound.probability.levels import Categorical, DiscretizedLogistics
from lowerbound.probability.tables import Block, ColumnCodes, TableRow
from lowerbound.probability.unit_interval import ContinuousBernoulli, log_normaliser, logits_of_mean, mean_of

pytestmark = pytest.mark.usefixtures("float64")


# ---- the continuous Bernoulli

LOGITS = torch.tensor([-30.0, -3.0, -0.3, -0.051, 0.06, 0.7, 8.0], dtype=torch.float64)


def test_the_continuous_bernoullis_density_and_moments_are_those_of_torch():
    x = torch.rand(7, generator=generator(0, "x"))
    p, expected = ContinuousBernoulli(LOGITS, event_ndim=0), torch.distributions.ContinuousBernoulli(logits=LOGITS)
    assert_close(p.log_prob(x), expected.log_prob(x))
    assert_close(p.mean, expected.mean)
    assert_close(p.variance, expected.variance, rtol=1e-6, atol=1e-9)


@given(st.floats(-200, 200))
def test_the_continuous_bernoullis_mean_is_the_derivative_of_its_log_normaliser(logit):
    t = torch.tensor(logit, requires_grad=True)
    (slope,) = torch.autograd.grad(log_normaliser(t), t)
    assert slope.item() == pytest.approx(mean_of(t).item(), abs=1e-8)


@pytest.mark.parametrize("edge", [0.05, -0.05])
def test_series_and_closed_form_of_the_continuous_bernoulli_meet(edge):
    inside, outside = torch.tensor([edge * (1 - 1e-9), edge * (1 + 1e-9)]).split(1)
    for quantity in (log_normaliser, mean_of, lambda t: ContinuousBernoulli(t, event_ndim=0).variance):
        assert_close(quantity(inside), quantity(outside), rtol=0, atol=1e-10)


@given(st.floats(1e-6, 1 - 1e-6))
def test_logits_are_found_from_the_continuous_bernoullis_mean(mean):
    assert mean_of(logits_of_mean(torch.tensor(mean))).item() == pytest.approx(mean, rel=1e-9)


def test_the_continuous_bernoullis_distribution_function_makes_its_draws_uniform():
    draws = ContinuousBernoulli(LOGITS, event_ndim=0).sample(generator(0, "draws"), 2000)
    reached = torch.distributions.ContinuousBernoulli(logits=LOGITS).cdf(draws)
    for uniform in reached.T:
        assert scipy.stats.kstest(uniform.numpy(), "uniform").pvalue > 1e-3


# ---- levels


def test_a_levels_probability_is_the_logistic_mass_of_its_interval():
    location, log_scale = torch.tensor([[0.3], [0.9], [-0.2]]), torch.tensor([[-3.0], [-1.0], [-2.0]])
    p = DiscretizedLogistics(torch.zeros(3, 1), location, log_scale, num_levels=256, event_ndim=0)
    levels = torch.arange(256.0)
    edges = (levels[:-1] + 0.5) / 255
    cdf = scipy.stats.logistic.cdf(edges[:, None], location[:, 0].numpy(), log_scale[:, 0].exp().numpy())
    mass = torch.diff(torch.from_numpy(cdf), dim=0, prepend=torch.zeros(1, 3), append=torch.ones(1, 3))
    assert_close(p.log_prob((levels / 255)[:, None]).exp(), mass, rtol=1e-7, atol=1e-12)
    assert_close(p.mean, (levels[:, None] / 255 * mass).sum(0))


def test_a_level_far_out_in_the_tail_has_the_right_logarithm():
    # exp(-(0.9 - 0.1) / 0.001) is 1e-347: no difference of distribution functions has it.
    p = DiscretizedLogistics(torch.zeros(1, 1), torch.tensor([[0.1]]), torch.tensor([[math.log(1e-3)]]), 256, 0)
    level = torch.tensor([230 / 255])
    low, high = (230 - 0.5) / 255 - 0.1, (230 + 0.5) / 255 - 0.1
    expected = -low / 1e-3 + math.log1p(-math.exp(-(high - low) / 1e-3))
    assert p.log_prob(level).item() == pytest.approx(expected, rel=1e-12)


def test_a_mixture_of_logistics_is_the_weighted_sum_of_its_components():
    weight = torch.log_softmax(torch.tensor([[0.3, -1.0, 0.5]]), -1)
    location, log_scale = torch.tensor([[0.1, 0.5, 0.8]]), torch.tensor([[-2.0, -3.0, -1.0]])
    p = DiscretizedLogistics(weight, location, log_scale, 16, 0)
    levels = (torch.arange(16.0) / 15)[:, None]
    parts = [
        DiscretizedLogistics(torch.zeros(1, 1), location[:, [k]], log_scale[:, [k]], 16, 0).log_prob(levels).exp()
        for k in range(3)
    ]
    expected = sum(weight[0, k].exp() * part for k, part in enumerate(parts))
    assert_close(p.log_prob(levels).exp(), expected)


def test_a_categorical_level_has_the_probability_of_the_softmax():
    logits = torch.randn(5, 4, generator=generator(0, "logits"))
    p = Categorical(logits, event_ndim=0)
    for level in range(4):
        assert_close(p.log_prob(torch.full((5,), level / 3)), torch.log_softmax(logits, -1)[:, level])


# ---- counts


def test_counts_have_the_probabilities_of_scipy():
    counts = torch.arange(50.0)
    p = Poisson(torch.tensor(math.log(3.7)), event_ndim=0)
    assert_close(p.log_prob(counts), torch.from_numpy(scipy.stats.poisson.logpmf(counts.numpy(), 3.7)))
    mean, r = 5.2, 0.8
    q = NegativeBinomial(torch.tensor(math.log(mean)), torch.tensor(math.log(r)), event_ndim=0)
    assert_close(q.log_prob(counts), torch.from_numpy(scipy.stats.nbinom.logpmf(counts.numpy(), r, r / (r + mean))))


def test_a_negative_binomial_of_a_great_shape_is_a_poisson():
    counts, log_mean = torch.arange(20.0, dtype=torch.float32), torch.tensor(math.log(4.0), dtype=torch.float32)
    q = NegativeBinomial(log_mean, torch.tensor(16.0, dtype=torch.float32), event_ndim=0)
    assert_close(q.log_prob(counts), Poisson(log_mean, event_ndim=0).log_prob(counts), rtol=0, atol=1e-4)


# ---- rows of a table


def row(batch=3):
    stream = generator(0, "row")
    numeric = DiagonalNormal(torch.randn(batch, 2, generator=stream), torch.tensor([0.3, -1.0]), event_ndim=0)
    binary = Bernoulli(torch.randn(batch, 1, generator=stream), event_ndim=0)
    codes = ColumnCodes(torch.randn(batch, 3, generator=stream))
    blocks = (
        Block(torch.tensor([3, 0]), numeric),
        Block(torch.tensor([1]), binary),
        Block(torch.tensor([2]), codes),
    )
    return TableRow(blocks), numeric, binary, codes


def test_a_rows_log_probability_is_the_sum_over_its_columns_wherever_they_stand():
    p, numeric, binary, codes = row()
    x = torch.tensor([[0.4, 1.0, 2.0, -0.7]]).expand(3, 4)
    expected = numeric.log_prob(x[:, [3, 0]]).sum(-1) + binary.log_prob(x[:, [1]]).sum(-1) + codes.log_prob(x[:, 2])
    assert_close(p.log_prob(x), expected)
    assert_close(p.cell_log_prob(x).sum(-1), expected)


@pytest.mark.parametrize("column", range(4))
def test_a_missing_cell_is_one_that_was_summed_over(column):
    p, *_ = row()
    x = torch.tensor([0.4, 1.0, 2.0, -0.7])
    values = {1: torch.arange(2.0), 2: torch.arange(3.0)}.get(column, torch.linspace(-30, 30, 20_001))
    step = 1.0 if column in (1, 2) else 60 / 20_000
    rows = x.repeat(len(values), 1)
    rows[:, column] = values
    total = (p.log_prob(rows.unsqueeze(1)).exp() * step).sum(0)
    x[column] = math.nan
    assert_close(p.log_prob(x.expand(3, 4)).exp(), total, rtol=1e-6, atol=0)


def test_gradients_pass_over_missing_cells():
    p, numeric, *_ = row()
    mean = numeric.parameter_mean.clone().requires_grad_()
    blocks = (Block(torch.tensor([3, 0]), DiagonalNormal(mean, numeric.log_variance, event_ndim=0)), *p.blocks[1:])
    x = torch.tensor([[math.nan, 1.0, math.nan, -0.7]]).expand(3, 4)
    (gradient,) = torch.autograd.grad(TableRow(blocks).log_prob(x).sum(), mean)
    assert gradient.isfinite().all()
    assert not gradient[:, 1].any()  # of the first column, which is missing
    assert gradient[:, 0].all()


def test_mean_and_mode_of_a_row_are_those_of_its_columns_in_place():
    p, numeric, binary, codes = row()
    assert_close(p.mean[:, [3, 0]], numeric.mean)
    assert_close(p.mode[:, 1], binary.mode[:, 0])
    assert_close(p.mode[:, 2], codes.logits.argmax(-1).double())
    assert p.detach().blocks[0].distribution.mean.requires_grad is False

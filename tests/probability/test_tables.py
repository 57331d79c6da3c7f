"""Rows of a table: the sum over columns, and missing cells."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import Bernoulli, DiagonalNormal
from lowerbound.probability.tables import Block, ColumnCodes, TableRow

pytestmark = pytest.mark.usefixtures("float64")


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

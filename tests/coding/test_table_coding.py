"""Rows cost the masses of their columns' families, by scipy, and come back; missing cells cost their share."""

import numpy as np
import pytest
import torch
from scipy import stats

from lowerbound.coding.coders import element_coder
from lowerbound.coding.entropy_coder import stack
from lowerbound.coding.portable_tables import STEPS
from lowerbound.coding.table_coding import MISSING, SHARES, CodedColumn, TableCoder, missing_share
from lowerbound.foundation.schema import Column
from lowerbound.probability.table_likelihood import TableLikelihood

COLUMNS = (
    Column(name="height", kind="numeric", offset=1000.0),
    Column(name="town", kind="categorical", levels=("a", "b", "c")),
    Column(name="kids", kind="count"),
    Column(name="member", kind="binary", levels=("no", "yes")),
    Column(name="weight", kind="numeric"),
    Column(name="kind", kind="categorical", levels=("u", "v", "w", "x", "y")),
)
CODED = (
    CodedColumn(num_levels=400, low=100_150, decimals=2),
    CodedColumn(num_levels=3, missing=SHARES // 4),
    CodedColumn(num_levels=30),
    CodedColumn(num_levels=2, missing=SHARES),
    CodedColumn(num_levels=90, low=-20, missing=1),
    CodedColumn(num_levels=5),
)
RAW = 1 + 3 + 1 + 1 + 1 + 5


@pytest.fixture
def likelihood():
    found = TableLikelihood((6,), COLUMNS).double()
    found.standardise(
        torch.tensor([3.0, 0, 2.0, 0, 10.0, 0]).double(), torch.tensor([0.7, 1, 2.5, 1, 12.0, 1]).double()
    )
    with torch.no_grad():
        found.log_sigma.copy_(torch.tensor([-512.0, 256.0]) / STEPS)
        found.log_r.copy_((found.log_r * STEPS).round() / STEPS)
    return found


@pytest.fixture
def case(likelihood):
    """A coder, raw outputs of 40 rows in steps, and levels of these rows."""
    stream = np.random.default_rng(0)
    raw = np.rint(stream.normal(0, 0.5, (40, RAW)) * STEPS).astype(np.int64)
    levels = np.stack([stream.integers(0, column.num_levels, 40) for column in CODED], axis=1)
    levels[:, 2] = stream.poisson(2, 40)
    levels[:, 3] = MISSING
    levels[::4, 1] = MISSING
    levels[7, 4] = MISSING
    return TableCoder(likelihood, CODED), raw, levels


def expected_bits(likelihood, raw, levels):
    """−log2 of the masses of known cells by scipy: the ends of a numeric column have the tails, and counts are those
    given that none is larger than the largest.
    """
    outputs, found = raw / STEPS, np.zeros(levels.shape)
    for at, first, kind in (
        (0, 0, "numeric"),
        (4, 6, "numeric"),
        (2, 4, "count"),
        (1, 1, "categorical"),
        (5, 7, "categorical"),
    ):
        coded, num = CODED[at], CODED[at].num_levels
        everything = np.arange(num)
        if kind == "numeric":
            scale = likelihood.scale[at].item() * np.exp(likelihood.log_sigma[0 if at == 0 else 1].item())
            mean = likelihood.location[at].item() + likelihood.scale[at].item() * outputs[:, first : first + 1]
            numbers = (everything + coded.low) / 10**coded.decimals - COLUMNS[at].offset
            edges = np.concatenate([[-np.inf], (numbers[1:] + numbers[:-1]) / 2, [np.inf]])
            masses = np.diff(stats.norm.cdf(edges, mean, scale))
        elif kind == "count":
            mean, r = np.exp(outputs[:, first : first + 1]), np.exp(likelihood.log_r[0].item())
            masses = stats.nbinom.pmf(everything, r, r / (r + mean))
        else:
            logits = outputs[:, first : first + num]
            masses = np.exp(logits - logits.max(1, keepdims=True))
        masses = masses / masses.sum(1, keepdims=True)
        known = levels[:, at] != MISSING
        found[known, at] = -np.log2(masses[known, levels[known, at]])
    return found


def test_bits_are_those_of_the_masses(case, likelihood):
    coder, raw, levels = case
    # Where the mass is below 1e-9, tables end, and the coder takes at most 24 bits for a decision.
    expected = expected_bits(likelihood, raw, levels)
    is_likely = expected < 25
    assert is_likely.mean() > 0.8
    np.testing.assert_allclose(coder.bits(raw, levels)[is_likely], expected[is_likely], rtol=1e-3, atol=1e-3)


def test_the_stack_grows_by_these_bits_and_gives_the_rows_back(case):
    coder, raw, levels = case
    bits = stack(np.arange(1, 9, dtype=np.uint32))
    before = bits.num_valid_bits()
    coder.encode(bits, raw, levels)
    grown = bits.num_valid_bits() - before
    assert abs(grown - coder.bits(raw, levels).sum() - coder.missing_bits(levels).sum()) < 2
    np.testing.assert_array_equal(coder.decode(bits, raw), levels)
    assert bits.num_valid_bits() == before


def test_missing_cells_cost_their_share(case):
    coder, _, levels = case
    town, weight = stats.bernoulli(1 / 4), stats.bernoulli(1 / SHARES)
    expected = -town.logpmf(levels[:, 1] == MISSING) - weight.logpmf(levels[:, 4] == MISSING)
    np.testing.assert_allclose(coder.missing_bits(levels), expected / np.log(2), rtol=1e-12)


def test_log_prob_is_that_of_the_masses(case, likelihood):
    coder, raw, levels = case
    levels = levels.copy()
    levels[:, 2] = MISSING  # counts have no largest one in the model
    levels[:, 0] = np.clip(levels[:, 0], 100, 200)
    levels[:, 4] = np.where(levels[:, 4] == MISSING, MISSING, np.clip(levels[:, 4], 10, 60))
    wide = (
        CodedColumn(num_levels=10_000, low=96_000, decimals=2),
        *CODED[1:4],
        CodedColumn(num_levels=2_000, low=-1_000),
        CODED[5],
    )
    shifted = levels.copy()
    shifted[:, 0] += CODED[0].low - wide[0].low
    shifted[:, 4] += np.where(levels[:, 4] == MISSING, 0, CODED[4].low - wide[4].low)
    coder = TableCoder(likelihood, wide)
    found = coder.log_prob(likelihood, raw, shifted).detach().numpy() / np.log(2)
    np.testing.assert_allclose(found, -coder.bits(raw, shifted).sum(1), rtol=1e-3, atol=1e-3)


def test_x_is_what_reading_gives(case):
    coder, _, levels = case
    x = coder.to_x(levels)
    assert x[0, 0] == np.float32((levels[0, 0] + 100_150) / 100 - 1000)
    assert np.isnan(x[0, 1]) and np.isnan(x[:, 3]).all() and x[1, 5] == levels[1, 5]


def test_numbers_far_from_the_mean_can_be_coded_too(likelihood):
    coder = TableCoder(likelihood, (CodedColumn(num_levels=2**40, decimals=3), *CODED[1:]))
    raw = np.zeros((2, RAW), np.int64)
    levels = np.array([[0, 0, 0, -1, 5, 0], [2**40 - 1, 1, 29, -1, 0, 4]])
    bits = stack()
    coder.encode(bits, raw, levels)
    np.testing.assert_array_equal(coder.decode(bits, raw), levels)


def test_a_share_says_whether_any_cell_is_missing():
    assert missing_share(np.zeros(10**6, bool)) == 0 and missing_share(np.ones(3, bool)) == SHARES
    rare = np.zeros(10**6, bool)
    rare[0] = True
    assert missing_share(rare) == 1 and missing_share(~rare) == SHARES - 1


def test_a_table_has_a_coder(likelihood):
    assert isinstance(element_coder(likelihood, columns=CODED), TableCoder)

"""What likelihoods of counts share: the raw output from which their shape starts."""

import pytest
import torch

from lowerbound.probability.likelihoods import LIKELIHOODS

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(("mean", "r"), [(3.0, 0.5), (100.0, 90.0), (700.0, 6.0)])
def test_the_shape_of_counts_starts_where_their_moments_are_those_of_the_data(mean, r):
    deviation = (mean + mean**2 / r) ** 0.5
    counts = LIKELIHOODS["negative-binomial"]((1,))
    counts.standardise(torch.tensor([mean]), torch.tensor([deviation]))
    assert counts.log_r.exp().item() == pytest.approx(r, rel=1e-3)
    drawn = counts(torch.tensor([mean]).log())
    assert drawn.variance.sqrt().item() == pytest.approx(deviation, rel=1e-3)


def test_counts_that_vary_less_than_a_poissons_start_within_reach_of_gradients():
    counts = LIKELIHOODS["negative-binomial"]((2,))
    counts.standardise(torch.tensor([50.0, 0.0]), torch.tensor([1.0, 0.0]))
    assert counts.log_r.isfinite().all() and counts.log_r.max() <= 7

"""Every likelihood of whole numbers has a coder; others are refused with the reason."""

import pytest

from lowerbound.coding.coders import CODERS, element_coder
from lowerbound.coding.element_coding import MOST_COUNTS
from lowerbound.foundation.errors import UsageError
from lowerbound.probability.likelihoods import GaussianLikelihood, PoissonLikelihood
from lowerbound.probability.table_likelihood import TableLikelihood

SHAPE = (2, 3)


@pytest.mark.parametrize("kind", [*CODERS, TableLikelihood])
def test_a_coder_has_as_many_elements_as_an_example(kind):
    assert element_coder(kind((6,)), 10).num_elements == 6


def test_densities_and_large_counts_are_refused():
    with pytest.raises(UsageError, match="likelihood Gaussian, which gives no probabilities"):
        element_coder(GaussianLikelihood(SHAPE))
    with pytest.raises(UsageError, match="the largest count is"):
        element_coder(PoissonLikelihood(SHAPE), MOST_COUNTS + 1)

"""Decisions cost −log2 p(x|z) of the likelihood's own density, and lead back to the levels."""

import numpy as np
import pytest
import torch

from lowerbound.coding.coders import element_coder
from lowerbound.coding.entropy_coder import stack
from lowerbound.coding.portable_tables import STEPS
from lowerbound.foundation.seeding import generator
from lowerbound.probability.likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
)

SHAPE = (2, 3)
LIKELIHOODS = {
    "bernoulli": BernoulliLikelihood(SHAPE),
    "256 levels": DiscretizedLogisticLikelihood(SHAPE),
    "11 levels, three logistics": DiscretizedLogisticLikelihood(SHAPE, num_components=3, num_levels=11),
    "categorical": CategoricalLikelihood(SHAPE, num_levels=7),
    "poisson": PoissonLikelihood(SHAPE),
    "negative binomial": NegativeBinomialLikelihood(SHAPE),
}
COUNTS = 120


@pytest.fixture(params=LIKELIHOODS)
def case(request):
    """A coder, raw outputs of 20 images in steps, and levels of these images."""
    likelihood = LIKELIHOODS[request.param].double()
    coder = element_coder(likelihood, COUNTS)
    drawn = torch.randn(20, *likelihood.raw_shape, dtype=torch.float64, generator=generator(0, request.param))
    raw = (drawn * STEPS).round().long().numpy()
    x = likelihood(torch.from_numpy(raw / STEPS)).sample(generator(0, "x"), 1)[0].flatten(1).numpy()
    levels = np.rint(x / coder.to_x(np.ones((1, 1), np.int64))).astype(np.int64)
    return coder, raw.reshape(20, -1), levels


def log_prob(coder, raw, levels):
    """log2 p(x|z) of each image, by the likelihood."""
    likelihood = coder.likelihood
    x = torch.from_numpy(coder.to_x(levels)).reshape(-1, *SHAPE)
    shaped = torch.from_numpy(raw / STEPS).reshape(-1, *likelihood.raw_shape)
    return likelihood(shaped).log_prob(x).detach().numpy() / np.log(2)


def test_bits_are_those_of_the_density(case):
    coder, raw, levels = case
    np.testing.assert_allclose(coder.bits(raw, levels).sum(1), -log_prob(coder, raw, levels), rtol=1e-4, atol=1e-4)


def test_the_stack_grows_by_these_bits_and_gives_the_levels_back(case):
    coder, raw, levels = case
    bits = stack(np.arange(1, 9, dtype=np.uint32))
    before = bits.num_valid_bits()
    coder.encode(bits, raw, levels)
    assert abs(bits.num_valid_bits() - before - coder.bits(raw, levels).sum()) < 2
    np.testing.assert_array_equal(coder.decode(bits, raw), levels)
    assert bits.num_valid_bits() == before


def test_the_probabilities_of_all_levels_add_up_to_one(case):
    coder, raw, _ = case
    total = sum(2.0 ** -coder.bits(raw, np.full((20, 6), level)) for level in range(coder.num_levels))
    np.testing.assert_allclose(total, 1, atol=1e-4)


def test_levels_without_any_mass_can_be_coded_too():
    coder = element_coder(BernoulliLikelihood(SHAPE))
    raw = np.full((1, 6), 10**6)  # a probability of 1
    bits = stack()
    coder.encode(bits, raw, np.zeros((1, 6), np.int64))
    assert not coder.decode(bits, raw).any()
    poisson = element_coder(PoissonLikelihood(SHAPE), COUNTS)
    poisson.encode(bits, np.full((1, 6), -20 * STEPS), np.full((1, 6), COUNTS - 1))
    assert (poisson.decode(bits, np.full((1, 6), -20 * STEPS)) == COUNTS - 1).all()

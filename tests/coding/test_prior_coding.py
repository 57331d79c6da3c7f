"""Latents cost −log2 of the prior's mass, and come back; the conditionals of a mixture multiply to the mixture."""

import numpy as np
import pytest
import torch
from scipy import stats

from lowerbound.coding.entropy_coder import stack
from lowerbound.coding.prior_coding import MixtureCoder, StandardNormalCoder, prior_coder
from lowerbound.foundation.errors import UsageError
from lowerbound.probability.mixture_prior import MixtureOfNormalsPrior
from lowerbound.probability.priors import PRIORS, StandardNormalPrior

STREAM = np.random.default_rng(0)
FINENESS, MOST = 5, 12 << 5


@pytest.fixture
def prior():
    found = MixtureOfNormalsPrior(3, num_components=5)
    with torch.no_grad():
        for values, spread in ((found.logits, 1.0), (found.means, 2.0), (found.log_variances, 0.8)):
            drawn = torch.from_numpy(STREAM.normal(0, spread, values.shape))
            values.copy_((drawn * 512).round() / 512)  # so that rounding changes nothing
    return found


def test_latents_take_the_bits_of_the_mixture_and_come_back(prior):
    coder = prior_coder(prior)
    z = np.rint(STREAM.normal(0, 2, (400, 3)) * (1 << FINENESS)).astype(np.int64)
    bits = stack(np.arange(1, 9, dtype=np.uint32))
    before = bits.num_valid_bits()
    coder.push(bits, z, FINENESS, MOST)
    weights = prior.logits.detach().double().softmax(0).numpy()
    means, deviations = prior.means.detach().numpy(), np.exp(prior.log_variances.detach().double().numpy() / 2)
    density = sum(
        weight * stats.norm.pdf(z / (1 << FINENESS), mean, deviation).prod(1)
        for weight, mean, deviation in zip(weights, means, deviations, strict=True)
    )
    expected = -np.log2(density).sum() + z.size * FINENESS
    assert abs(bits.num_valid_bits() - before - expected) < 0.002 * expected
    np.testing.assert_array_equal(coder.pop(bits, 400, 3, FINENESS, MOST), z)
    assert bits.num_valid_bits() == before


def test_one_component_of_unit_variance_is_the_standard_normal():
    single = MixtureOfNormalsPrior(2, num_components=1)
    with torch.no_grad():
        single.means.zero_()
    z = np.rint(STREAM.normal(0, 1, (300, 2)) * (1 << FINENESS)).astype(np.int64)
    sizes = []
    for prior in (single, StandardNormalPrior(2)):
        bits = stack()
        prior_coder(prior).push(bits, z, FINENESS, MOST)
        sizes.append(bits.num_valid_bits())
    assert abs(sizes[0] - sizes[1]) < 0.002 * sizes[1]


def test_latents_far_from_all_components_can_be_coded_too(prior):
    z = np.array([[-MOST, MOST, 0], [0, 0, MOST]])
    bits = stack()
    prior_coder(prior).push(bits, z, FINENESS, MOST)
    np.testing.assert_array_equal(prior_coder(prior).pop(bits, 2, 3, FINENESS, MOST), z)


def test_other_priors_are_refused():
    coders = {"standard-normal": StandardNormalCoder, "mixture-of-normals": MixtureCoder}
    for name, kind in PRIORS.items():
        if name in coders:
            assert isinstance(prior_coder(kind(3)), coders[name])
        else:
            with pytest.raises(UsageError, match="codes latents one by one"):
                prior_coder(kind(320))  # a multiple of the length of every kind of code

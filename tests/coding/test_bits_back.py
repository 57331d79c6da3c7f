"""Blocks: what comes back, what they cost beyond −ELBO, and the grid of latents."""

import numpy as np
import pytest

from lowerbound.coding.bits_back import MOST_MULTIPLES, BlockCoder, Grid, grid_for, posterior_of
from lowerbound.coding.coders import element_coder
from lowerbound.coding.element_coding import MOST_COUNTS
from lowerbound.coding.portable_tables import STEPS
from lowerbound.coding.rounded_networks import RoundedNetworks
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.likelihoods import PoissonLikelihood

LEVELS = np.random.default_rng(0).integers(0, 2, (300, 64))


def coder_with(lanes, grid=None):
    model = build_model(ModelConfig(latent_dim=3, hidden=(16,)), (1, 8, 8), generator(0, "weights"))
    model.encoder.heads.weight.data.mul_(0.1)
    return BlockCoder(RoundedNetworks(model), element_coder(model.likelihood), grid or Grid(6, 2, 9), lanes)


@pytest.mark.parametrize("lanes", [1, 7, 16])
def test_a_block_comes_back_and_takes_minus_elbo_and_a_few_bits(lanes):
    coder = coder_with(lanes)
    coded = coder.encode(LEVELS)
    np.testing.assert_array_equal(coder.decode(coded.block), LEVELS)
    beyond = 32 * len(coded.block.words) - coded.negative_elbo / np.log(2)
    assert 0 < beyond < 64 + 30 * lanes * len(coded.block.direct)


def test_tables_of_probabilities_are_of_bounded_size():
    elements = element_coder(PoissonLikelihood((784,)), MOST_COUNTS)
    model = build_model(
        ModelConfig(network="dense", hidden=(4,), latent_dim=2, likelihood="poisson"), (784,), generator(0, "weights")
    )
    with pytest.raises(UsageError, match="coding 16 examples at once needs 205,520,896 probabilities"):
        BlockCoder(RoundedNetworks(model), elements, Grid(1, 1, 8), 16)


def test_more_lanes_need_more_examples_coded_directly():
    direct = {lanes: len(coder_with(lanes).encode(LEVELS).block.direct) * lanes for lanes in (1, 16)}
    assert direct[1] < direct[16]


def test_words_of_another_block_are_noticed():
    coder = coder_with(4)
    block = coder.encode(LEVELS).block
    wrong = type(block)(np.append(block.words, np.uint32(7)), block.num_images, block.direct, block.exceptions)
    with pytest.raises(DataError, match="left over"):
        coder.decode(wrong)


def test_progress_counts_images():
    done = []
    coder_with(7).encode(LEVELS, done.append)
    assert done == [*range(7, 300, 7), 300]


def test_the_posterior_is_the_normal_of_the_heads():
    mean, deviation = posterior_of(np.array([[512, -1024, 0, 2 * STEPS]]), 2)
    np.testing.assert_allclose(mean, [[0.5, -1]])
    np.testing.assert_allclose(deviation, [[1, np.e]], rtol=1e-14)


def test_the_grid_is_as_fine_as_posteriors_are_narrow_and_covers_them():
    grid = grid_for(np.array([[0.0, 12.0]]), np.array([[0.01, 0.5]]), 2)
    assert 2.0**-grid.fineness <= 0.02 and grid.bound >= 16 and grid.coarseness == 2
    widest = grid_for(np.array([[1000.0]]), np.array([[1e-4]]), 3)
    assert widest.bound << widest.fineness <= MOST_MULTIPLES


def test_latents_beyond_the_grid_become_its_last():
    assert Grid(1, 0, 2).nearest(np.array([[-9.0, 0.26, 9.0]]), 1).tolist() == [[-4, 1, 4]]

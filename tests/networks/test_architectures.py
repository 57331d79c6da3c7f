"""Every architecture turns examples into heads, and latents into its raw shape."""

from types import SimpleNamespace

import pytest
import torch

from lowerbound.networks.architectures import FOR_IMAGES, NETWORKS

SIZES = SimpleNamespace(hidden=(7, 6), channels=(4, 8), num_blocks=1, activation="relu", latent_dim=3)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_pair_has_the_sizes_that_it_was_given(name):
    encoder = NETWORKS[name].encoder(SIZES, (2, 9, 10), (3, 3))
    decoder = NETWORKS[name].decoder(SIZES, (5, 9, 10))
    assert encoder(torch.zeros(4, 2, 9, 10)).shape == (4, 6)
    assert decoder(torch.zeros(4, 3)).shape == (4, 5, 9, 10)


def test_only_the_dense_pair_takes_other_examples_than_images():
    assert set(NETWORKS) - set(FOR_IMAGES) == {"dense"}
    assert NETWORKS["dense"].encoder(SIZES, (11,), (3,))(torch.zeros(4, 11)).shape == (4, 3)

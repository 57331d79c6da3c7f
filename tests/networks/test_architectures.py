"""Every architecture turns examples into heads, and latents into its raw shape."""

from types import SimpleNamespace

import pytest
import torch

from lowerbound.networks.architectures import FOR_IMAGES, NETWORKS

SIZES = SimpleNamespace(hidden=(7, 6), channels=(4, 8), num_blocks=1, activation="relu", latent_dim=3)

LATENTS = {"conv-map": 9, "autoencoder-kl": 20}
"""Numbers of latents that fill a map."""


@pytest.mark.parametrize("name", NETWORKS)
def test_the_pair_has_the_sizes_that_it_was_given(name):
    height = 8 if name == "autoencoder-kl" else 9  # it halves even sizes only
    sizes = SimpleNamespace(**{**vars(SIZES), "latent_dim": (num := LATENTS.get(name, 3))})
    encoder = NETWORKS[name].encoder(sizes, (2, height, 10), (num, num))
    decoder = NETWORKS[name].decoder(sizes, (5, height, 10))
    assert encoder(torch.zeros(4, 2, height, 10)).shape == (4, 2 * num)
    assert decoder(torch.zeros(4, num)).shape == (4, 5, height, 10)


def test_only_the_dense_pair_takes_other_examples_than_images():
    assert set(NETWORKS) - set(FOR_IMAGES) == {"dense"}
    assert NETWORKS["dense"].encoder(SIZES, (11,), (3,))(torch.zeros(4, 11)).shape == (4, 3)

"""Networks that take the features of a context: shapes for every architecture, and the same weights for one channel."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.networks.conditioned import MAX_PLANES, ConditionedEncoder
from lowerbound.networks.dense import DenseEncoder


@pytest.mark.parametrize("network", ["dense", "conv", "resnet"])
@pytest.mark.parametrize("num_levels", [3, MAX_PLANES + 8])
def test_every_architecture_takes_a_context(network, num_levels):
    levels = tuple(map(str, range(num_levels)))
    settings = {"hidden": (8,), "channels": (4, 4), "condition_on": ("label",)}
    conditions = [Column(name="label", kind="categorical", levels=levels)]
    model = build_model(
        ModelConfig(network=network, **settings), (1, 8, 8), generator(0, "weights"), conditions=conditions
    ).eval()
    x = torch.rand(4, 1, 8, 8, generator=generator(0, "x"))
    given = model.given(torch.tensor([0, 1, 2, num_levels - 1]))
    posterior = given.encode(x)
    assert given.decode(posterior.mean).mean.shape == x.shape
    swapped = model.given(torch.tensor([1, 0, 2, 0])).encode(x)
    assert torch.equal(posterior.mean[2], swapped.mean[2])
    assert not torch.allclose(posterior.mean[:2], swapped.mean[:2])
    encoder, decoder = model.layers()
    assert encoder and decoder


def test_the_features_of_flat_examples_follow_their_values():
    inner = DenseEncoder((6,), (), (2,))
    encoder = ConditionedEncoder(inner, 2, is_of_images=False)
    x, context = torch.rand(3, 4, generator=generator(0, "x")), torch.eye(2)[[0, 1, 1]]
    assert_close(encoder(x, context), inner(torch.cat([x, context], 1)))
    assert ConditionedEncoder.input_shape((4,), 2, is_of_images=False) == (6,)
    assert ConditionedEncoder.input_shape((3, 8, 8), 2, is_of_images=True) == (5, 8, 8)

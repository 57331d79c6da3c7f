"""Dense encoder and decoder: sizes, shapes, and the linear case."""

from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.networks.dense import DenseDecoder, DenseEncoder
from lowerbound.networks.initialisation import build
from lowerbound.networks.layers import count_parameters

pytestmark = pytest.mark.usefixtures("float64")


def encoder(hidden, event_shape=(2, 3, 4), head_sizes=(5, 5)):
    return build(lambda: DenseEncoder(event_shape, hidden, head_sizes), generator(0, "encoder"))


def decoder(hidden, raw_shape=(2, 3, 4), latent_dim=5):
    return build(lambda: DenseDecoder(latent_dim, hidden, raw_shape), generator(0, "decoder"))


def test_the_pair_at_28x28_with_512_hidden_units_and_two_latents_has_the_published_sizes():
    assert count_parameters(encoder((512,), (1, 28, 28), head_sizes=(2, 2))) == 403_972
    assert count_parameters(decoder((512,), (1, 28, 28), latent_dim=2)) == 403_728


@pytest.mark.parametrize("hidden", [(), (7,), (7, 6)])
def test_sizes_are_those_of_the_layers(hidden):
    into, out = [24, *hidden, 10], [5, *hidden, 24]
    assert count_parameters(encoder(hidden)) == sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(into))
    assert count_parameters(decoder(hidden)) == sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(out))


@pytest.mark.parametrize("hidden", [(), (7,), (7, 6)])
@pytest.mark.parametrize("event_shape", [(24,), (2, 3, 4), (1, 1, 1)])
def test_any_event_goes_to_the_heads_and_comes_back_in_its_shape(hidden, event_shape):
    raw = encoder(hidden, event_shape)(torch.zeros(3, *event_shape))
    assert raw.shape == (3, 2 * 5)
    assert decoder(hidden, event_shape)(torch.zeros(3, 5)).shape == (3, *event_shape)


def test_without_hidden_layers_both_are_linear_maps():
    x, z = torch.randn(3, 2, 3, 4, generator=generator(0, "x")), torch.randn(3, 5, generator=generator(0, "z"))
    into, out = encoder(()), decoder(())
    assert_close(into(x), x.reshape(3, 24) @ into.heads.weight.T + into.heads.bias)
    assert_close(out(z).reshape(3, 24), z @ out.output.weight.T + out.output.bias)


def test_a_hidden_layer_is_rectified_and_the_output_is_not():
    x = torch.randn(50, 2, 3, 4, generator=generator(0, "x"))
    network = encoder((7,))
    hidden = (x.reshape(50, 24) @ network.body[1].weight.T + network.body[1].bias).clamp(min=0)
    raw = network(x)
    assert_close(raw, hidden @ network.heads.weight.T + network.heads.bias)
    assert raw.min() < 0 < raw.max()

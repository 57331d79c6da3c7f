"""Convolutional encoder and decoder: sizes, any shape of image, and why the last layer is a plain convolution."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder, stage_sizes
from lowerbound.networks.initialisation import build
from lowerbound.networks.layers import count_parameters

pytestmark = pytest.mark.usefixtures("float64")


def encoder(event_shape, channels, hidden=(), latent_dim=2):
    return build(
        lambda: ConvolutionalEncoder(event_shape, channels, hidden, head_sizes=(latent_dim, latent_dim)),
        generator(0, "encoder"),
    )


def decoder(raw_shape, channels, latent_dim=2):
    return build(lambda: ConvolutionalDecoder(latent_dim, channels, raw_shape), generator(0, "decoder"))


def test_the_pair_at_28x28x1_has_the_published_sizes():
    sizes = (
        count_parameters(encoder((1, 28, 28), (32, 64), hidden=(16,))),
        count_parameters(decoder((1, 28, 28), (32, 64))),
    )
    assert sizes == (69_076, 65_089)
    assert sum(sizes) == 134_165


@settings(max_examples=60)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    num_channels=st.integers(1, 4),
    filters=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
)
def test_an_image_of_any_shape_comes_back_in_exactly_its_shape(height, width, num_channels, filters):
    shape = (num_channels, height, width)
    raw = encoder(shape, filters, hidden=(3,))(torch.zeros(2, *shape))
    assert raw.shape == (2, 4)
    assert decoder(shape, filters)(raw[:, :2]).shape == (2, *shape)


@given(height=st.integers(1, 500), width=st.integers(1, 500), num_stages=st.integers(1, 9))
def test_each_stage_halves_both_sides_and_rounds_up(height, width, num_stages):
    sizes = stage_sizes(height, width, num_stages)
    assert sizes == [(-(-height // 2**stage), -(-width // 2**stage)) for stage in range(num_stages + 1)]


def test_every_pixel_reaches_the_code_and_the_code_reaches_every_pixel():
    # 29 is odd at both stages: what rounding up must not lose is the last row and column.
    x = torch.rand(1, 1, 29, 29, generator=generator(0, "x"), requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder((1, 29, 29), (8, 8))(x).sum(), x)
    assert (gradient != 0).all()
    deeper = decoder((1, 29, 29), (8, 8))
    first, second = deeper(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    assert (first != second).all()


def test_an_encoder_stage_is_a_strided_correlation_with_a_rectifier():
    network = encoder((1, 4, 4), (1,))
    image = torch.rand(1, 1, 4, 4, generator=generator(0, "x"))
    kernel, padded = network.body[0].weight[0, 0], F.pad(image[0, 0], (1, 1, 1, 1))
    expected = torch.stack([(padded[i : i + 3, j : j + 3] * kernel).sum() for i in (0, 2) for j in (0, 2)])
    assert_close(network.body(image), expected.clamp(min=0).unsqueeze(0))


def test_with_stride_1_a_transposed_convolution_is_a_convolution_with_its_kernel_turned_round():
    # The convolutional tutorial ends in a transposed convolution, this decoder in a convolution: the same functions.
    output = decoder((3, 6, 7), (4,)).output
    assert isinstance(output, nn.Conv2d)
    transposed = nn.ConvTranspose2d(4, 3, 3, stride=1, padding=1)
    with torch.no_grad():
        transposed.weight.copy_(output.weight.transpose(0, 1).flip(2, 3))
        transposed.bias.copy_(output.bias)
    features = torch.randn(2, 4, 6, 7, generator=generator(0, "features"))
    assert_close(transposed(features), output(features))
    assert math.prod(transposed.weight.shape) == math.prod(output.weight.shape)

"""The residual pair keeps every size, and counts its parameters as stated."""

import pytest
import torch

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.networks.layers import count_parameters
from lowerbound.networks.residual import ResidualBlock, Upsampling
from lowerbound.runs.experiment import resolve

CONFIG = ModelConfig(network="resnet", hidden=(), channels=(8, 16), latent_dim=3, activation="silu")


def model_of(event_shape, **changes):
    return build_model(ModelConfig(**{**vars(CONFIG), **changes}), event_shape, generator(0, "weights"))


@pytest.mark.parametrize(
    "event_shape", [(1, 8, 8), (3, 13, 7), (1, 1, 20), (1, 20, 1), (3, 64, 48), (3, 97, 128), (1, 256, 256)]
)
def test_reconstructions_have_the_size_of_the_images(event_shape):
    model = model_of(event_shape)
    x = torch.rand(2, *event_shape)
    assert model.encode(x).mean.shape == (2, 3)
    assert model.reconstruct(x).shape == x.shape


def test_the_number_of_parameters_is_what_arithmetic_says():
    def convolution(a, b):
        return 9 * a * b + b

    def block(c):
        return 2 * (convolution(c, c) + 2 * c)

    features = 16 * 4 * 4
    encoder = convolution(1, 8) + convolution(8, 8) + block(8) + convolution(8, 16) + block(16) + 2 * 16
    encoder += features * 6 + 6
    decoder = 3 * features + features + block(16) + convolution(16, 8) + block(8) + convolution(8, 8) + 2 * 8
    decoder += convolution(8, 1)
    model = model_of((1, 16, 16))
    assert count_parameters(model.encoder) == encoder
    assert count_parameters(model.decoder) == decoder


@pytest.mark.parametrize(
    ("side", "num_parameters", "num_stages"),
    [
        (8, 108_230, 1),
        (16, 343_142, 2),
        (32, 1_181_606, 3),
        (64, 2_068_134, 4),
        (128, 2_954_662, 5),
        (256, 3_841_190, 6),
    ],
)
def test_the_recipe_has_the_stated_number_of_parameters_at_every_size_and_ends_at_4_pixels(
    side, num_parameters, num_stages
):
    model = build_model(resolve("resnet").model, (3, side, side), generator(0, "weights"))
    assert count_parameters(model) == num_parameters
    (deepest,) = [module for module in model.decoder.modules() if isinstance(module, torch.nn.Unflatten)]
    assert deepest.unflattened_size[1:] == (4, 4)
    assert [type(module) for module in model.decoder.modules()].count(Upsampling) == num_stages


def test_a_block_without_convolutions_passes_its_input_on():
    model = model_of((1, 8, 8), num_blocks=2)
    (first, *_) = [module for module in model.modules() if isinstance(module, ResidualBlock)]
    with torch.no_grad():
        for layer in first.body:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.zero_()
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(first(x), x)


def test_weights_do_not_depend_on_the_global_generator():
    first, second = model_of((1, 8, 8)), model_of((1, 8, 8))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_is_no_image_is_refused_with_what_to_use():
    with pytest.raises(ConfigError, match="needs images, but the data are rows of 20 values; use network 'dense'"):
        model_of((20,))

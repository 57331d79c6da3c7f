"""The network computes what AutoencoderKL of diffusers does with the same weights, which is stored with the tests."""

import json
import math

import pytest
import torch
from torch.testing import assert_close

import diffusers_reference as reference
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.networks.autoencoder_kl import Attention, Resampler, autoencoder_kl_map_size, num_groups
from lowerbound.serving.portable.diffusers_form import as_map, weights_of

pytestmark = pytest.mark.usefixtures("float64")

STORED = json.loads(reference.FILE.read_text(encoding="utf-8"))
SMALL = {"network": "autoencoder-kl", "channels": (8, 16), "activation": "silu", "likelihood": "gaussian"}


@torch.no_grad()
def with_reference_weights(model):
    """A model whose weights are those of the reference, under their names there."""
    values = reference.weights(STORED["shapes"])
    for name, tensor in weights_of(model):
        tensor.copy_(values[name])
    return model.eval()


def test_with_the_same_weights_the_model_computes_what_diffusers_computes():
    model = with_reference_weights(build_model(ModelConfig(**SMALL, latent_dim=32), (3, 8, 8), generator(0, "weights")))
    image, z = reference.image_and_latents()
    with torch.no_grad():
        posterior = model.encode((image + 1) / 2)
        decoded = model.decode(z.permute(0, 2, 3, 1).flatten(1)).mean
    found = {
        "mean": as_map(model, posterior.mean),
        "log_variance": as_map(model, posterior.log_variance),
        "image": 2 * decoded - 1,
    }
    for name, values in found.items():
        assert_close(values.flatten(), torch.tensor(STORED[name]), rtol=0, atol=1e-6)


def test_the_first_reconstruction_is_the_mean_example_if_so_wanted():
    mean = torch.full((3, 8, 8), 0.3)
    config = ModelConfig(**SMALL, latent_dim=32, output_bias="mean")
    model = build_model(config, (3, 8, 8), generator(0, "weights"), mean, torch.ones(3, 8, 8))
    with torch.no_grad():
        model.decoder.output.weight.zero_()
    assert_close(model.decode(torch.randn(2, 32)).mean, mean.expand(2, 3, 8, 8))


@torch.no_grad()
def test_attention_is_that_of_its_definition_computed_position_by_position():
    layer = Attention(4, 2)
    x = torch.randn(1, 4, 2, 3, generator=generator(0, "x"))
    positions = torch.nn.functional.group_norm(x, 2, eps=1e-6)[0].flatten(1).T
    query, key, value = (positions @ linear.weight.T + linear.bias for linear in (layer.to_q, layer.to_k, layer.to_v))
    for index in range(6):
        weights = torch.tensor([math.exp(query[index] @ key[other] / 2) for other in range(6)])
        attended = (weights / weights.sum()) @ value
        expected = x[0].flatten(1)[:, index] + layer.to_out[0].weight @ attended + layer.to_out[0].bias
        assert_close(layer(x)[0].flatten(1)[:, index], expected)


def test_halving_pads_on_the_right_and_below_and_doubling_repeats_pixels():
    halving, doubling = Resampler(1, halves=True), Resampler(1, halves=False)
    with torch.no_grad():
        for layer in (halving, doubling):
            layer.conv.weight.zero_()
            layer.conv.bias.zero_()
        halving.conv.weight[..., 0, 0] = 1  # the pixel itself, at every second one
        doubling.conv.weight[..., 1, 1] = 1
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert_close(halving(x), x[..., ::2, ::2])
    assert_close(doubling(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize(("channels", "groups"), [((32, 64), 32), ((128, 256, 512), 32), ((8, 12), 4), ((7,), 1)])
def test_one_number_of_groups_divides_all_channels(channels, groups):
    assert num_groups(channels) == groups


def test_a_size_that_cannot_be_halved_is_refused_with_what_can():
    assert autoencoder_kl_map_size((8, 16, 16), (3, 12, 20)) == (3, 5)
    with pytest.raises(ConfigError, match="multiples of 4, got 30×28; resize the images"):
        autoencoder_kl_map_size((8, 16, 16), (3, 30, 28))


def test_a_stage_without_blocks_is_refused():
    with pytest.raises(ConfigError, match=r"model\.num_blocks is 0"):
        ModelConfig(**SMALL, latent_dim=32, num_blocks=0)

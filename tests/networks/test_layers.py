"""The table of layers tells of each layer once, in order, and its counts add up."""

import math

import pytest
import torch
from torch import nn

from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.networks.layers import Layer, count_parameters, layer_table

CONFIGS = {
    f"{network} {hidden}": {"network": network, "hidden": hidden, "channels": (2, 3)}
    for network in ("dense", "conv", "resnet")
    for hidden in [(), (5,)]
} | {
    "conv-map": {"network": "conv-map", "channels": (2, 3), "latent_dim": 4},
    "autoencoder-kl": {"network": "autoencoder-kl", "channels": (2,), "latent_dim": 35},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_table_adds_up_to_the_network_and_ends_in_its_output(config):
    model = build_model(ModelConfig(**config), (2, 5, 7), generator(0, "weights"))
    outputs = ((2 * model.latent_dim,), (2, 5, 7))
    for network, table, output in zip((model.encoder, model.decoder), model.layers(), outputs, strict=True):
        assert sum(layer.num_parameters for layer in table) == count_parameters(network) > 0
        assert math.prod(table[-1].output_shape) == math.prod(output)
        assert all(not list(network.get_submodule(layer.name).children()) for layer in table)


def test_the_table_of_the_convolutional_pair_is_that_of_its_text():
    encoder, decoder = build_model(
        ModelConfig(network="conv", hidden=(16,), channels=(32, 64)), (1, 28, 28), generator(0, "weights")
    ).layers()
    assert [(layer.kind, layer.output_shape, layer.num_parameters) for layer in encoder if layer.num_parameters] == [
        ("Conv2d", (32, 14, 14), 320),
        ("Conv2d", (64, 7, 7), 18_496),
        ("Linear", (16,), 50_192),
        ("Linear", (4,), 68),
    ]
    assert [(layer.kind, layer.output_shape, layer.num_parameters) for layer in decoder if layer.num_parameters] == [
        ("Linear", (3136,), 9_408),
        ("ConvTranspose2d", (64, 14, 14), 36_928),
        ("ConvTranspose2d", (32, 28, 28), 18_464),
        ("Conv2d", (1, 28, 28), 289),
    ]


def test_a_container_without_layers_is_no_layer():
    network = nn.Sequential(nn.Sequential(), nn.Linear(3, 2))
    assert layer_table(network, torch.zeros(1, 3)) == [Layer("1", "Linear", (2,), 8)]


def test_only_what_is_trained_is_counted():
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    assert count_parameters(layer) == 6


def test_reading_the_table_leaves_no_hook_behind_even_if_the_pass_fails():
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    layer_table(network, torch.zeros(1, 3))
    with pytest.raises(RuntimeError):
        layer_table(network, torch.zeros(1, 4))
    assert all(not module._forward_hooks for module in network.modules())

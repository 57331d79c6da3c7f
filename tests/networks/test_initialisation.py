"""Starting weights are Glorot-uniform with the fans of each head, biases are zero, and the generator decides them."""

import math

import pytest
import torch
from torch import nn

from lowerbound.foundation.seeding import generator
from lowerbound.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder
from lowerbound.networks.dense import DenseDecoder, DenseEncoder
from lowerbound.networks.initialisation import build, heads

NETWORKS = {
    "dense encoder": lambda: DenseEncoder((1, 8, 8), (100, 50), head_sizes=(40, 40)),
    "dense decoder": lambda: DenseDecoder(40, (50, 100), (1, 8, 8)),
    "conv encoder": lambda: ConvolutionalEncoder((3, 8, 8), (20, 30), (50,), head_sizes=(40, 40)),
    "conv decoder": lambda: ConvolutionalDecoder(40, (20, 30), (3, 8, 8)),
}
every_network = pytest.mark.parametrize("construct", NETWORKS.values(), ids=NETWORKS.keys())


def fans(layer: nn.Module) -> tuple[int, int]:
    """Numbers of inputs and outputs of one unit; a filter meets every cell of its kernel."""
    if isinstance(layer, nn.Linear):
        num_heads = len(getattr(layer, "head_sizes", (1,)))
        return layer.in_features, layer.out_features // num_heads
    cells = math.prod(layer.kernel_size)
    return layer.in_channels * cells, layer.out_channels * cells


def weighted_layers(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if list(layer.parameters(recurse=False))]


@every_network
def test_weights_fill_the_glorot_interval_evenly_and_biases_are_zero(construct):
    for layer in weighted_layers(build(construct, generator(0, "weights"))):
        weights, limit = layer.weight.detach().double(), math.sqrt(6 / sum(fans(layer)))
        assert weights.abs().max() <= limit * (1 + 1e-6)
        # Means of n uniform draws and of their squares, within four of their standard errors.
        assert abs(weights.mean()) < 4 * limit / math.sqrt(3 * weights.numel())
        assert (weights**2).mean() == pytest.approx(
            limit**2 / 3, abs=4 * limit**2 * math.sqrt(4 / 45 / weights.numel())
        )
        assert not layer.bias.any()


def test_each_head_is_drawn_as_if_it_were_a_layer_of_its_own():
    layer = build(lambda: heads(in_features=60, head_sizes=(200, 200, 200)), generator(0, "weights"))
    limit_of_one, limit_of_all = math.sqrt(6 / (60 + 200)), math.sqrt(6 / (60 + 600))
    for head in layer.weight.detach().chunk(3):
        assert head.shape == (200, 60)
        assert limit_of_all < 0.99 * limit_of_one < head.abs().max() <= limit_of_one * (1 + 1e-6)
        assert head.std().item() == pytest.approx(limit_of_one / math.sqrt(3), rel=0.02)


@every_network
def test_equal_seeds_give_equal_weights_and_other_seeds_others(construct):
    first, again, other = (
        torch.cat(
            [parameter.detach().flatten() for parameter in build(construct, generator(seed, "weights")).parameters()]
        )
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every_network
def test_a_network_is_built_on_the_cpu_with_the_default_number_type(construct):
    for tensor in build(construct, generator(0, "weights")).state_dict().values():
        assert (tensor.device.type, tensor.dtype) == ("cpu", torch.get_default_dtype())

import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.networks.dense import DenseDecoder, DenseEncoder
from lowerbound.networks.initialisation import build
from lowerbound.networks.levels import DenseLevel, FirstLevelDecoder, LevelsEncoder


def test_an_encoder_of_levels_reads_each_level_off_the_features_of_the_one_below():
    encoder = build(
        lambda: LevelsEncoder(DenseEncoder((6,), (5,), (3, 3)), (4,), (2, 1), "relu"), generator(0, "encoder")
    )
    x = torch.rand(3, 6, generator=generator(0, "x"))
    first = torch.relu(encoder.first.body[1](x))
    second = torch.relu(encoder.above[0].body[0](first))
    third = torch.relu(encoder.above[1].body[0](second))
    expected = [encoder.first.heads(first), encoder.above[0].heads(second), encoder.above[1].heads(third)]
    assert_close(encoder(x), torch.cat(expected, -1))
    assert encoder(x).shape == (3, 2 * (3 + 2 + 1))


def test_a_level_without_hidden_layers_is_linear():
    level = build(lambda: DenseLevel(3, (), (2, 2), "relu"), generator(0, "level"))
    given = torch.rand(4, 3, generator=generator(0, "given"))
    assert_close(level(given), given @ level.heads.weight.T + level.heads.bias)
    assert level.num_features == 3


def test_a_decoder_of_the_first_level_ignores_those_above():
    network = build(lambda: DenseDecoder(2, (4,), (6,)), generator(0, "decoder"))
    z = torch.rand(3, 5, generator=generator(0, "z"))
    assert_close(FirstLevelDecoder(network, 2)(z), network(z[:, :2]))

"""Latents on a map: their order, that each belongs to a place of the image, and any size of image."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.networks.latent_maps import ToMap, convolutional_map_size

pytestmark = pytest.mark.usefixtures("float64")


def model_of(event_shape, conditions=(), **changes):
    settings = {"network": "conv-map", "channels": (4, 6), "likelihood": "gaussian"} | changes
    names = tuple(column.name for column in conditions)
    config = ModelConfig(condition_on=names, **settings)
    return build_model(config, event_shape, generator(0, "weights"), conditions=conditions).eval()


def test_latents_are_in_the_order_height_width_channel():
    z = torch.arange(2 * 3 * 5 * 4.0).reshape(2, 60)
    planes = ToMap((3, 5), 4)(z)
    assert planes.shape == (2, 4, 3, 5)
    assert planes[1, 2, 1, 3] == z[1, (1 * 5 + 3) * 4 + 2]


def test_a_context_becomes_constant_planes_after_those_of_the_latents():
    z = torch.cat([torch.zeros(2, 12), torch.tensor([[1.0, 2.0], [3.0, 4.0]])], dim=1)
    planes = ToMap((2, 3), 2, num_features=2)(z)
    assert_close(planes[:, 2:], torch.tensor([[1.0, 2.0], [3.0, 4.0]])[:, :, None, None].expand(-1, -1, 2, 3))


@pytest.mark.parametrize(
    ("event_shape", "map_size"), [((1, 28, 28), (7, 7)), ((3, 13, 6), (4, 2)), ((1, 1, 9), (1, 3))]
)
def test_images_of_any_size_come_back_in_their_size(event_shape, map_size):
    assert convolutional_map_size((4, 6), event_shape) == map_size
    model = model_of(event_shape, latent_dim=3 * map_size[0] * map_size[1])
    x = torch.rand(2, *event_shape)
    assert model.latent_shape == (*map_size, 3)
    assert model.reconstruct(x).shape == x.shape


def test_a_latent_depends_on_its_part_of_the_image_and_changes_that_part():
    model = model_of((1, 64, 64), latent_dim=16 * 16)
    x = torch.rand(1, 1, 64, 64, generator=generator(0, "x"))
    changed = x.clone()
    changed[..., :4, :4] += 1
    difference = (model.encode(changed).mean - model.encode(x).mean).unflatten(1, model.latent_shape).abs()[0, :, :, 0]
    assert difference[0, 0] > 0
    assert difference[4:].max() == difference[:, 4:].max() == 0
    z = torch.zeros(2, 256).unflatten(1, (16, 16))
    z[1, 15, 0] = 1
    first, second = model.decode(z.flatten(1)).mean
    difference = (second - first).abs()[0]
    assert difference[60:, :4].max() > 0
    assert difference[:40].max() == difference[:, 24:].max() == 0


def test_the_variance_of_a_latent_comes_from_the_second_half_of_the_heads():
    model = model_of((1, 8, 8), latent_dim=2 * 2 * 3)
    with torch.no_grad():
        model.encoder.heads.weight.zero_()
        model.encoder.heads.bias.copy_(torch.arange(6.0))
    posterior = model.encode(torch.rand(1, 1, 8, 8))
    assert_close(posterior.mean.unflatten(1, (4, 3))[0], torch.tensor([0.0, 1.0, 2.0]).expand(4, 3))
    assert_close(posterior.log_variance.unflatten(1, (4, 3))[0], torch.tensor([3.0, 4.0, 5.0]).expand(4, 3))


@pytest.mark.parametrize("network", ["conv-map", "autoencoder-kl"])
def test_a_conditional_model_decodes_the_same_latents_by_its_label(network):
    label = Column(name="label", kind="categorical", levels=("a", "b", "c"))
    model = model_of((1, 8, 8), (label,), network=network, latent_dim=32)
    given = model.given(torch.tensor([[0.0], [2.0]]))
    first, second = given.decode(torch.zeros(2, 32)).mean
    assert (first != second).any()
    assert given.encode(torch.rand(2, 1, 8, 8)).mean.shape == (2, 32)

"""Latents that are a map of height × width × channels: its layers, and the fully convolutional pair "conv-map".

A model's latents stay one vector of numbers; those of a map are in the order height, width, channel.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.networks.convolutional import ImageDecoder, doubling, stage_sizes
from lowerbound.networks.dense import ACTIVATIONS
from lowerbound.networks.kernels import Conv2d

MapSize = tuple[int, int]
"""Height and width of the map of latents."""


class MapEncoder(nn.Module):
    """A `body` of layers to planes of the map's size, and a convolution whose filters are the posterior's heads.

    A head of k numbers for each latent has k times as many channels as the map.
    """

    def __init__(self, body: nn.Module, heads: nn.Conv2d, head_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.body, self.heads, self.head_channels = body, heads, head_channels
        heads.head_sizes = head_channels  # type: ignore[assignment]  # weights are drawn head by head

    def forward(self, x: Float[Tensor, "batch channel tall wide"]) -> Float[Tensor, "batch raw"]:
        maps = self.heads(self.body(x)).split(self.head_channels, dim=1)
        return torch.cat([part.permute(0, 2, 3, 1).flatten(1) for part in maps], dim=1)


class ToMap(nn.Module):
    """Latents in the order height, width, channel to planes; numbers after them, of a context, to constant planes."""

    def __init__(self, map_size: MapSize, num_channels: int, num_features: int = 0) -> None:
        super().__init__()
        self.shape, self.num_features = (*map_size, num_channels), num_features

    @property
    def num_planes(self) -> int:
        """Channels of the output."""
        return self.shape[-1] + self.num_features

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch plane height width"]:
        num_latents = math.prod(self.shape)
        planes = z[:, :num_latents].unflatten(1, self.shape).permute(0, 3, 1, 2)
        if not self.num_features:
            return planes
        features = z[:, num_latents:, None, None].expand(-1, -1, *planes.shape[2:])
        return torch.cat([planes, features], dim=1)


class ConvolutionalMapEncoder(MapEncoder):
    """Stride-2 convolutions with `channels` filters, then a 3×3 convolution to the posterior's heads."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        channels: tuple[int, ...],
        head_channels: tuple[int, ...],
        activation: str = "relu",
    ) -> None:
        layers: list[nn.Module] = []
        last = event_shape[0]
        for num_filters in channels:
            layers += [nn.Conv2d(last, num_filters, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
            last = num_filters
        heads = nn.Conv2d(last, sum(head_channels), 3, padding=1)
        super().__init__(nn.Sequential(*layers), heads, head_channels)


class ConvolutionalMapDecoder(ImageDecoder):
    """A 3×3 convolution of the map, stride-2 transposed convolutions, and one convolution to the raw shape."""

    def __init__(
        self, to_map: ToMap, channels: tuple[int, ...], raw_shape: tuple[int, ...], activation: str = "relu"
    ) -> None:
        out_channels, height, width = raw_shape
        sizes, filters = stage_sizes(height, width, len(channels))[::-1], channels[::-1]
        last = filters[0]
        layers = [to_map, nn.Conv2d(to_map.num_planes, last, 3, padding=1), ACTIVATIONS[activation]()]
        for num_filters, small, large in zip(filters, sizes, sizes[1:], strict=False):
            layers += [doubling(last, num_filters, small, large), ACTIVATIONS[activation]()]
            last = num_filters
        super().__init__(nn.Sequential(*layers), Conv2d(last, out_channels))


def convolutional_map_size(channels: tuple[int, ...], event_shape: tuple[int, ...]) -> MapSize:
    """Height and width of the map of "conv-map": each stage halves the image, rounding up."""
    _, height, width = event_shape
    return stage_sizes(height, width, len(channels))[-1]

"""Convolutional encoder and decoder for images of any height, width and number of channels.

Each stage of the encoder halves height and width, rounding up; the decoder goes through the same sizes in
reverse. Kernels are 3×3 throughout.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.networks.dense import ACTIVATIONS, Encoder
from lowerbound.networks.kernels import Conv2d, ConvTranspose2d, Linear


def stage_sizes(height: int, width: int, num_stages: int) -> list[tuple[int, int]]:
    """Heights and widths from the input to the deepest stage, num_stages + 1 of them."""
    sizes = [(height, width)]
    for _ in range(num_stages):
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        sizes.append((height, width))
    return sizes


class ConvolutionalEncoder(Encoder):
    """Stride-2 convolutions with `channels` filters, then dense `hidden` layers, then the posterior's heads."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        channels: tuple[int, ...],
        hidden: tuple[int, ...],
        head_sizes: tuple[int, ...],
        activation: str = "relu",
    ) -> None:
        in_channels, height, width = event_shape
        layers: list[nn.Module] = []
        for out_channels in channels:
            layers += [nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
            in_channels = out_channels
        deep_height, deep_width = stage_sizes(height, width, len(channels))[-1]
        super().__init__(layers, in_channels * deep_height * deep_width, hidden, head_sizes, activation)


class ImageDecoder(nn.Module):
    """Latents through a `body` of layers to planes of the image's size, and a last convolution to the raw shape."""

    def __init__(self, body: nn.Sequential, output: nn.Conv2d) -> None:
        super().__init__()
        self.body = body
        self.output = output

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *raw"]:
        raw: Tensor = self.output(self.body(z))
        return raw

    @torch.no_grad()
    def start_at(self, raw: Float[Tensor, " *raw"]) -> None:
        """Copy a raw output, averaged over its pixels, into the last layer's bias: one number for each channel."""
        assert self.output.bias is not None
        self.output.bias.copy_(raw.mean((1, 2)))


class ConvolutionalDecoder(ImageDecoder):
    """A dense layer to the deepest size, stride-2 transposed convolutions, and one convolution to the raw shape."""

    def __init__(
        self, latent_dim: int, channels: tuple[int, ...], raw_shape: tuple[int, ...], activation: str = "relu"
    ) -> None:
        out_channels, height, width = raw_shape
        sizes = stage_sizes(height, width, len(channels))[::-1]
        filters = channels[::-1]
        layers: list[nn.Module] = [
            Linear(latent_dim, filters[0] * math.prod(sizes[0])),
            ACTIVATIONS[activation](),
            nn.Unflatten(-1, (filters[0], *sizes[0])),
        ]
        in_channels = filters[0]
        for num_filters, small, large in zip(filters, sizes, sizes[1:], strict=False):
            layers += [doubling(in_channels, num_filters, small, large), ACTIVATIONS[activation]()]
            in_channels = num_filters
        # With stride 1 a transposed convolution is a convolution with a flipped kernel: the same family of functions.
        super().__init__(nn.Sequential(*layers), Conv2d(in_channels, out_channels))


def doubling(in_channels: int, out_channels: int, small: tuple[int, int], large: tuple[int, int]) -> ConvTranspose2d:
    """A transposed convolution from one stage's size to the next one's, which is about twice as large."""
    # Length n becomes 2n - 1 + output_padding, so odd sizes are restored exactly.
    padding = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
    return ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=padding)

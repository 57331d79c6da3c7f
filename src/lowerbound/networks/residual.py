"""Residual encoder and decoder for images from 8×8 to 256×256.

Each stage has residual blocks and halves height and width, rounding up; the decoder goes through the same sizes in
reverse. The number of stages brings the longer side down to about four pixels, with at most one stage for each entry of
`channels`. A block adds to its input the output of two 3×3 convolutions, each preceded by a group normalisation and an
activation.

Source of the block: He et al., "Identity Mappings in Deep Residual Networks", arXiv:1603.05027, Figure 4(e), with the
group normalisation of Wu and He, arXiv:1803.08494, which does not depend on the batch.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.convolutional import ImageDecoder, stage_sizes
from lowerbound.networks.dense import ACTIVATIONS, Encoder, dense_stack
from lowerbound.networks.kernels import Linear

MAX_GROUPS = 8
DEEPEST_SIDE = 4  # pixels at which halving stops, approximately


def num_stages(height: int, width: int, most: int) -> int:
    """How many times images of a size are halved, from 1 to `most`."""
    return max(1, min(most, round(math.log2(max(height, width) / DEEPEST_SIDE))))


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), of equal shape."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _normalisation(channels),
            ACTIVATIONS[activation](),
            nn.Conv2d(channels, channels, 3, padding=1),
            _normalisation(channels),
            ACTIVATIONS[activation](),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
        added: Tensor = x + self.body(x)
        return added


class Upsampling(nn.Module):
    """Nearest-neighbour upsampling by two, cropped to the encoder's size, then a 3×3 convolution.

    Transposed convolutions cover some pixels more often than others, which causes chequerboard patterns: Odena et al.,
    "Deconvolution and Checkerboard Artifacts", Distill 2016.
    """

    def __init__(self, in_channels: int, out_channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch filter tall wide"]:
        height, width = self.size
        upsampled: Tensor = self.convolution(F.interpolate(x, scale_factor=2, mode="nearest")[..., :height, :width])
        return upsampled


class ResidualEncoder(Encoder):
    """A first convolution, stages of blocks that each halve the image, dense `hidden` layers, the posterior's heads."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        channels: tuple[int, ...],
        num_blocks: int,
        hidden: tuple[int, ...],
        head_sizes: tuple[int, ...],
        activation: str = "silu",
    ) -> None:
        in_channels, height, width = event_shape
        channels = channels[: num_stages(height, width, len(channels))]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, channels[0], 3, padding=1)]
        last = channels[0]
        for out_channels in channels:
            layers += [nn.Conv2d(last, out_channels, 3, stride=2, padding=1)]
            layers += [ResidualBlock(out_channels, activation) for _ in range(num_blocks)]
            last = out_channels
        deep_height, deep_width = stage_sizes(height, width, len(channels))[-1]
        layers += [_normalisation(last), ACTIVATIONS[activation]()]
        super().__init__(layers, last * deep_height * deep_width, hidden, head_sizes, activation)


class ResidualDecoder(ImageDecoder):
    """Dense layers to the deepest size, stages of blocks that each double the image, a convolution to the raw shape."""

    def __init__(
        self,
        latent_dim: int,
        channels: tuple[int, ...],
        num_blocks: int,
        hidden: tuple[int, ...],
        raw_shape: tuple[int, ...],
        activation: str = "silu",
    ) -> None:
        out_channels, height, width = raw_shape
        channels = channels[: num_stages(height, width, len(channels))]
        sizes = stage_sizes(height, width, len(channels))[::-1]
        filters = channels[::-1]
        layers: list[nn.Module] = [
            *dense_stack(latent_dim, hidden[::-1], activation),
            Linear(hidden[0] if hidden else latent_dim, filters[0] * math.prod(sizes[0])),
            nn.Unflatten(-1, (filters[0], *sizes[0])),
        ]
        for index, size in enumerate(sizes[1:]):
            layers += [ResidualBlock(filters[index], activation) for _ in range(num_blocks)]
            layers += [Upsampling(filters[index], filters[min(index + 1, len(filters) - 1)], size)]
        layers += [_normalisation(filters[-1]), ACTIVATIONS[activation]()]
        super().__init__(nn.Sequential(*layers), nn.Conv2d(filters[-1], out_channels, 3, padding=1))


def _normalisation(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, MAX_GROUPS), channels)

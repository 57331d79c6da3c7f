"""The encoder and decoder of latent diffusion models: residual blocks, attention, latents as a map.

They have the layers and the parameter names of AutoencoderKL in the diffusers library, and compute the same functions.
AutoencoderKL takes and gives images in [-1, 1]: the encoder here maps x to 2x - 1 first, the decoder y to (y + 1) / 2
last, and neither map is part of what an export contains.

Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", arXiv:2112.10752, Appendix E.1,
with the layers of Esser et al., arXiv:2012.09841.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.foundation.errors import ConfigError
from lowerbound.networks.convolutional import ImageDecoder
from lowerbound.networks.dense import ACTIVATIONS
from lowerbound.networks.kernels import Linear
from lowerbound.networks.latent_maps import MapEncoder, MapSize, ToMap

MAX_GROUPS = 32
EPSILON = 1e-6  # of every normalisation


def num_groups(channels: tuple[int, ...]) -> int:
    """Groups of every normalisation: the largest number up to 32 that divides each number of channels and 32."""
    return math.gcd(MAX_GROUPS, *channels)


def autoencoder_kl_map_size(channels: tuple[int, ...], event_shape: tuple[int, ...]) -> MapSize:
    """Height and width of the map: each entry of `channels` but the last halves the image.

    ConfigError for an image whose sides cannot be halved so often.
    """
    _, height, width = event_shape
    factor = 2 ** (len(channels) - 1)
    if height % factor or width % factor:
        raise ConfigError(
            f"network 'autoencoder-kl' with {len(channels)} entries in model.channels needs images whose height and "
            f"width are multiples of {factor}, got {height}×{width}; resize the images (data.size), give fewer "
            "channels, or use network 'conv-map'."
        )
    return height // factor, width // factor


class Block(nn.Module):
    """x + conv2(act(norm2(conv1(act(norm1(x)))))); with other channels, x passes a 1×1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, groups: int, activation: str) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, EPSILON)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, out_channels, EPSILON)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.activation = ACTIVATIONS[activation]()
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch filter height width"]:
        inner = self.conv1(self.activation(self.norm1(x)))
        inner = self.conv2(self.activation(self.norm2(inner)))
        sum_: Tensor = (x if self.conv_shortcut is None else self.conv_shortcut(x)) + inner
        return sum_


class Attention(nn.Module):
    """x + attention among all positions of the normalised x, with one head."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, EPSILON)
        self.to_q, self.to_k, self.to_v = (Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([Linear(channels, channels)])

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
        positions = self.group_norm(x).flatten(2).transpose(1, 2)
        query, key, value = self.to_q(positions), self.to_k(positions), self.to_v(positions)
        weights = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(x.shape[1]), dim=-1)
        attended = self.to_out[0](weights @ value)
        sum_: Tensor = x + attended.transpose(1, 2).unflatten(2, x.shape[2:])
        return sum_


class Middle(nn.Module):
    """A block, attention, and a block, at the size of the map."""

    def __init__(self, channels: int, groups: int, activation: str) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([Attention(channels, groups)])
        self.resnets = nn.ModuleList([Block(channels, channels, groups, activation) for _ in range(2)])

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
        attended: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x)))
        return attended


class Resampler(nn.Module):
    """A 3×3 convolution that halves the planes, or follows their doubling."""

    def __init__(self, channels: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.conv = nn.Conv2d(channels, channels, 3, stride=2 if halves else 1, padding=0 if halves else 1)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel tall wide"]:
        # Padded on the right and below only.
        resized = F.pad(x, (0, 1, 0, 1)) if self.halves else F.interpolate(x, scale_factor=2.0, mode="nearest")
        out: Tensor = self.conv(resized)
        return out


class Stage(nn.Module):
    """Blocks of one size, then a change of size."""

    def __init__(self, blocks: list[Block], name: str, resampler: Resampler | None) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(blocks)
        self.resampler_name = name
        self.add_module(name, nn.ModuleList([resampler]) if resampler else None)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch filter tall wide"]:
        for block in self.resnets:
            x = block(x)
        for resampler in getattr(self, self.resampler_name) or ():
            x = resampler(x)
        return x


def _stages(
    first: int, filters: tuple[int, ...], num_blocks: int, groups: int, activation: str, name: str
) -> nn.ModuleList:
    """Stages with the given filters; all but the last change the size."""
    stages, last = [], first
    for index, channels in enumerate(filters):
        inputs = (last, *[channels] * (num_blocks - 1))
        blocks = [Block(num_inputs, channels, groups, activation) for num_inputs in inputs]
        is_last = index == len(filters) - 1
        stages.append(Stage(blocks, name, None if is_last else Resampler(channels, halves=name == "downsamplers")))
        last = channels
    return nn.ModuleList(stages)


class Down(nn.Module):
    """From an image in [-1, 1] to planes of the map's size, as many as the heads have."""

    def __init__(
        self, in_channels: int, channels: tuple[int, ...], num_blocks: int, num_planes: int, activation: str
    ) -> None:
        super().__init__()
        groups = num_groups(channels)
        self.conv_in = nn.Conv2d(in_channels, channels[0], 3, padding=1)
        self.down_blocks = _stages(channels[0], channels, num_blocks, groups, activation, "downsamplers")
        self.mid_block = Middle(channels[-1], groups, activation)
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], EPSILON)
        self.conv_out = nn.Conv2d(channels[-1], num_planes, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch channel tall wide"]) -> Float[Tensor, "batch plane height width"]:
        x = self.conv_in(x)
        for stage in self.down_blocks:
            x = stage(x)
        planes: Tensor = self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))
        return planes


class Up(nn.Module):
    """From planes of the map's size to features of the image's size, from which the last convolution makes pixels."""

    def __init__(self, num_planes: int, channels: tuple[int, ...], num_blocks: int, activation: str) -> None:
        super().__init__()
        groups, filters = num_groups(channels), channels[::-1]
        self.conv_in = nn.Conv2d(num_planes, filters[0], 3, padding=1)
        self.up_blocks = _stages(filters[0], filters, num_blocks + 1, groups, activation, "upsamplers")
        self.mid_block = Middle(filters[0], groups, activation)
        self.conv_norm_out = nn.GroupNorm(groups, filters[-1], EPSILON)

    def forward(self, planes: Float[Tensor, "batch plane height width"]) -> Float[Tensor, "batch channel tall wide"]:
        x = self.mid_block(self.conv_in(planes))
        for stage in self.up_blocks:
            x = stage(x)
        return F.silu(self.conv_norm_out(x))


class AutoencoderKLEncoder(MapEncoder):
    """Images in [0, 1] to the posterior's heads as maps; `heads` is the 1×1 convolution quant_conv."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        channels: tuple[int, ...],
        num_blocks: int,
        head_channels: tuple[int, ...],
        activation: str = "silu",
    ) -> None:
        num_planes = sum(head_channels)
        body = Down(event_shape[0], channels, num_blocks, num_planes, activation)
        super().__init__(body, nn.Conv2d(num_planes, num_planes, 1), head_channels)

    def forward(self, x: Float[Tensor, "batch channel tall wide"]) -> Float[Tensor, "batch raw"]:
        return super().forward(2 * x - 1)


class AutoencoderKLDecoder(ImageDecoder):
    """A map of latents through post_quant_conv and `Up` to the raw shape; a raw output is (y + 1) / 2."""

    def __init__(
        self,
        to_map: ToMap,
        channels: tuple[int, ...],
        num_blocks: int,
        raw_shape: tuple[int, ...],
        activation: str = "silu",
    ) -> None:
        num_planes = to_map.num_planes
        body = nn.Sequential(
            to_map, nn.Conv2d(num_planes, num_planes, 1), Up(num_planes, channels, num_blocks, activation)
        )
        super().__init__(body, nn.Conv2d(channels[0], raw_shape[0], 3, padding=1))

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *raw"]:
        return (super().forward(z) + 1) / 2

    @torch.no_grad()
    def start_at(self, raw: Float[Tensor, " *raw"]) -> None:
        """As for other decoders, before the map from y to (y + 1) / 2."""
        super().start_at(2 * raw - 1)

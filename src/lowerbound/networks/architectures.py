"""Encoders and decoders by name: each architecture is a pair of functions of its sizes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from lowerbound.foundation.errors import ConfigError
from lowerbound.networks.autoencoder_kl import AutoencoderKLDecoder, AutoencoderKLEncoder, autoencoder_kl_map_size
from lowerbound.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder, ImageDecoder
from lowerbound.networks.dense import DenseDecoder, DenseEncoder
from lowerbound.networks.latent_maps import (
    ConvolutionalMapDecoder,
    ConvolutionalMapEncoder,
    MapSize,
    ToMap,
    convolutional_map_size,
)
from lowerbound.networks.residual import ResidualDecoder, ResidualEncoder


class Sizes(Protocol):
    """What decides the layers of a network: these settings of the model."""

    @property
    def hidden(self) -> tuple[int, ...]: ...
    @property
    def channels(self) -> tuple[int, ...]: ...
    @property
    def num_blocks(self) -> int: ...
    @property
    def activation(self) -> str: ...
    @property
    def latent_dim(self) -> int: ...


Shape = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """How an encoder is built from an example's shape and the posterior's head sizes, a decoder from its raw shape."""

    encoder: Callable[[Sizes, Shape, Shape], nn.Module]
    decoder: Callable[[Sizes, Shape], DenseDecoder | ImageDecoder]
    meaning: str
    for_images: bool = False  # examples have channels, height and width
    map_size: Callable[[Sizes, Shape], MapSize] | None = None  # of an image, where latents are a map

    def latent_shape(self, sizes: Sizes, event_shape: Shape) -> Shape:
        """Height, width and channels of the map of latents; their number alone for other architectures.

        ConfigError, which names the nearest numbers, for a number of latents that does not fill such a map.
        """
        if self.map_size is None:
            return (sizes.latent_dim,)
        height, width = self.map_size(sizes, event_shape)
        num_channels, rest = divmod(sizes.latent_dim, height * width)
        if rest:
            nearest = [count * height * width for count in (num_channels, num_channels + 1) if count]
            raise ConfigError(
                f"model.latent_dim is {sizes.latent_dim}, but latents are a map of {height}×{width} positions here "
                f"(from model.channels and the size of the images), with the same number of channels at each: set "
                f"model.latent_dim to a multiple of {height * width}, such as {' or '.join(map(str, nearest))}."
            )
        return height, width, num_channels


NETWORKS: dict[str, Architecture] = {
    "dense": Architecture(
        lambda sizes, event, heads: DenseEncoder(event, sizes.hidden, heads, sizes.activation),
        lambda sizes, raw: DenseDecoder(sizes.latent_dim, sizes.hidden[::-1], raw, sizes.activation),
        meaning="Fully connected layers; for examples of any shape.",
    ),
    "conv": Architecture(
        lambda sizes, event, heads: ConvolutionalEncoder(event, sizes.channels, sizes.hidden, heads, sizes.activation),
        lambda sizes, raw: ConvolutionalDecoder(sizes.latent_dim, sizes.channels, raw, sizes.activation),
        meaning="Convolutions with stride 2, mirrored in the decoder; for images.",
        for_images=True,
    ),
    "resnet": Architecture(
        lambda sizes, event, heads: ResidualEncoder(
            event, sizes.channels, sizes.num_blocks, sizes.hidden, heads, sizes.activation
        ),
        lambda sizes, raw: ResidualDecoder(
            sizes.latent_dim, sizes.channels, sizes.num_blocks, sizes.hidden, raw, sizes.activation
        ),
        meaning="Residual blocks; for images from 8×8 to 256×256.",
        for_images=True,
    ),
    "conv-map": Architecture(
        lambda sizes, event, heads: ConvolutionalMapEncoder(
            event, sizes.channels, _channels(sizes, "conv-map", event, heads), sizes.activation
        ),
        lambda sizes, raw: ConvolutionalMapDecoder(
            _to_map(sizes, "conv-map", raw), sizes.channels, raw, sizes.activation
        ),
        meaning="Convolutions only: latents are a map of height × width × channels; for images.",
        for_images=True,
        map_size=lambda sizes, event: convolutional_map_size(sizes.channels, event),
    ),
    "autoencoder-kl": Architecture(
        lambda sizes, event, heads: AutoencoderKLEncoder(
            event, sizes.channels, sizes.num_blocks, _channels(sizes, "autoencoder-kl", event, heads), sizes.activation
        ),
        lambda sizes, raw: AutoencoderKLDecoder(
            _to_map(sizes, "autoencoder-kl", raw), sizes.channels, sizes.num_blocks, raw, sizes.activation
        ),
        meaning="The residual blocks and attention of diffusers' AutoencoderKL: latents are a map; for images.",
        for_images=True,
        map_size=lambda sizes, event: autoencoder_kl_map_size(sizes.channels, event),
    ),
}


def _channels(sizes: Sizes, name: str, event_shape: Shape, head_sizes: Shape) -> Shape:
    """The channels of each head's map."""
    height, width, _ = NETWORKS[name].latent_shape(sizes, event_shape)
    return tuple(size // (height * width) for size in head_sizes)


def _to_map(sizes: Sizes, name: str, raw_shape: Shape) -> ToMap:
    """The first layer of a decoder: from latents to their map, with the features of a context as constant planes."""
    height, width, num_channels = NETWORKS[name].latent_shape(sizes, raw_shape)
    return ToMap((height, width), num_channels, getattr(sizes, "num_features", 0))


FOR_IMAGES = tuple(name for name, architecture in NETWORKS.items() if architecture.for_images)
"""Architectures that need images."""

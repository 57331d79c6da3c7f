"""Encoders and decoders by name: each architecture is a pair of functions of its sizes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from lowerbound.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder, ImageDecoder
from lowerbound.networks.dense import DenseDecoder, DenseEncoder
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
}

FOR_IMAGES = tuple(name for name, architecture in NETWORKS.items() if architecture.for_images)
"""Architectures that need images."""

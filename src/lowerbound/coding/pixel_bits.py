"""pixel_bits: where the bits of images go, pixel by pixel, and how many are those of z."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from lowerbound.coding.bits_back import posterior_of
from lowerbound.coding.element_coding import ElementCoder, Levels
from lowerbound.coding.rounded_networks import Exceptions, RoundedNetworks

NUM_DRAWS = 16  # of z, over which bits are averaged


@dataclass(frozen=True)
class PixelBits:
    """Images in [0, 1], the bits that each pixel takes on average over draws of z, and those of z."""

    images: Float32[np.ndarray, "n height width channel"]
    of_pixels: Float64[np.ndarray, "n height width"]
    of_latents: Float64[np.ndarray, " n"]


def has_pixels(event_shape: tuple[int, ...]) -> bool:
    """Whether examples are images of one or three channels."""
    return len(event_shape) == 3 and event_shape[0] in (1, 3)


def pixel_bits(networks: RoundedNetworks, elements: ElementCoder, levels: Levels) -> PixelBits:
    """Where the bits of images go. Those of z are the rate, KL(q(z|x) || p(z)): bits back are already subtracted."""
    model, numbers, x = networks.model, np.arange(len(levels)), elements.to_x(levels)
    mean, deviation = posterior_of(networks.encoded(x, numbers, Exceptions(), is_writing=True), model.latent_dim)
    noise = np.random.default_rng(0).standard_normal((NUM_DRAWS, *mean.shape))
    bits = np.mean([_bits_given(networks, elements, levels, mean + deviation * draw) for draw in noise], axis=0)
    rate = 0.5 * (mean**2 + deviation**2 - 1 - 2 * np.log(deviation)).sum(1) / np.log(2)
    images = np.moveaxis((x / x.max(initial=1)).reshape(-1, *model.event_shape), 1, -1).astype(np.float32)
    return PixelBits(images, bits.reshape(-1, *model.event_shape).sum(1), rate)


def _bits_given(networks: RoundedNetworks, elements: ElementCoder, levels: Levels, z: np.ndarray) -> np.ndarray:
    raw = networks.decoded(z, np.arange(len(z)), Exceptions(), is_writing=True)
    return elements.bits(raw, levels)

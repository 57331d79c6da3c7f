"""write_bit_picture: where the bits of the first images of a compressed file go, pixel by pixel."""

from pathlib import Path

import numpy as np

from lowerbound.coding.bits_back import posterior_of
from lowerbound.coding.coders import element_coder
from lowerbound.coding.element_coding import ElementCoder
from lowerbound.coding.rounded_networks import Exceptions, RoundedNetworks
from lowerbound.compression.stored_levels import Levels
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.storage import write_bytes
from lowerbound.models.vae import VAE
from lowerbound.reporting import theme
from lowerbound.reporting.bit_plot import bit_figure
from lowerbound.reporting.tiles import displayable

NUM_IMAGES = 10
NUM_DRAWS = 16  # of z, over which bits are averaged


def check_has_picture(model: VAE) -> None:
    """UsageError for a model of data that are no pictures."""
    if len(model.event_shape) != 3 or model.event_shape[0] not in (1, 3):
        raise UsageError("bits are drawn pixel by pixel for images of one or three channels; leave the picture out.")


def write_bit_picture(model: VAE, levels: Levels, path: Path) -> Path:
    """A PNG of the first images above the bits that each pixel takes on average over draws of z.

    The bits of z are the rate, KL(q(z|x) || p(z)): bits back are already subtracted.
    """
    check_has_picture(model)
    some = levels[:NUM_IMAGES]
    networks, elements = RoundedNetworks(model), element_coder(model.likelihood, int(levels.max()) + 1)
    numbers = np.arange(len(some))
    x = elements.to_x(some)
    mean, deviation = posterior_of(networks.encoded(x, numbers, Exceptions(), is_writing=True), model.latent_dim)
    noise = np.random.default_rng(0).standard_normal((NUM_DRAWS, *mean.shape))
    bits = np.mean([_bits_given(networks, elements, some, mean + deviation * draw) for draw in noise], axis=0)
    rate = 0.5 * (mean**2 + deviation**2 - 1 - 2 * np.log(deviation)).sum(1) / np.log(2)
    images = np.moveaxis((x / x.max(initial=1)).reshape(-1, *model.event_shape), 1, -1).astype(np.float32)
    per_pixel = bits.reshape(-1, *model.event_shape).sum(1)
    write_bytes(path, theme.png(bit_figure(displayable(images), per_pixel, rate)))
    return path


def _bits_given(networks: RoundedNetworks, elements: ElementCoder, levels: Levels, z: np.ndarray) -> np.ndarray:
    raw = networks.decoded(z, np.arange(len(z)), Exceptions(), is_writing=True)
    return elements.bits(raw, levels)

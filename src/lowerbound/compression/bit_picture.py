"""write_bit_picture: where the bits of the first images of a compressed file go, pixel by pixel."""

from pathlib import Path

from lowerbound.coding.coders import element_coder
from lowerbound.coding.pixel_bits import has_pixels, pixel_bits
from lowerbound.coding.rounded_networks import RoundedNetworks
from lowerbound.compression.stored_levels import Levels
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.storage import write_bytes
from lowerbound.models.vae import VAE
from lowerbound.reporting import theme
from lowerbound.reporting.bit_plot import bit_figure

NUM_IMAGES = 10


def check_is_picture(path: Path) -> None:
    """UsageError, before anything is computed, for a picture that exists already, or is no .png."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} ends in {path.suffix or 'nothing'!r}; the picture is written as .png.")
    if path.exists():
        raise UsageError(f"{path} exists already; choose another name for the picture, or remove it.")


def check_has_picture(model: VAE) -> None:
    """UsageError for a model of data that are no pictures."""
    if not has_pixels(model.event_shape):
        raise UsageError("bits are drawn pixel by pixel for images of one or three channels; leave the picture out.")


def write_bit_picture(model: VAE, levels: Levels, path: Path) -> Path:
    """A PNG of the first images above the bits that each pixel takes on average over draws of z."""
    check_has_picture(model)
    elements = element_coder(model.likelihood, int(levels.max()) + 1)
    found = pixel_bits(RoundedNetworks(model), elements, levels[:NUM_IMAGES])
    write_bytes(path, theme.png(bit_figure(found.images, found.of_pixels, found.of_latents)))
    return path

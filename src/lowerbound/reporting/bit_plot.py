"""Where the bits of images go, pixel by pixel: the figure of the report, and of compressed files."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme
from lowerbound.reporting.tiles import displayable

ARRAYS = ("bit_images", "bits_of_pixels", "bits_of_latents")
"""Arrays that the figure needs."""

TILE = 0.95  # inches


@theme.themed
def where_bits_go(results: Results) -> Figure:
    """What lossless compression with this model pays for each pixel. Above the first test images, below the bits that
    each of their pixels takes given z, on average over draws from the posterior; all have the same scale. Pale places
    are those that the model predicts from z, dark ones those that surprise it, mostly the edges of strokes and objects.
    The numbers are the bits of an image in all and, of these, those of z: its rate, since bits back are already
    subtracted. The whole is −ELBO in bits.
    """
    return bit_figure(*(results.arrays[name] for name in ARRAYS))


@theme.themed
def bit_figure(
    images: Float[np.ndarray, "n height width channel"],
    bits: Float[np.ndarray, "n height width"],
    of_latents: Float[np.ndarray, " n"],
) -> Figure:
    """Images above the bits of their pixels given z, on one scale; below, the bits of each in all, with those of z."""
    figure = Figure(figsize=(TILE * len(images) + 1.0, 2 * TILE + 0.8), layout="constrained")
    panels = figure.subplots(2, len(images), squeeze=False)
    for column, (image, cost, latent) in enumerate(zip(displayable(images), bits, of_latents, strict=True)):
        above, below = panels[:, column]
        above.imshow(image, interpolation="none")
        drawn = below.imshow(cost, interpolation="none", cmap=theme.TINTS, vmin=0, vmax=float(bits.max()))
        below.set_xlabel(f"{cost.sum() + latent:,.0f} bits,\n{latent:,.0f} for z", fontsize=8)
        for axes in (above, below):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=panels, label="bits of a pixel", shrink=0.8, pad=0.02)
    return figure

"""The figure of `lowerbound compress --picture`: where the bits of images go, pixel by pixel."""

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from lowerbound.reporting import theme

TILE = 0.95  # inches


@theme.themed
def bit_figure(
    images: UInt8[np.ndarray, "n height width 3"],
    bits: Float[np.ndarray, "n height width"],
    of_latents: Float[np.ndarray, " n"],
) -> Figure:
    """Images above the bits of their pixels given z, on one scale; below, the bits of each in all, with those of z."""
    figure = Figure(figsize=(TILE * len(images) + 1.0, 2 * TILE + 0.8), layout="constrained")
    panels = figure.subplots(2, len(images), squeeze=False)
    for column, (image, cost, latent) in enumerate(zip(images, bits, of_latents, strict=True)):
        above, below = panels[:, column]
        above.imshow(image, interpolation="none")
        drawn = below.imshow(cost, interpolation="none", cmap=theme.TINTS, vmin=0, vmax=float(bits.max()))
        below.set_xlabel(f"{cost.sum() + latent:,.0f} bits,\n{latent:,.0f} for z", fontsize=8)
        for axes in (above, below):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=panels, label="bits of a pixel", shrink=0.8, pad=0.02)
    return figure

"""The true posterior of a few examples compared with the encoder's posterior, one panel for each example."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from lowerbound.evaluation.results import Results
from lowerbound.foundation.number_format import format_number
from lowerbound.reporting import palette, theme
from lowerbound.reporting.latent_plots import dimension_label
from lowerbound.reporting.tiles import displayable

ARRAYS = tuple(f"true_posterior_{name}" for name in ("axes", "density", "encoder_mean", "encoder_covariance"))
"""Arrays that the figure needs."""

SIGMAS = (1, 2)

SHARES = tuple(1 - math.exp(-(sigma**2) / 2) for sigma in SIGMAS)
"""Probability of a normal in the plane within 1 and 2 standard deviations: 39 % and 86 %."""

COLUMNS = 3

NORMALS: dict[str, tuple[str, Any]] = {"encoder": (theme.HELD_OUT, "-"), "local": (theme.INK, (0, (4, 2.5)))}
"""Colour and line style of the approximate posteriors that are drawn where results have them."""


@theme.themed
def true_posterior(results: Results) -> Figure:
    """Which codes could have produced an image, and which codes the encoder considers possible. Each panel belongs to
    the test image above it and shows the relevant part of the latent plane; every panel has its own scale. Blue is the
    true posterior p(z|x), computed by decoding every point: 39 % of it lies in the darkest tone, 86 % within the next,
    99 % within the palest. The orange ellipses are the encoder's posterior at one and two standard deviations, which
    contain 39 % and 86 % of it. If the encoder were exact, each ellipse would follow the edge of a blue tone: blue
    outside the ellipses is what the encoder misses, places without blue inside them it wrongly considers possible.
    Dashed ellipses, where present, are the best posterior of the same family for this image alone: the
    difference between the orange and dashed ellipses is the amortisation gap, that between the dashed ellipses and blue
    the approximation gap. The number above each panel is the gap, log p(x)
    minus the ELBO of that image, in nats; values below zero are noise from the ELBO's draws. The images are not chosen
    at random: three typical ones, whose gaps are the quartiles of all gaps, come first, then the three with the largest
    gaps.
    """
    arrays = {name.removeprefix("true_posterior_"): array for name, array in results.arrays.items()}
    number_shown = len(arrays["axes"])
    rows = math.ceil(number_shown / COLUMNS)
    figure = Figure(figsize=(theme.WIDTH, 0.45 + 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for index, axes in enumerate(panels):
        if index >= number_shown:
            axes.set_axis_off()
            continue
        shade_density(axes, arrays["axes"][index], arrays["density"][index])
        for name in NORMALS:
            if f"{name}_mean" in arrays:
                outline_normal(axes, name, arrays[f"{name}_mean"][index], arrays[f"{name}_covariance"][index])
        _header(axes, arrays, index)
        _scales(axes)
    _legend(figure, has_local="local_mean" in arrays)
    return figure


def shade_density(axes: Axes, middles: Float[np.ndarray, "2 point"], density: Float[np.ndarray, "point point"]) -> None:
    """Regions of a density on a grid, as tones; the axes are those of the grid."""
    spacing = (middles[:, -1] - middles[:, 0]) / (middles.shape[1] - 1)
    (left, bottom), (right, top) = middles[:, 0] - spacing / 2, middles[:, -1] + spacing / 2
    relative = density.astype(np.float64) / density.max()
    levels = np.unique([density_level(relative, share) for share in (0.99, SHARES[1], SHARES[0])])
    # The maximum lies within the last level, not on it.
    axes.contourf(*middles.astype(np.float64), relative, [*levels, 1.01], colors=palette.TONES[-len(levels) :])
    axes.set(xlim=(left, right), ylim=(bottom, top))


def density_level(density: Float[np.ndarray, "point point"], share: float) -> float:
    """The density level above which a `share` of the mass lies."""
    ordered = np.sort(density, axis=None)[::-1]
    held = ordered.cumsum() / ordered.sum()
    return float(ordered[np.searchsorted(held, share).clip(max=len(ordered) - 1)])


def outline_normal(
    axes: Axes, name: str, mean: Float[np.ndarray, " latent"], covariance: Float[np.ndarray, "latent latent"]
) -> None:
    """A normal as ellipses at one and two standard deviations, in the style of its name in NORMALS."""
    colour, linestyle = NORMALS[name]
    for sigma in SIGMAS:
        # Axes of the ellipse along the eigenvectors, ascending: the first is the shorter.
        variances, directions = np.linalg.eigh(covariance.astype(np.float64))
        width, height = 2 * sigma * np.sqrt(variances)
        angle = math.degrees(math.atan2(directions[1, 0], directions[0, 0]))
        outline = {"fill": False, "edgecolor": colour, "linestyle": linestyle, "linewidth": 1.3}
        axes.add_patch(Ellipse(tuple(mean), width, height, angle=angle, **outline))


def _header(axes: Axes, arrays: dict[str, np.ndarray], index: int) -> None:
    """Above a panel: the example (its image, or its position in the test split) and its gap."""
    gap = f"gap {format_number(float(arrays['gap'][index]), 2)} nats" if "gap" in arrays else ""
    if "images" in arrays:
        tile = axes.inset_axes((0.0, 1.04, 0.24, 0.24))
        tile.imshow(displayable(arrays["images"][index : index + 1])[0], interpolation="none")
        tile.set(xticks=[], yticks=[])
        left, lines = 0.29, [gap]
    else:
        left, lines = 0.0, [f"test example {arrays['positions'][index] + 1:,}", gap]
    axes.text(left, 1.16, "\n".join(filter(None, lines)), transform=axes.transAxes, va="center", size=9)


def _scales(axes: Axes) -> None:
    axes.set_box_aspect(1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(3))
        # Full coordinates rather than offsets.
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.tick_params(labelsize=8)
    theme.formulas(axes.set_xlabel(dimension_label(0), labelpad=1), axes.set_ylabel(dimension_label(1), labelpad=1))
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def _legend(figure: Figure, has_local: bool) -> None:
    handles = [
        Patch(color=palette.TONES[1], label="true posterior"),
        _line("encoder", "encoder's posterior, 1 and 2 σ"),
        *([_line("local", "best posterior for this example alone")] if has_local else []),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)


def _line(name: str, label: str) -> Line2D:
    colour, linestyle = NORMALS[name]
    return Line2D([], [], color=colour, linestyle=linestyle, linewidth=1.3, label=label)

"""The true posterior of a few examples beside the encoder's Gaussian, a panel each."""

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
from lowerbound.reporting import theme
from lowerbound.reporting.latent_plots import dimension_name
from lowerbound.reporting.tiles import displayable
from lowerbound.reporting.wording import number

ARRAYS = tuple(f"true_posterior_{name}" for name in ("axes", "density", "encoder_mean", "encoder_covariance"))
"""What the figure cannot do without."""

SIGMAS = (1, 2)

SHARES = tuple(1 - math.exp(-(sigma**2) / 2) for sigma in SIGMAS)
"""Of a normal in the plane, within so many standard deviations: 39 % and 86 %."""

TONES = ("#dbe9f2", "#a9cbe0", "#5f9cc0")
"""Of the true posterior, from the outermost: where 99 %, 86 % and 39 % of it lie."""

COLUMNS = 3

NORMALS: dict[str, tuple[str, Any]] = {"encoder": (theme.WATCHED, "-"), "local": (theme.INK, (0, (4, 2.5)))}
"""Colour and line of the Gaussians that are drawn, where there are such."""


@theme.themed
def true_posterior(results: Results) -> Figure:
    """Which codes could have made an image, and which the encoder takes for possible. Each panel belongs to one test
    image, the one named above it, and shows the part of the latent plane that matters to it; mind the ticks, each panel
    has scales of its own. Blue is the true posterior p(z|x), found by decoding every point: 39 % of it lie in the
    darkest tone, 86 % within the next, 99 % within the palest. The orange ellipses are the encoder's Gaussian at one
    and two standard deviations, which hold 39 % and 86 % of that. So if the encoder were right, each ellipse would
    run along the edge of a blue tone; what is blue outside the ellipses it overlooks, what is white inside them it
    wrongly takes for possible. The dashed ellipses, where there are any, are the best Gaussian that could be found for
    this image alone: orange apart from dashed is the encoder's fault, dashed apart from blue that of all Gaussians
    with independent dimensions. Above each panel stands the gap, how far the ELBO of that image lies below log p(x),
    in nats; below zero it is noise of the ELBO's draws. The images are not a random choice: three typical ones, whose
    gaps are the quartiles of all, come first, and then the three with the greatest gaps.
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
        _density(axes, arrays["axes"][index], arrays["density"][index])
        for name in NORMALS:
            if f"{name}_mean" in arrays:
                _ellipses(axes, name, arrays[f"{name}_mean"][index], arrays[f"{name}_covariance"][index])
        _header(axes, arrays, index)
        _scales(axes)
    _legend(figure, has_local="local_mean" in arrays)
    return figure


def _density(axes: Axes, middles: Float[np.ndarray, "2 point"], density: Float[np.ndarray, "point point"]) -> None:
    spacing = (middles[:, -1] - middles[:, 0]) / (middles.shape[1] - 1)
    (left, bottom), (right, top) = middles[:, 0] - spacing / 2, middles[:, -1] + spacing / 2
    relative = density.astype(np.float64) / density.max()
    levels = np.unique([density_level(relative, share) for share in (0.99, SHARES[1], SHARES[0])])
    # The greatest density lies within the last level, not on it.
    axes.contourf(*middles.astype(np.float64), relative, [*levels, 1.01], colors=TONES[-len(levels) :])
    axes.set(xlim=(left, right), ylim=(bottom, top))


def density_level(density: Float[np.ndarray, "point point"], share: float) -> float:
    """The density above which so much of the mass lies."""
    ordered = np.sort(density, axis=None)[::-1]
    held = ordered.cumsum() / ordered.sum()
    return float(ordered[np.searchsorted(held, share).clip(max=len(ordered) - 1)])


def _ellipses(
    axes: Axes, name: str, mean: Float[np.ndarray, " latent"], covariance: Float[np.ndarray, "latent latent"]
) -> None:
    colour, linestyle = NORMALS[name]
    for sigma in SIGMAS:
        # Axes of the ellipse along the eigenvectors, ascending: the first is the shorter.
        variances, directions = np.linalg.eigh(covariance.astype(np.float64))
        width, height = 2 * sigma * np.sqrt(variances)
        angle = math.degrees(math.atan2(directions[1, 0], directions[0, 0]))
        outline = {"fill": False, "edgecolor": colour, "linestyle": linestyle, "linewidth": 1.3}
        axes.add_patch(Ellipse(tuple(mean), width, height, angle=angle, **outline))


def _header(axes: Axes, arrays: dict[str, np.ndarray], index: int) -> None:
    """The example, an image or else its place in the test split, and its gap, above its panel."""
    gap = f"gap {number(float(arrays['gap'][index]), 2)} nats" if "gap" in arrays else ""
    if "images" in arrays:
        tile = axes.inset_axes((0.0, 1.04, 0.24, 0.24))
        tile.imshow(displayable(arrays["images"][index : index + 1])[0], interpolation="nearest")
        tile.set(xticks=[], yticks=[])
        left, told = 0.29, [gap]
    else:
        left, told = 0.0, [f"test example {arrays['positions'][index] + 1:,}", gap]
    axes.text(left, 1.16, "\n".join(filter(None, told)), transform=axes.transAxes, va="center", size=9)


def _scales(axes: Axes) -> None:
    axes.set_box_aspect(1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(3))
        # Whole coordinates, not what is to be added to a number elsewhere.
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.tick_params(labelsize=8)
    theme.formulas(axes.set_xlabel(dimension_name(0), labelpad=1), axes.set_ylabel(dimension_name(1), labelpad=1))
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def _legend(figure: Figure, has_local: bool) -> None:
    handles = [
        Patch(color=TONES[1], label="true posterior"),
        _line("encoder", "encoder's Gaussian, 1 and 2 σ"),
        *([_line("local", "best Gaussian for this example alone")] if has_local else []),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)


def _line(name: str, label: str) -> Line2D:
    colour, linestyle = NORMALS[name]
    return Line2D([], [], color=colour, linestyle=linestyle, linewidth=1.3, label=label)

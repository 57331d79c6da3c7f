"""Frames of training as figures: codes in the plane beside decoded images, at one epoch after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowerbound.evaluation.frames import Frame
from lowerbound.evaluation.prior_shape import contour_lines
from lowerbound.evaluation.results import Results
from lowerbound.reporting import palette, theme
from lowerbound.reporting.latent_plots import DASHED, Category, categories, dimension_label
from lowerbound.reporting.terms import adapted_wording
from lowerbound.reporting.tiles import compose, displayable, opaque

GAP = 1  # pixels between small tiles
SMALL_TILE = 16  # pixels
LONGEST_LEGEND = 60  # characters of all labels together, which otherwise are not named
ALPHA = 0.85  # of dots
MARGIN = 0.04  # of the range of the codes, around them

PICTURES = {
    "manifold": "decoded from a grid over the latents",
    "samples": "samples from the prior, at the same noise",
    "reconstructions": "reconstructions of test images",
}
"""What the pictures of a frame are, by their kind."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Frames with their codes in one plane, which is the same for all of them."""

    frames: Sequence[Frame]
    places: list[Float[np.ndarray, "n 2"]]
    axes: tuple[str, str]  # names; those of latents are formulas
    low: Float[np.ndarray, " 2"]
    high: Float[np.ndarray, " 2"]
    prior: list[Float[np.ndarray, "_ 2"]]  # the contour of the prior, of two latents

    @property
    def labels(self) -> list[str]:
        """The name of each frame's epoch."""
        return [f"epoch {frame.about.epoch}" + (", kept" if frame.about.is_kept else "") for frame in self.frames]


def scene_of(results: Results, frames: Sequence[Frame]) -> Scene:
    """The frames in the plane of their two latents or, of more, of the two principal components of the last codes."""
    lines: list[Float[np.ndarray, "_ 2"]] = []
    num_latents = frames[-1].codes.shape[1]
    if num_latents == 1:
        # Beside one another in a fixed order, so that dots move in one direction alone.
        places = [np.stack([frame.codes[:, 0], _heights(len(frame.codes))], 1) for frame in frames]
        axes = (dimension_label(0), "")
    elif num_latents == 2:
        places, axes = [frame.codes for frame in frames], (dimension_label(0), dimension_label(1))
        lines = list(contour_lines(results.arrays))
    else:
        places = list(_projected([frame.codes for frame in frames]))
        axes = ("first principal component of the codes", "second")
    together = np.concatenate([*places, *lines])
    low, high = together.min(0), together.max(0)
    # Both axes have one scale, but of a single latent, whose second axis means nothing.
    half = np.maximum((high - low) if num_latents == 1 else (high - low).max(), 1e-6) * (0.5 + MARGIN)
    middle = (low + high) / 2
    return Scene(frames, places, axes, middle - half, middle + half, lines)


def _heights(number: int) -> Float[np.ndarray, " number"]:
    golden = (np.sqrt(5) - 1) / 2
    return ((np.arange(number) * golden) % 1).astype(np.float32)


def _projected(codes: Sequence[Float[np.ndarray, "n latent"]]) -> Iterator[Float[np.ndarray, "n 2"]]:
    """All codes on the plane in which the last ones vary most."""
    middle = codes[-1].mean(0)
    if len(codes[-1]) > 1:
        _, _, directions = np.linalg.svd((codes[-1] - middle).astype(np.float64), full_matrices=False)
        plane = directions[:2]
    else:  # one code, which does not vary
        plane = np.eye(2, codes[-1].shape[1])
    # The sign of a direction is arbitrary: its largest entry is made positive.
    plane = plane * np.sign(plane[np.arange(len(plane)), np.abs(plane).argmax(1)])[:, None]
    for code in codes:
        yield ((code - middle) @ plane.T).astype(np.float32)


def picture_of(frame: Frame) -> UInt8[np.ndarray, "height width 4"] | None:
    """The pictures of a frame as one; None if it has none."""
    if not len(frame.pictures):
        return None
    tiles = opaque(displayable(frame.pictures.astype(np.float32) / 255))
    columns = round(len(tiles) ** 0.5)
    return compose(tiles, columns, GAP if max(tiles.shape[1:3]) <= SMALL_TILE else 0)


def groups(results: Results, frame: Frame) -> list[Category]:
    """The labels of a frame's codes with their colours; one group of all codes if they have none."""
    if frame.labels is None:
        return [Category("", np.ones(len(frame.codes), dtype=bool), theme.TRAIN, "o")]
    return list(categories(results, frame.labels))


@theme.themed
def training_frame(results: Results, scene: Scene, index: int) -> Figure:
    """The model at one epoch of its training. On the left, each dot is the code of a test image, coloured by its label
    where the data have labels; the axes are the same at all epochs, and of more than two latents they are the two
    principal components of the last codes. The dashed line, where it is drawn, contains 95 % of the prior. On the
    right, images that the decoder makes at that epoch: of a grid over the plane of two latents, of samples from the
    prior at the same noise at all epochs or, without a prior, of the codes of test images.
    """
    frame, picture = scene.frames[index], picture_of(scene.frames[index])
    figure = Figure(figsize=(8.4 if picture is not None else 4.4, 4.7), layout="constrained")
    panels = figure.subplots(1, 1 if picture is None else 2, squeeze=False)[0]
    _codes(panels[0], results, scene, index)
    if picture is not None:
        panels[1].imshow(picture, interpolation="none")
        panels[1].set_axis_off()
        panels[1].set_title(PICTURES[frame.about.kind], color=theme.MUTED, size=9)
    handles, names = panels[0].get_legend_handles_labels()
    if any(names) and sum(len(name) + 3 for name in names) <= LONGEST_LEGEND:
        style: dict[str, Any] = {"handletextpad": 0.2, "columnspacing": 0.9, "fontsize": 8, "markerscale": 1.3}
        figure.legend(handles, names, loc="outside lower left", ncols=len(names), **style)
    figure.suptitle(scene.labels[index], x=0.01, ha="left", weight="bold")
    return figure


def _codes(axes: Axes, results: Results, scene: Scene, index: int) -> None:
    place = scene.places[index]
    for row in groups(results, scene.frames[index]):
        name = None if row.colour == palette.OTHERS else row.name
        axes.scatter(
            place[row.members, 0],
            place[row.members, 1],
            s=9,
            marker=row.marker,
            color=row.colour,
            linewidths=0,
            alpha=ALPHA,
            label=name,
        )
    for line in scene.prior:
        axes.plot(*line.T, color=theme.MUTED, linestyle=DASHED, linewidth=1)
    axes.set(xlim=(scene.low[0], scene.high[0]), ylim=(scene.low[1], scene.high[1]))
    axes.set_box_aspect(1)
    axes.set_title(adapted_wording(results, "codes of test images"), color=theme.MUTED, size=9)
    theme.formulas(axes.set_xlabel(scene.axes[0]), axes.set_ylabel(scene.axes[1]))
    if not scene.axes[1]:
        axes.set_yticks([])
    axes.grid(True)

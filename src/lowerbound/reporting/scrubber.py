"""The frames of training on a page: one for each epoch, shown by a row of radio buttons, without a script."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from lowerbound.evaluation.frames import Frame
from lowerbound.evaluation.results import Results
from lowerbound.foundation.number_format import format_significant
from lowerbound.reporting.frame_plots import PICTURES, SMALL_TILE, Scene, groups, picture_of
from lowerbound.reporting.tiles import data_url, encoded

SIDE = 1000  # units of the plane's drawing
MOST_DOTS = 300
SMALL = 6_000  # bytes up to which a picture is exact
QUALITIES = (50, 25, 5)  # of other pictures, from the first at which all together have at most MOST_BYTES
MOST_BYTES = 220_000


@dataclass(frozen=True)
class Shown:
    """A frame on the page."""

    label: str
    number: str  # of its epoch, as its button shows it
    dots: Markup  # <path> elements
    picture: str  # a data URL; empty if there is none


@dataclass(frozen=True)
class Scrubber:
    """All frames of a run, with what is the same for all of them."""

    frames: list[Shown]
    prior: Markup  # <path> elements
    ranges: str  # of the axes, in words
    pictures: str  # what the pictures are
    is_pixelated: bool  # whether the pixels of the pictures are shown as squares

    @property
    def seconds(self) -> float:
        """How long all frames take when they are played."""
        return 0.35 * len(self.frames)


def scrubber(results: Results, scene: Scene) -> Scrubber:
    """The frames for a page."""
    kinds = {frame.about.kind for frame in scene.frames} - {"none"}
    tile = max(scene.frames[0].pictures.shape[1:3])
    pictures = _pictures(scene.frames)
    return Scrubber(
        frames=[_shown(results, scene, index, picture) for index, picture in enumerate(pictures)],
        prior=_lines(scene),
        ranges=_ranges(scene),
        pictures=PICTURES[kinds.pop()] if kinds else "",
        is_pixelated=tile <= SMALL_TILE,
    )


def _shown(results: Results, scene: Scene, index: int, picture: str) -> Shown:
    frame = scene.frames[index]
    number = f"{frame.about.epoch:,}" + (" kept" if frame.about.is_kept else "")
    return Shown(scene.labels[index], number, _dots(results, scene, index), picture)


def _pictures(frames: Sequence[Frame]) -> list[str]:
    """The pictures of all frames as data URLs, empty where there are none, in the best quality that is small enough."""
    pictures = [picture_of(frame) for frame in frames]
    for quality in QUALITIES:
        found = [(b"", "") if picture is None else encoded(picture, SMALL, quality) for picture in pictures]
        if sum(len(content) for content, _ in found) <= MOST_BYTES:
            break
    return [data_url(content, kind) if kind else "" for content, kind in found]


def _dots(results: Results, scene: Scene, index: int) -> Markup:
    """One path for each label: dots are lines without length and with round ends, each placed from the one before."""
    place = _on_page(scene, scene.places[index])
    is_shown = np.random.default_rng(0).permutation(len(place)) < MOST_DOTS  # the same codes in every frame
    paths = []
    for row in groups(results, scene.frames[index]):
        points = place[row.members & is_shown]
        if len(points):
            steps = np.diff(points, axis=0, prepend=np.zeros((1, 2), dtype=int))
            outline = "".join(f"m{x} {y}h0" for x, y in steps.tolist())
            paths.append(f'<path stroke="var(--{row.colour[1:]})" d="{outline}"/>')
    return Markup("".join(paths))


def _lines(scene: Scene) -> Markup:
    lines = (_on_page(scene, line[:: max(1, len(line) // 60)]) for line in scene.prior)
    outlines = ("M" + "L".join(f"{x} {y}" for x, y in line.tolist()) + "Z" for line in lines)
    return Markup("".join(f'<path d="{outline}"/>' for outline in outlines))


def _on_page(scene: Scene, place: Float[np.ndarray, "n 2"]) -> np.ndarray:
    share = (place - scene.low) / (scene.high - scene.low)
    return np.rint(SIDE * np.stack([share[:, 0], 1 - share[:, 1]], 1)).astype(int)


def _ranges(scene: Scene) -> str:
    names = ("z₁", "z₂") if scene.frames[0].codes.shape[1] <= 2 else ("the first principal component", "the second")
    parts = [
        f"{name} from {format_significant(float(low))} to {format_significant(float(high))}, {way}"
        for name, low, high, way in zip(names, scene.low, scene.high, ("left to right", "bottom to top"), strict=True)
    ]
    return "; ".join(parts if scene.axes[1] else parts[:1])

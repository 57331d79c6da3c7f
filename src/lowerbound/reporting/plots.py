"""Figures: results in, a figure out, nothing else touched.

A plot is a function whose docstring is the caption a reader sees, and a row in PLOTS. Plots that need more room have
modules of their own (`graph`, `curves`, `latents`, `bound`, `posteriors`); here are pictures made of decoded images.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme
from lowerbound.reporting.bound_plots import bound_sweep, inference_gaps, title_with_data
from lowerbound.reporting.feature_plots import reconstructed_features, sampled_features
from lowerbound.reporting.latent_plots import dimension_label, latent_line, latent_pair, latent_space
from lowerbound.reporting.model_graph import model_graph
from lowerbound.reporting.posterior_plots import ARRAYS as TRUE_POSTERIOR
from lowerbound.reporting.posterior_plots import true_posterior
from lowerbound.reporting.tiles import centres, channel_note, columns_for, compose, displayable, fit_tiles
from lowerbound.reporting.training_curves import reconstruction_error_curve, training_curves
from lowerbound.reporting.wording import in_data_terms

TINY = 16  # pixels of an image; up to here a manifold's tiles need a line between them to be told apart
GAP = 6  # pixels of the PNG between tiles
PAIR_GAP = 24  # the same between pairs of rows
ROW_NAME = 0.95  # inches, for "reconstructed"
NOTE_HEIGHT = 0.3  # inches

FIGURES, BOUND = "figures", "bound"
"""Sections of a report that hold plots."""


@dataclass(frozen=True)
class Plot:
    """A figure that results may allow. What it shows is said by the docstring of `draw`."""

    draw: Callable[[Results], Figure]
    applies: Callable[[Results], bool]
    title: str
    section: str = FIGURES

    @property
    def caption(self) -> str:
        """What is seen and how to read it, as one paragraph."""
        draw = self.draw.func if isinstance(self.draw, partial) else self.draw
        return " ".join((inspect.getdoc(draw) or "").split())


def plots_for(results: Results) -> dict[str, Plot]:
    """The plots that these results allow, by name, in the order in which a report shows them."""
    sizes = sorted(int(match[1]) for name in results.arrays if (match := re.fullmatch(r"manifold_(\d+)", name)))
    rows = PLOTS | {f"manifold_{size}": manifold_row(size) for size in sizes}
    return {name: plot for name, plot in rows.items() if plot.applies(results)}


@theme.themed
def reconstructions(results: Results) -> Figure:
    """Test images and what the model makes of them. In each pair of rows the upper one has originals, the
    lower one their reconstructions: the image is encoded, and the mean of its posterior is decoded. What
    the reconstruction lacks did not fit into the code; what it turns into something else, the model
    mistook.
    """
    originals, decoded = results.arrays["originals"], results.arrays["reconstructions"]
    columns = min(columns_for(originals.shape, most=10), len(originals))
    width = _tile_width(theme.WIDTH - ROW_NAME, columns)
    rows = zip(_rows(_tiles(originals, width), columns), _rows(_tiles(decoded, width), columns), strict=True)
    pairs = np.stack([compose(np.concatenate(pair), columns, GAP) for pair in rows])
    figure, axes = _noted(compose(pairs, 1, PAIR_GAP), originals, left=ROW_NAME)
    row_height = (pairs.shape[1] + GAP) / 2
    middles = centres(len(pairs), pairs.shape[1], PAIR_GAP)
    for name, offset in (("original", -row_height / 2), ("reconstructed", row_height / 2)):
        for middle in middles:
            axes.text(-12, middle + offset, name, ha="right", va="center", size=9)
    return figure


@theme.themed
def samples(results: Results) -> Figure:
    """Images that the model makes up: each is decoded from its own draw from the prior, without any image
    to start from. They show what the model takes the data to be. Those between two kinds of image come from
    codes between the regions where the encoder puts them. The decoder's mean is shown, free of pixel noise
    and therefore smooth.
    """
    images = results.arrays["samples"]
    columns = min(columns_for(images.shape, most=10), len(images))
    tiles = _tiles(images, _tile_width(5.6, columns))
    figure, _ = _noted(compose(tiles, columns, GAP), images)
    return figure


@theme.themed
def manifold(results: Results, size: int) -> Figure:
    """The plane of the two latents as the decoder sees it: each tile is decoded from the pair of values
    that its column and its row stand for. The first latent grows to the right and the second upwards, as
    among the dots of the latent space, so that a tile shows what its place there means. Between neighbours
    the image changes gradually; where it changes fast, a small step in the code matters much. On the
    default grid, spaced by the prior's quantiles, all tiles are equally probable.
    """
    images, (horizontal, vertical) = results.arrays[f"manifold_{size}"], results.arrays[f"manifold_{size}_axes"]
    gap = GAP // 2 if max(images.shape[1:3]) <= TINY else 0
    side = _tile_width(6.2, size, gap=gap)
    tiles = fit_tiles(displayable(images), side, side)
    figure, axes = _noted(compose(tiles, size, gap), images, left=0.7, bottom=0.55)
    _, height, width, _ = tiles.shape
    shown = _evenly(size, most=11)
    axes.set_xticks(centres(size, width, gap)[shown], [_coordinate(z) for z in horizontal[shown].tolist()])
    # The array's first row is the top one, which has the greatest value of the second latent.
    axes.set_yticks(centres(size, height, gap)[::-1][shown], [_coordinate(z) for z in vertical[shown].tolist()])
    theme.formulas(axes.set_xlabel(dimension_label(0)), axes.set_ylabel(dimension_label(1)))
    return figure


@theme.themed
def traversals(results: Results) -> Figure:
    """What each latent dimension does. Every row starts from the code of the same test image and changes
    one dimension, the named one, along the quantiles of the prior, from rare low values on the left to rare
    high ones on the right, while the others stay. A row in which nothing changes is a dimension that the
    decoder ignores. The dimensions that the encoder uses most come first.
    """
    images, dimensions = results.arrays["traversals"], results.arrays["traversal_dimensions"]
    steps = len(images) // len(dimensions)
    tiles = _tiles(images, _tile_width(theme.WIDTH - 0.5, steps, most=0.6))
    _, height, width, _ = tiles.shape
    figure, axes = _noted(compose(tiles, steps, GAP), images, left=0.5, bottom=0.55)
    percent = [f"{100 * (step + 0.5) / steps:.0f} %" for step in range(steps)]
    axes.set_xticks(centres(steps, width, GAP), percent)
    axes.set_yticks(centres(len(dimensions), height, GAP), [dimension_label(int(i)) for i in dimensions])
    theme.formulas(*axes.get_yticklabels())
    axes.set_xlabel("quantile of the prior")
    return figure


@theme.themed
def rates(results: Results) -> Figure:
    """How much each latent dimension says about an image: its share of the rate, in nats, averaged over the
    test images, the most talkative first. A dimension near zero has collapsed: its posterior is the prior,
    whatever the image, and the model would be the same without it.
    """
    rate = results.arrays["rate_per_dimension"]
    order = np.argsort(-rate, kind="stable")
    # Of few dimensions a narrow figure: a bar is no wall.
    figure = Figure(figsize=(min(theme.WIDTH, 2.6 + 0.7 * len(rate)), 2.9), layout="constrained")
    axes = figure.subplots()
    axes.bar(np.arange(len(rate)), rate[order], width=0.75 if len(rate) > 2 else 0.5, color=theme.TRAIN)
    shown = _evenly(len(rate), most=24)
    axes.set_xticks(shown, [dimension_label(int(i)) for i in order[shown]])
    theme.formulas(*axes.get_xticklabels())
    axes.tick_params(axis="x", length=0)
    axes.set(
        ylabel=in_data_terms(results, "rate, nats per image"), xlabel="latent dimension", xlim=(-0.7, len(rate) - 0.3)
    )
    axes.grid(axis="y")
    if "latent_mean" in results.arrays:
        title_with_data(axes, results, len(results.arrays["latent_mean"]))
    return figure


def manifold_row(size: int) -> Plot:
    """The row of a manifold of `size` by `size` tiles."""
    return Plot(partial(manifold, size=size), _has(f"manifold_{size}"), f"Latent manifold, {size} × {size}")


def _noted(
    picture: UInt8[np.ndarray, "total_height total_width 3"],
    images: Float[np.ndarray, "n height width channel"],
    left: float = 0.0,
    bottom: float = 0.0,
) -> tuple[Figure, Axes]:
    """A figure around composed images and, below it, what a reader must be told of their channels."""
    note = channel_note(images)
    pad = 0.06
    figure, axes = theme.image_figure(
        picture, left=left or pad, right=pad, top=pad, bottom=(bottom or pad) + NOTE_HEIGHT * bool(note)
    )
    if note:
        figure.text(0.5, 0.08 / figure.get_figheight(), note, ha="center", va="bottom", size=8.5, color=theme.MUTED)
    return figure, axes


def _tiles(
    images: Float[np.ndarray, "n height width channel"], width: int
) -> UInt8[np.ndarray, "n new_height new_width 3"]:
    # A little higher than wide is allowed; a taller image is made narrower.
    return fit_tiles(displayable(images), width, width * 5 // 4)


def _rows(
    tiles: UInt8[np.ndarray, "n height width 3"], columns: int
) -> Iterator[UInt8[np.ndarray, "columns height width 3"]]:
    """The tiles in rows, the last one made up with white, so that it is as long as the others."""
    for start in range(0, len(tiles), columns):
        row = np.full((columns, *tiles.shape[1:]), 255, dtype=np.uint8)
        shown = tiles[start : start + columns]
        row[: len(shown)] = shown
        yield row


def _tile_width(total: float, columns: int, most: float = 1.0, gap: int = GAP) -> int:
    """Pixels for each tile where `columns` of them have `total` inches, and none is to be wider than `most`."""
    return max(1, min(int(most * theme.DPI), (int(total * theme.DPI) + gap) // columns - gap))


def _evenly(number: int, most: int) -> np.ndarray:
    """At most `most` indices out of `number`, evenly spaced and lying symmetrically as far as that goes."""
    step = -(-number // most)
    return np.arange((number - 1) % step // 2, number, step)


def _coordinate(z: float) -> str:
    # Without a minus sign on zero, and with the typographer's on the rest.
    return f"{z:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _has(*names: str) -> Callable[[Results], bool]:
    return lambda results: all(name in results.arrays for name in names)


def _num_latents(results: Results) -> int:
    return results.arrays["latent_mean"].shape[1] if "latent_mean" in results.arrays else 0


def _is_variational(results: Results) -> bool:
    return results.score("reconstruction-error") is None


def _has_curves(variational: bool) -> Callable[[Results], bool]:
    return lambda results: bool(results.history) and _is_variational(results) == variational


PLOTS: dict[str, Plot] = {
    "bound_sweep": Plot(bound_sweep, _has("sweep_ks", "sweep_bounds"), "Ever tighter bounds", BOUND),
    "inference_gaps": Plot(inference_gaps, _has("amortisation_gap_per_image"), "Where the bound loses", BOUND),
    "true_posterior": Plot(true_posterior, _has(*TRUE_POSTERIOR), "The true posterior and the encoder's", BOUND),
    "rates": Plot(rates, _has("rate_per_dimension"), "Rate of each latent dimension", BOUND),
    "graph": Plot(model_graph, _is_variational, "The model as a graph"),
    "curves": Plot(training_curves, _has_curves(variational=True), "Training"),
    "reconstruction_error": Plot(reconstruction_error_curve, _has_curves(variational=False), "Training"),
    "reconstructions": Plot(reconstructions, _has("originals", "reconstructions"), "Reconstructions"),
    "samples": Plot(samples, _has("samples"), "Samples from the prior"),
    "drawn_elements": Plot(sampled_features, _has("elements", "elements_drawn"), "Data and draws, element by element"),
    "reconstructed_elements": Plot(
        reconstructed_features, _has("elements", "elements_reconstructed"), "Reconstructions, element by element"
    ),
    "latent_space": Plot(latent_space, lambda results: _num_latents(results) == 2, "Latent space"),
    "latent_pair": Plot(latent_pair, lambda results: _num_latents(results) > 2, "Latent space, two dimensions of it"),
    "latent_line": Plot(latent_line, lambda results: _num_latents(results) == 1, "Latent space"),
    "traversals": Plot(traversals, _has("traversals", "traversal_dimensions"), "Latent traversals"),
    "manifold_15": manifold_row(15),
    "manifold_20": manifold_row(20),
}

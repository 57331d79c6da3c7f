"""The true posterior p(z|x) of a few examples, drawn on a grid beside the encoder's Gaussian; for two latents.

    p(z|x) = p(z) p(x|z) / p(x)

is known up to its normaliser wherever one cares to decode. What is not known is where to look: a posterior may be a
hundred times narrower than the prior, or have modes far apart. So a coarse lattice over the prior is scored first.
Where a cell could hold mass and log p(x, z) is still steep within it, it is cut into 4 × 4 and scored again, until it
is not: a narrow mode then has its own mass in a wide window, though it may be a dot there. The window is shrunk to
what holds mass, together with the Gaussians that are to be seen beside it, and the last lattice is the picture.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from lowerbound.foundation.errors import ConfigError
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import DiagonalNormal, Distribution
from lowerbound.probability.normals import FullNormal

PRIOR_RADIUS = 6.0
"""Prior standard deviations that the first lattice reaches on either side."""

NORMAL_RADIUS = 2.5
"""Standard deviations of a Gaussian that a window holds at least: its ellipse of two, and some air."""

FIRST_POINTS, SEARCH_POINTS = 97, 33
"""Points along each axis of the first lattice, an eighth of a prior standard deviation apart, and of those after it."""

MAX_SEARCHES = 5
"""Lattices at most until the window fits. Each can magnify thirtyfold."""

HELD_SHARE = 0.99
"""Of the mass that a window is shrunk to. Of a normal that is 3 standard deviations; with the margin, 3.7."""

MARGIN = 0.1
"""Of a window's width, on each side."""

FITTING_SHARE = 0.6
"""Of a window's width: if what holds mass is wider, the window fits."""

TOLERANCE = 1e-3
"""Share of the mass times nats of unevenness that a cell may have and not be cut."""

MAX_CUTS = 6
"""Times that a cell is cut at most, each time into 4 × 4."""

SEARCH_CELLS, PICTURE_CELLS = 64, 256
"""Cells that are cut at a time at most: to find where mass is, and to have it exactly."""

DECODER_BATCH = 64
"""Points decoded together: on a CPU a decoder takes so many at its fastest."""

LogJoint = Callable[[Float[Tensor, "point latent"]], Float[Tensor, " point"]]
"""log p(x, z) of one example, in nats, at any z."""


@torch.no_grad()
def true_posteriors(
    model: VAE,
    x: Float[Tensor, "n *event"],
    num_points: int = 65,
    *,
    local: Distribution | None = None,
    gap: Float[Tensor, " n"] | None = None,
) -> dict[str, np.ndarray]:
    """Arrays of the figure `true_posterior` in float32, for a few examples (see `select_by_gap`) of a model with two
    latents, whatever an example is.

    Names begin with `true_posterior_`: `axes` (n, latent, point), `density` (n, point of the second latent, point of
    the first; it sums to one over the grid's cells), `encoder_mean` (n latent) and `encoder_covariance` (n
    latent latent). Given the best `local` normals (`inference_gap.local_posteriors`) of the same examples, also theirs;
    given the evidence `gap` of each, in nats, also `gap`.

    Raises ConfigError for a deterministic autoencoder and for another number of latents.
    """
    encoded = _encoded(model, x)
    normals = {"encoder": encoded} if local is None else {"encoder": encoded, "local": local}
    boxes = torch.stack([_box_of(normal) for normal in normals.values()])
    # What must be seen of each example, [example, lowest and highest, latent].
    seen = torch.stack([boxes[:, 0].amin(0), boxes[:, 1].amax(0)], 1)
    grids = _grids(model, x, encoded.mean.double(), seen, num_points)
    arrays = {
        "axes": np.stack([grid.window.axes.cpu().numpy() for grid in grids]),
        "density": np.stack([grid.density.cpu().numpy() for grid in grids]),
    }
    for name, normal in normals.items():
        arrays |= {
            f"{name}_mean": normal.mean.cpu().numpy(),
            f"{name}_covariance": normal.covariance.cpu().numpy(),
        }
    if gap is not None:
        arrays["gap"] = gap.cpu().numpy()
    return {f"true_posterior_{name}": array.astype(np.float32) for name, array in arrays.items()}


def select_by_gap(gap: Float[Tensor, " n"]) -> list[int]:
    """Which examples to look at, by their evidence gaps: those at the quartiles, then the three with the greatest gap.

    The quartiles are the typical ones; the rest shows what goes wrong. Of fewer than six examples each comes once.
    """
    order = gap.argsort().tolist()
    typical = [order[round(quartile * (len(order) - 1))] for quartile in (0.25, 0.5, 0.75)]
    return list(dict.fromkeys(typical + order[-3:]))


@dataclass(frozen=True, eq=False)
class _Window:
    """A box in the plane of the two latents, and a lattice of cells that fills it."""

    low: Float[Tensor, " latent"]
    high: Float[Tensor, " latent"]
    num_points: int

    @property
    def spacing(self) -> Float[Tensor, " latent"]:
        return (self.high - self.low) / self.num_points

    @property
    def axes(self) -> Float[Tensor, "latent point"]:
        """The middles of the cells, along the first latent and along the second."""
        middles = torch.arange(self.num_points, dtype=self.low.dtype, device=self.low.device) + 0.5
        return self.low[:, None] + self.spacing[:, None] * middles

    @property
    def points(self) -> Float[Tensor, "second first latent"]:
        """The middles of all cells: rows run along the second latent, columns along the first."""
        first, second = self.axes
        return torch.cartesian_prod(second, first).flip(-1).unflatten(0, (self.num_points, self.num_points))


@dataclass(frozen=True, eq=False)
class _Grid:
    """The share of the mass that each cell of a window holds."""

    window: _Window
    mass: Float[Tensor, "second first"]

    @property
    def density(self) -> Float[Tensor, "second first"]:
        return self.mass / self.window.spacing.prod()

    def fitted_window(self, seen: Float[Tensor, "2 latent"], num_points: int) -> _Window:
        """The box of what holds mass and of what must be seen, with a margin."""
        inside = _holding(self.mass)
        places = torch.stack([_first_and_last(inside.any(0)), _first_and_last(inside.any(1))], dim=1)
        edges = self.window.low + self.window.spacing * places
        low, high = torch.minimum(edges[0], seen[0]), torch.maximum(edges[1], seen[1])
        margin = MARGIN * (high - low)
        return _Window(low - margin, high + margin, num_points)


def _grids(
    model: VAE,
    x: Float[Tensor, "n *event"],
    encoder_mean: Float[Tensor, "n latent"],
    seen: Float[Tensor, "n 2 latent"],
    num_points: int,
) -> list[_Grid]:
    """For each example the grid of the window that fits."""
    prior = model.prior()
    centre, reach = prior.mean.double(), PRIOR_RADIUS * prior.variance.sqrt().double()
    # Wide enough for every encoder, even one that leaves the prior behind.
    low = torch.minimum(centre - reach, seen[:, 0].amin(0))
    high = torch.maximum(centre + reach, seen[:, 1].amax(0))
    start = _Window(low, high, FIRST_POINTS)
    # Once for all examples: what costs is the decoder.
    table = _log_joint_table(model, x, start.points.flatten(0, 1)).unflatten(1, (FIRST_POINTS, FIRST_POINTS))
    grids = []
    for example, scores, point, box in zip(x.split(1), table, encoder_mean, seen, strict=True):
        score = partial(_log_joint, model, example)
        grids.append(_searched(score, _Grid(start, _mass(score, start, scores, SEARCH_CELLS, point)), box, num_points))
    return grids


def _searched(score: LogJoint, grid: _Grid, seen: Float[Tensor, "2 latent"], num_points: int) -> _Grid:
    """The grid of the window that fits, found by shrinking that of the given one."""
    for _ in range(MAX_SEARCHES):
        window, before = grid.fitted_window(seen, SEARCH_POINTS), grid.window
        if not bool((window.high - window.low < FITTING_SHARE * (before.high - before.low)).any()):
            break
        grid = _grid(score, window, SEARCH_CELLS)
    return _grid(score, grid.fitted_window(seen, num_points), PICTURE_CELLS)


def _grid(score: LogJoint, window: _Window, most_cut: int) -> _Grid:
    scores = score(window.points.flatten(0, 1)).unflatten(0, (window.num_points, window.num_points))
    return _Grid(window, _mass(score, window, scores, most_cut))


def _mass(
    score: LogJoint,
    window: _Window,
    scores: Float[Tensor, "second first"],
    most_cut: int,
    encoder_mean: Float[Tensor, " latent"] | None = None,
) -> Float[Tensor, "second first"]:
    """The share of the window's mass in each cell, cells being cut where one point does not speak for them.

    A `encoder_mean` point's cell of the lattice is cut in any case.
    """
    spacing, blocks = window.spacing, scores.unsqueeze(0)
    points = window.points.unsqueeze(0)
    owner = torch.arange(scores.numel(), device=scores.device).view_as(blocks)
    settled = _Settled(scores.numel())
    for cut in range(MAX_CUTS + 1):
        log_mass = blocks + spacing.log().sum()
        unevenness = _unevenness(blocks)
        log_least = math.log(TOLERANCE) + settled.log_total_with(log_mass)
        urgency = log_mass + unevenness + unevenness.clamp(max=1).log() - log_least
        if cut == 0 and encoder_mean is not None:
            urgency[((points - encoder_mean).abs() <= spacing / 2).all(-1)] = math.inf
        is_cut = _foremost(urgency, most_cut) if cut < MAX_CUTS else torch.zeros_like(urgency, dtype=torch.bool)
        settled.add(owner[~is_cut], log_mass[~is_cut])
        if not bool(is_cut.any()):
            break
        points, spacing = _cut(points[is_cut], spacing), spacing / 4
        owner = owner[is_cut].view(-1, 1, 1).expand(-1, 4, 4)
        blocks = score(points.reshape(-1, 2)).view_as(owner)
    return settled.shares().view_as(scores)


class _Settled:
    """Masses that are not cut any more, and the cells of the lattice that they belong to."""

    def __init__(self, num_cells: int) -> None:
        self.num_cells = num_cells
        self.owners: list[Int64[Tensor, " part"]] = []
        self.log_masses: list[Float[Tensor, " part"]] = []

    def add(self, owner: Int64[Tensor, " part"], log_mass: Float[Tensor, " part"]) -> None:
        self.owners.append(owner)
        self.log_masses.append(log_mass)

    def log_total_with(self, log_mass: Float[Tensor, "*part"]) -> Float[Tensor, ""]:
        """Log of all mass, the given one included."""
        return torch.cat([*self.log_masses, log_mass.flatten()]).logsumexp(0)

    def shares(self) -> Float[Tensor, " cell"]:
        """Of each cell of the lattice, in the whole; they sum to one."""
        share = torch.cat(self.log_masses).softmax(0)
        return share.new_zeros(self.num_cells).index_add_(0, torch.cat(self.owners), share)


def _unevenness(blocks: Float[Tensor, "block row column"]) -> Float[Tensor, "block row column"]:
    """How much log p(x, z) may rise or fall within a cell: half its range over the cell and its neighbours.

    A peak between cells is seen by it, however narrow, as long as its slopes reach one of them.
    """
    near = F.pad(blocks.unsqueeze(1), (1, 1, 1, 1), mode="replicate")
    return 0.5 * (F.max_pool2d(near, 3, 1) + F.max_pool2d(-near, 3, 1)).squeeze(1)


def _foremost(urgency: Float[Tensor, "block row column"], most: int) -> Bool[Tensor, "block row column"]:
    """The cells to cut: those above zero, or the foremost of them where there are too many."""
    least = urgency.flatten().topk(min(most, urgency.numel())).values[-1]
    return (urgency > 0) & (urgency >= least)


def _cut(middles: Float[Tensor, "cell latent"], spacing: Float[Tensor, " latent"]) -> Float[Tensor, "cell 4 4 latent"]:
    """The middles of the 4 × 4 parts of each cell."""
    steps = (torch.arange(4, dtype=spacing.dtype, device=spacing.device) - 1.5) / 4
    return middles[:, None, None] + spacing * torch.cartesian_prod(steps, steps).flip(-1).view(4, 4, 2)


def _holding(mass: Float[Tensor, "second first"]) -> Bool[Tensor, "second first"]:
    """The fewest cells that hold HELD_SHARE of the mass."""
    share, order = mass.flatten().sort(descending=True)
    number = int((share.cumsum(0) < HELD_SHARE * share.sum()).sum()) + 1
    inside = torch.zeros_like(order, dtype=torch.bool)
    inside[order[:number]] = True
    return inside.view_as(mass)


def _first_and_last(inside: Bool[Tensor, " point"]) -> Int64[Tensor, "2"]:
    """The edges between which all that is inside lies, counted in cells."""
    places = inside.nonzero().flatten()
    return torch.stack([places[0], places[-1] + 1])


def _box_of(normal: Distribution) -> Float[Tensor, "2 n latent"]:
    """Lowest and highest corner of a box that a Gaussian is to be seen in."""
    reach = NORMAL_RADIUS * normal.variance.sqrt()
    return torch.stack([normal.mean - reach, normal.mean + reach]).double()


def _log_joint(
    model: VAE, example: Float[Tensor, "1 *event"], z: Float[Tensor, "point latent"]
) -> Float[Tensor, " point"]:
    return _log_joint_table(model, example, z)[0]


def _log_joint_table(
    model: VAE, x: Float[Tensor, "n *event"], z: Float[Tensor, "point latent"]
) -> Float[Tensor, "n point"]:
    return model.log_joint_table(x, z.to(x.dtype), DECODER_BATCH).double()


def _encoded(model: VAE, x: Float[Tensor, "n *event"]) -> Distribution:
    if model.latent_dim != 2:
        raise ConfigError(f"true posteriors are drawn in the plane of 2 latents, this model has {model.latent_dim}.")
    posterior = model.encode(x)
    if not isinstance(posterior, DiagonalNormal | FullNormal):
        raise ConfigError(
            f"the encoder's normal is drawn beside the true posterior, but this encoder has a "
            f"{type(posterior).__name__}; accepted: model.posterior 'diagonal-normal' and 'full-normal'."
        )
    return posterior

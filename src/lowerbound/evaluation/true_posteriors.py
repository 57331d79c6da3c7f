"""True posteriors p(z|x) of selected examples on adaptive grids, with the encoder's normal; for two latents.

    p(z|x) = p(z) p(x|z) / p(x)

is known up to its normaliser at every z that is decoded. The difficulty is where to decode: a posterior may be a
hundred times narrower than the prior, or have modes far apart. So a coarse lattice over the prior is scored first.
Cells that may contain mass and within which log p(x, z) is steep are divided into 4 × 4 and scored again until it is no
longer steep: a narrow mode then has the right mass even in a wide window, where it may be only a dot. The window is
shrunk to the region with mass and the Gaussians that must be visible, and the last lattice is the figure.
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

from lowerbound.evaluation.local_posteriors import check_has_local_family
from lowerbound.foundation.errors import ConfigError
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution

PRIOR_RADIUS = 6.0
"""Prior standard deviations that the first lattice covers on either side."""

NORMAL_RADIUS = 2.5
"""Standard deviations of a Gaussian that a window includes at least: its two-sigma ellipse and a margin."""

FIRST_POINTS, SEARCH_POINTS = 97, 33
"""Points along each axis of the first lattice (1/8 of a prior standard deviation apart), and of later ones."""

MAX_SEARCHES = 5
"""Maximum number of lattices until the window fits. Each can magnify thirtyfold."""

HELD_SHARE = 0.99
"""Share of the mass that a shrunk window includes. For a normal, 3 standard deviations; with the margin, 3.7."""

MARGIN = 0.1
"""Margin on each side, as a fraction of the window's width."""

FITTING_SHARE = 0.6
"""A window fits if the region with mass is wider than this fraction of it."""

TOLERANCE = 1e-3
"""Largest product of a cell's share of the mass and its unevenness in nats without division."""

MAX_CUTS = 6
"""Maximum number of times that a cell is divided, each time into 4 × 4."""

SEARCH_CELLS, PICTURE_CELLS = 64, 256
"""Maximum number of cells divided at a time: while searching for mass, and for the final figure."""

DECODER_BATCH = 64
"""Points decoded together: the fastest batch of a decoder on a CPU."""

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
    """Arrays of the figure `true_posterior` in float32, for a few examples (see `select_by_gap`) of any kind and a
    model with two latents.

    Names begin with `true_posterior_`: `axes` (n, latent, point), `density` (n, point of the second latent, point of
    the first; it sums to one over the grid's cells), `encoder_mean` (n latent) and `encoder_covariance` (n latent
    latent). With the best `local` normals of the same examples (`inference_gap.local_posteriors`) also their mean and
    covariance; with the evidence `gap` of each example, in nats, also `gap`.

    ConfigError for a deterministic autoencoder and for a number of latents other than two.
    """
    encoded = _encoded(model, x)
    normals = {"encoder": encoded} if local is None else {"encoder": encoded, "local": local}
    boxes = torch.stack([_box_of(normal) for normal in normals.values()])
    # Box that must be visible for each example, [example, lowest and highest, latent].
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
    """Select examples by evidence gap: those at the quartiles, which are typical, then the three with the largest gap.

    No example is selected twice, so there may be fewer than six.
    """
    order = gap.argsort().tolist()
    typical = [order[round(quartile * (len(order) - 1))] for quartile in (0.25, 0.5, 0.75)]
    return list(dict.fromkeys(typical + order[-3:]))


@dataclass(frozen=True, eq=False)
class _Window:
    """A box in the plane of the two latents, filled by a lattice of cells."""

    low: Float[Tensor, " latent"]
    high: Float[Tensor, " latent"]
    num_points: int

    @property
    def spacing(self) -> Float[Tensor, " latent"]:
        return (self.high - self.low) / self.num_points

    @property
    def axes(self) -> Float[Tensor, "latent point"]:
        """Midpoints of the cells along the first and the second latent."""
        middles = torch.arange(self.num_points, dtype=self.low.dtype, device=self.low.device) + 0.5
        return self.low[:, None] + self.spacing[:, None] * middles

    @property
    def points(self) -> Float[Tensor, "second first latent"]:
        """Midpoints of all cells; rows are along the second latent, columns along the first."""
        first, second = self.axes
        return torch.cartesian_prod(second, first).flip(-1).unflatten(0, (self.num_points, self.num_points))


@dataclass(frozen=True, eq=False)
class _Grid:
    """Share of the mass in each cell of a window."""

    window: _Window
    mass: Float[Tensor, "second first"]

    @property
    def density(self) -> Float[Tensor, "second first"]:
        return self.mass / self.window.spacing.prod()

    def fitted_window(self, seen: Float[Tensor, "2 latent"], num_points: int) -> _Window:
        """The box of the region with mass and of the box that must be visible, with a margin."""
        inside = _cells_with_mass(self.mass)
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
    """The grid of the fitting window, for each example."""
    prior = model.prior()
    centre, reach = prior.mean.double(), PRIOR_RADIUS * prior.variance.sqrt().double()
    # Wide enough for every encoder mean, even far outside of the prior.
    low = torch.minimum(centre - reach, seen[:, 0].amin(0))
    high = torch.maximum(centre + reach, seen[:, 1].amax(0))
    start = _Window(low, high, FIRST_POINTS)
    # Once for all examples, because most of the cost is decoding.
    table = _log_joint_table(model, x, start.points.flatten(0, 1)).unflatten(1, (FIRST_POINTS, FIRST_POINTS))
    grids = []
    for example, scores, point, box in zip(x.split(1), table, encoder_mean, seen, strict=True):
        score = partial(_log_joint, model, example)
        grids.append(_searched(score, _Grid(start, _mass(score, start, scores, SEARCH_CELLS, point)), box, num_points))
    return grids


def _searched(score: LogJoint, grid: _Grid, seen: Float[Tensor, "2 latent"], num_points: int) -> _Grid:
    """The grid of the fitting window, found by shrinking the window of the given grid."""
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
    """Share of the window's mass in each cell; cells that one point does not represent well are divided.

    The cell that contains `encoder_mean`, if given, is always divided.
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
        is_cut = _most_urgent(urgency, most_cut) if cut < MAX_CUTS else torch.zeros_like(urgency, dtype=torch.bool)
        settled.add(owner[~is_cut], log_mass[~is_cut])
        if not bool(is_cut.any()):
            break
        points, spacing = _cut(points[is_cut], spacing), spacing / 4
        owner = owner[is_cut].view(-1, 1, 1).expand(-1, 4, 4)
        blocks = score(points.reshape(-1, 2)).view_as(owner)
    return settled.shares().view_as(scores)


class _Settled:
    """Masses that need no further division, and the cells of the lattice that they belong to."""

    def __init__(self, num_cells: int) -> None:
        self.num_cells = num_cells
        self.owners: list[Int64[Tensor, " part"]] = []
        self.log_masses: list[Float[Tensor, " part"]] = []

    def add(self, owner: Int64[Tensor, " part"], log_mass: Float[Tensor, " part"]) -> None:
        self.owners.append(owner)
        self.log_masses.append(log_mass)

    def log_total_with(self, log_mass: Float[Tensor, "*part"]) -> Float[Tensor, ""]:
        """Log of the total mass, including the given one."""
        return torch.cat([*self.log_masses, log_mass.flatten()]).logsumexp(0)

    def shares(self) -> Float[Tensor, " cell"]:
        """Share of each cell of the lattice in the total mass; sums to one."""
        share = torch.cat(self.log_masses).softmax(0)
        return share.new_zeros(self.num_cells).index_add_(0, torch.cat(self.owners), share)


def _unevenness(blocks: Float[Tensor, "block row column"]) -> Float[Tensor, "block row column"]:
    """Estimated change of log p(x, z) within a cell: half its range over the cell and its neighbours.

    It detects a peak between cells, however narrow, as long as its slopes reach one of them.
    """
    near = F.pad(blocks.unsqueeze(1), (1, 1, 1, 1), mode="replicate")
    return 0.5 * (F.max_pool2d(near, 3, 1) + F.max_pool2d(-near, 3, 1)).squeeze(1)


def _most_urgent(urgency: Float[Tensor, "block row column"], most: int) -> Bool[Tensor, "block row column"]:
    """The cells to divide: those above zero, or the `most` most urgent ones."""
    least = urgency.flatten().topk(min(most, urgency.numel())).values[-1]
    return (urgency > 0) & (urgency >= least)


def _cut(middles: Float[Tensor, "cell latent"], spacing: Float[Tensor, " latent"]) -> Float[Tensor, "cell 4 4 latent"]:
    """Midpoints of the 4 × 4 parts of each cell."""
    steps = (torch.arange(4, dtype=spacing.dtype, device=spacing.device) - 1.5) / 4
    return middles[:, None, None] + spacing * torch.cartesian_prod(steps, steps).flip(-1).view(4, 4, 2)


def _cells_with_mass(mass: Float[Tensor, "second first"]) -> Bool[Tensor, "second first"]:
    """The smallest set of cells that contains HELD_SHARE of the mass."""
    share, order = mass.flatten().sort(descending=True)
    number = int((share.cumsum(0) < HELD_SHARE * share.sum()).sum()) + 1
    inside = torch.zeros_like(order, dtype=torch.bool)
    inside[order[:number]] = True
    return inside.view_as(mass)


def _first_and_last(inside: Bool[Tensor, " point"]) -> Int64[Tensor, "2"]:
    """The edges of the range that contains all true cells, counted in cells."""
    places = inside.nonzero().flatten()
    return torch.stack([places[0], places[-1] + 1])


def _box_of(normal: Distribution) -> Float[Tensor, "2 n latent"]:
    """Lowest and highest corner of the box in which a Gaussian must be visible."""
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
        raise ConfigError(f"true posteriors need a model with 2 latents, but this model has {model.latent_dim}.")
    posterior = model.encode(x)
    check_has_local_family(posterior, model.config.posterior, "pictures of true posteriors")
    return posterior

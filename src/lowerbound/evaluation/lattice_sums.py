"""Sums over one level of a quadrature lattice per image, bounds on cells, and selection of tiles to refine.

A tile is refined into its children: tiles of the next level, each of which covers a part of its cells. A child that
cannot contain relevant mass is settled: its sum on this level is final. The others are kept for the next level.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lowerbound.evaluation.lattice import Integrand, Table, Tiles, is_rim

SETTLED_SHARE = 1e-3
"""A cell is settled if its share of the image's mass can be at most this fraction of the tolerance."""

LEVEL_0_MARGIN = 15.0
"""Nats by which the threshold for settling is lower on level 0, where only the tails of a narrow mode may be visible.
Cells settled there, at most 1e-5 of the tolerance in total, are not even summed."""

LEAST = torch.finfo(torch.float64).min
"""Replaces -inf, the log of zero, where two of them would be subtracted."""


def log_negligible(level: int, tolerance: float) -> float:
    """Log of the largest share of an image's mass that a cell may contain without being refined."""
    return math.log(SETTLED_SHARE * min(tolerance, 1.0)) - (LEVEL_0_MARGIN if level == 0 else 0)


class LevelSums:
    """Running sums over one level for each image, as logs."""

    def __init__(
        self,
        settled: Float[Tensor, " batch"],
        settled_error: Float[Tensor, " batch"],
        integrand: Integrand,
        log_negligible: float,
    ) -> None:
        self.integrand = integrand
        self.log_negligible = log_negligible  # share of an image's mass
        # Mass of settled cells, of this and coarser levels, and its error; changed in place.
        self.settled, self.settled_error = settled, settled_error
        self.settled_before, self.total = settled.clone(), settled.clone()
        nothing = torch.full_like(settled, -math.inf)
        self.parts = nothing.repeat(2**integrand.num_latents, 1)  # sums over the lattices of twice the spacing
        self.peak = nothing.clone()  # mass of the heaviest cell
        self.ceiling = nothing.clone()  # upper limit of a cell's mass
        self.ceiling_at_mean = nothing.clone()  # the same, around the encoder's mean
        self.rim_likelihood = nothing.clone()  # largest likelihood on the rim of level 0
        self.num_decoded = self.num_evaluated = 0
        self.kept = _Kept()

    def sweep(self, tiles: Tiles) -> None:
        """Sum the tiles, and keep the children that may be heavy given the sums so far."""
        on_rim = is_rim(tiles.corner) if tiles.level == 0 else None
        self.num_decoded = len(tiles.corner) * len(self.integrand.offsets)
        for table in self.integrand.tables(tiles):
            self.num_evaluated += table.log_likelihood.numel()
            cells = _cells_of(self.integrand, tiles, table)
            _raise_to(self.peak, table.image, cells.peak)
            if on_rim is not None:
                self._note_rim(table, on_rim[table.tile])
                cells = cells.of((self._is_heavy(cells) | cells.holds_mean).any(-1))
            self._add(cells, cells.masses(), cells.errors() if tiles.level else None)

    def coarser(self) -> Float[Tensor, "part batch"]:
        """log p(x) by each of the lattices of twice the spacing that make up this one."""
        return torch.logaddexp(self.parts + math.log(len(self.parts)), self.settled_before)

    def refined(self, tiles: Tiles, wanted: Bool[Tensor, " batch"]) -> Tiles:
        """Tiles of the next level with the images that have mass there; the others are settled."""
        image = self.kept.take("image")
        split = (self.kept.take("ceiling") > self.total[image] + self.log_negligible) & wanted[image]
        for total, name in ((self.settled, "mass"), (self.settled_error, "error")):
            _add_exp(total, image[~split], self.kept.take(name)[~split])
        child, order = self.kept.take("child")[split].sort(stable=True)
        child, counts = child.unique_consecutive(return_counts=True)
        place = torch.arange(len(child), device=child.device)
        corner = tiles.children(child // tiles.num_children)[place, child % tiles.num_children]
        return Tiles(tiles.level + 1, corner, image[split][order], counts)

    def _note_rim(self, table: Table, is_on_rim: Bool[Tensor, " pair"]) -> None:
        likelihood = table.log_likelihood[is_on_rim].amax(-1).double()
        _raise_to(self.rim_likelihood, table.image[is_on_rim], likelihood)

    def _is_heavy(self, cells: "_Cells") -> Bool[Tensor, "pair child"]:
        """Whether the mass that a child may contain is relevant compared with the sum so far."""
        found = torch.maximum(self.total, self.peak)[cells.image]
        return cells.ceiling > (found + self.log_negligible).unsqueeze(-1)

    def _add(self, cells: "_Cells", masses: "_Masses", error: Float[Tensor, "pair child"] | None) -> None:
        """Add the cells of some tiles; keep the heavy children of each image, and settle the others."""
        _add_exp(self.total, cells.image, masses.of_child.logsumexp(-1))
        for total, mass in zip(self.parts, masses.of_part.unbind(-1), strict=True):
            _add_exp(total, cells.image, mass)
        _raise_to(self.ceiling, cells.image, cells.ceiling.amax(-1))
        at_mean = cells.ceiling.masked_fill(~cells.holds_mean, -math.inf).amax(-1)
        _raise_to(self.ceiling_at_mean, cells.image, at_mean)
        is_kept = self._is_heavy(cells) | cells.holds_mean
        error = torch.full_like(masses.of_child, -math.inf) if error is None else error
        for total, values in ((self.settled, masses.of_child), (self.settled_error, error)):
            _add_exp(total, cells.image, values.masked_fill(is_kept, -math.inf).logsumexp(-1))
        pair, number = is_kept.nonzero(as_tuple=True)
        self.kept.add(
            child=cells.tile[pair] * is_kept.shape[1] + number,
            image=cells.image[pair],
            mass=masses.of_child[is_kept],
            error=error[is_kept],
            ceiling=cells.ceiling.masked_fill(cells.holds_mean, math.inf)[is_kept],
        )


class _Kept:
    """Pairs of child tile and image that may be refined, stored by column."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Tensor]] = {}

    def add(self, **columns: Tensor) -> None:
        for name, column in columns.items():
            self.columns.setdefault(name, []).append(column)

    def take(self, name: str) -> Tensor:
        """Return a column and remove it, to avoid a second copy of all columns in memory."""
        return torch.cat(self.columns.pop(name))


@dataclass(frozen=True, eq=False)
class _Masses:
    """Log-masses on a tile, for each image."""

    of_child: Float[Tensor, "pair child"]
    of_part: Float[Tensor, "pair part"]  # by lattice of twice the spacing


@dataclass(frozen=True, eq=False)
class _Cells:
    """The cells of some tiles, for each pair of tile and image, as logs."""

    tile: Int64[Tensor, " pair"]
    image: Int64[Tensor, " pair"]
    mass: Float[Tensor, "pair *cells"]
    rise: Float[Tensor, "pair *cells"]  # largest rise towards a cell's edge
    peak: Float[Tensor, " pair"]  # mass of the heaviest cell
    ceiling: Float[Tensor, "pair child"]  # upper limit of the mass of a child's heaviest cell
    holds_mean: Bool[Tensor, "pair child"]  # whether the encoder's mean is in it or within a cell of it

    def of(self, chosen: Bool[Tensor, " pair"]) -> "_Cells":
        """The cells of the chosen pairs."""
        return _Cells(*(value[chosen] for value in vars(self).values()))

    def masses(self) -> _Masses:
        """Sums of the cells by child and by part."""
        peak = self.peak.unsqueeze(-1)
        share = (self.mass - peak.reshape(-1, *(1,) * (self.mass.ndim - 1))).exp()
        return _Masses(_by_child(share).sum(-1).log() + peak, _by_parity(share).sum(-1).log() + peak)

    def errors(self) -> Float[Tensor, "pair child"]:
        """Log of the mass that a child's cells may contain in addition to their sum."""
        return _by_child(self.mass + self.rise + _log_shortfall(self.rise)).logsumexp(-1)


def _cells_of(integrand: Integrand, tiles: Tiles, table: Table) -> _Cells:
    grid = table.log_likelihood + table.log_prior_mass
    peak, grid = grid.amax(-1), grid.unflatten(-1, (integrand.num_cells,) * integrand.num_latents)
    rise = _greatest_rise(grid)
    ceiling = _by_child(grid + rise).amax(-1)
    holds_mean = integrand.holds_encoded_mean(tiles.children(table.tile), tiles.level, table.image)
    return _Cells(table.tile, table.image, grid, rise, peak, ceiling, holds_mean)


def _by_child(grid: Float[Tensor, "pair *cells"]) -> Float[Tensor, "pair child cell"]:
    """The cells of a tile, grouped by the child tile that covers them."""
    num_latents, half = grid.ndim - 1, grid.shape[-1] // 2
    halves = grid.reshape(-1, *(2, half) * num_latents)
    halves = halves.permute(0, *range(1, 2 * num_latents, 2), *range(2, 2 * num_latents + 1, 2))
    return halves.reshape(len(grid), 2**num_latents, half**num_latents)


def _by_parity(grid: Float[Tensor, "pair *cells"]) -> Float[Tensor, "pair part cell"]:
    """The cells of a tile, grouped by lattice of twice the spacing."""
    num_latents, half = grid.ndim - 1, grid.shape[-1] // 2
    pairs = grid.reshape(-1, *(half, 2) * num_latents)
    pairs = pairs.permute(0, *range(2, 2 * num_latents + 1, 2), *range(1, 2 * num_latents, 2))
    return pairs.reshape(len(grid), 2**num_latents, half**num_latents)


def _greatest_rise(grid: Float[Tensor, "pair *cells"]) -> Float[Tensor, "pair *cells"]:
    """Estimated largest rise of a function from a cell's midpoint to its edge: half the steepest step to a neighbour.

    It detects a peak between two midpoints, however narrow, as long as its slopes reach a neighbour.
    """
    rise = torch.zeros_like(grid)
    for axis in range(1, grid.ndim):
        step, steepest = grid.diff(dim=axis).abs(), torch.zeros_like(grid)
        num_steps = step.shape[axis]
        steepest.narrow(axis, 0, num_steps).copy_(step)
        after = steepest.narrow(axis, 1, num_steps)
        torch.maximum(after, step, out=after)
        rise.add_(steepest, alpha=0.5)
    return rise


def _log_shortfall(rise: Float[Tensor, "pair *cells"]) -> Float[Tensor, "pair *cells"]:
    """Log of a cell's mass beyond that of its midpoint's density, as a share of its ceiling, for a linear log p(x, z).

    The integral of exp(R u) over [-1, 1] is sinh(R) / R times that of the value at the midpoint; this returns
    (sinh(R) / R - 1) exp(-R).
    """
    r = rise.clamp(min=1e-4)  # below it the result would be rounding error
    return (-torch.expm1(-2 * r) / (2 * r) - (-r).exp()).log()


def _add_exp(total: Float[Tensor, " batch"], index: Int64[Tensor, " n"], log_values: Float[Tensor, " n"]) -> None:
    """total[index] = log(exp(total[index]) + exp(log_values)) in place; an index may occur several times."""
    if not len(index):
        return
    first = int(index.min())
    touched, index = total[first : int(index.max()) + 1], index - first  # neighbouring images are contiguous
    greatest = touched.scatter_reduce(0, index, log_values, "amax").clamp(min=LEAST)
    summed = (touched - greatest).exp().index_add(0, index, (log_values - greatest[index]).exp())
    touched.copy_(greatest + summed.log())


def _raise_to(greatest: Float[Tensor, " batch"], index: Int64[Tensor, " n"], values: Float[Tensor, " n"]) -> None:
    greatest.scatter_reduce_(0, index, values, "amax")

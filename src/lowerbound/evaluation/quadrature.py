"""The exact evidence of models with one, two or three latent dimensions.

    log p(x) = log ∫ p(z) p(x|z) dz

is summed by the midpoint rule on nested lattices that all images share, so that a cell is decoded once for all of them.
A tile of level L is a cube 2^-L prior standard deviations wide, of 64 cells. Level 0 covers the prior, and every image
is scored on the whole of it, so that no mode is missed. Then, for each image, what holds no mass is settled as it
stands, and the rest is summed again by tiles of half the width, until halving the spacing changes log p(x) by less
than a tolerance.

What is halved for an image is halved wherever the image has mass: there the lattice is uniform, and on a uniform
lattice the midpoint rule converges exponentially fast for smooth integrands (Trefethen and Weideman, "The Exponentially
Convergent Trapezoidal Rule", 2014). For a normal posterior the error is 2 exp(-2π²) = 5e-9 nats in each dimension as
soon as the spacing is one standard deviation.

Sums are in float64. A model in float32 evaluates log p(x|z) of 784 pixels to about 1e-4 nats; tolerances below that ask
for a model in float64.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lowerbound.data.batches import scaled
from lowerbound.data.sources import Examples
from lowerbound.errors import ConfigError
from lowerbound.model import VAE
from lowerbound.probability.distributions import Distribution

CELLS_PER_AXIS = {1: 64, 2: 8, 3: 4}
"""Of a tile, for each number of latents: 64 cells in all, which a decoder takes at its fastest on a CPU."""

PRIOR_RADIUS = 7
"""Prior standard deviations that level 0 reaches on either side: 2.6e-12 of a normal lies outside."""

POSTERIOR_RADIUS = 6
"""Posterior standard deviations about every encoded mean that level 0 reaches, too."""

SETTLED_SHARE = 1e-3
"""A cell is settled where it can hold no more than this share of the tolerance, as a share of the image's mass."""

FAR_SIGHT = 15.0
"""Nats by which level 0 settles less: it sees a narrow mode from afar, at a fraction of its height."""

MAX_RISE = 0.5
"""Nats for each latent by which log p(x, z) may rise within the heaviest cell where the spacing counts as fine enough:
about what a normal does at a spacing of its standard deviation. Without it, two coarse sums might agree by chance."""

MAX_TILES = 30_000
MAX_PAIRS = 20_000_000
"""Tiles of a level, and pairs of a tile and an image: where a finer level would need more, the sums end with the errors
reached. Two million cells to decode, and half a gigabyte."""

PAIRS_PER_TABLE = 2048
"""Pairs of a tile and an image that are summed at once: a megabyte, which a processor keeps at hand."""

ENCODER_BATCH = 500

LEAST = torch.finfo(torch.float64).min
"""In place of -inf, the log of nothing, where two of them are subtracted."""


@dataclass(frozen=True, eq=False)
class QuadratureEvidence:
    """log p(x) of each image, with its errors, and what it took."""

    log_evidence: Float[Tensor, " batch"]  # nats
    discretisation_error: Float[Tensor, " batch"]  # nats: the change at the last halving of the spacing
    truncation_error: Float[Tensor, " batch"]  # nats missed if p(x|z) outside level 0 were its greatest value inside
    spacing: Float[Tensor, " batch"]  # of the last lattice, in prior standard deviations
    num_decoded: int  # cells
    num_evaluated: int  # pairs of a cell and an image


def exact_evidence(
    model: VAE, examples: Examples, tolerance: float = 1e-2, device: torch.device | str = "cpu"
) -> QuadratureEvidence:
    """log p(x) of every example, in nats; arguments as of `integrate`. Memory: about 20 KB an image of 28×28."""
    return integrate(model, scaled(examples).to(device), tolerance)


@torch.no_grad()
def integrate(model: VAE, x: Float[Tensor, "batch *event"], tolerance: float = 1e-2) -> QuadratureEvidence:
    """log p(x) in nats, exact to about `tolerance` nats, for any prior and likelihood.

    For grey pixels under a Bernoulli likelihood it is the grey evidence: log ∫ p(z) exp(E_b[log p(b|z)]) dz with
    b ~ Bernoulli(x), at least the ELBO and at most the mean log-evidence of the binarisations.

    Raises ConfigError for a deterministic autoencoder and for more than three latents.
    """
    _refuse(model, tolerance)
    integrand = _Integrand(model, x)
    tiles = integrand.covering_tiles()
    settled = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    result = _Outcome(integrand)
    while True:
        sums = _Sums(settled, _log_negligible(tiles.level, tolerance))
        _sweep(integrand, tiles, sums)
        result.record(tiles.level, sums, tolerance)
        tiles = sums.refined(tiles, ~result.is_done)
        if not len(tiles.corner) or len(tiles.corner) > MAX_TILES or tiles.num_pairs > MAX_PAIRS:
            return result.evidence()


@dataclass(frozen=True, eq=False)
class _Tiles:
    """Tiles of one level, and the images that are summed on each."""

    level: int
    corner: Int64[Tensor, "tile latent"]  # in tiles of the level, from the prior's mean
    images: Sequence[Tensor]  # their numbers on each tile, ascending

    @property
    def num_pairs(self) -> int:
        """Pairs of a tile and an image."""
        return sum(map(len, self.images))

    def children(self, tile: Int64[Tensor, " pair"]) -> Int64[Tensor, "pair child latent"]:
        """Corners of the tiles of the next level that cover each of these, in the order of `_by_child`."""
        num_latents = self.corner.shape[1]
        sides = torch.cartesian_prod(*[torch.arange(2, device=tile.device)] * num_latents).reshape(-1, num_latents)
        return 2 * self.corner[tile].unsqueeze(1) + sides


@dataclass(frozen=True, eq=False)
class _Table:
    """Pairs of a tile and an image."""

    tile: Int64[Tensor, " pair"]
    image: Int64[Tensor, " pair"]
    log_likelihood: Float[Tensor, "pair cell"]


class _Integrand:
    """log p(x, z) of all images on the cells of a tile."""

    def __init__(self, model: VAE, x: Float[Tensor, "batch *event"]) -> None:
        self.model, self.x = model, x
        # In float64 whatever the model's type: the mass outside is one minus the prior's mass inside.
        self.prior: Distribution = deepcopy(model.prior).double()()
        self.scale = self.prior.variance.sqrt()
        self.num_latents = model.latent_dim
        self.num_cells = CELLS_PER_AXIS[self.num_latents]
        middles = (torch.arange(self.num_cells, dtype=torch.float64, device=x.device) + 0.5) / self.num_cells
        self.offsets = torch.cartesian_prod(*[middles] * self.num_latents).reshape(-1, self.num_latents)
        self.encoded_mean, self.encoded_scale = self._encoded()

    def _encoded(self) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Means and standard deviations of q(z|x), in prior standard deviations from the prior's mean."""
        posteriors = [self.model.encode(x) for x in self.x.split(ENCODER_BATCH)]
        mean = torch.cat([posterior.mean for posterior in posteriors]).double()
        variance = torch.cat([posterior.variance for posterior in posteriors]).double()
        return (mean - self.prior.mean) / self.scale, variance.sqrt() / self.scale

    def covering_tiles(self) -> _Tiles:
        """Level 0, from the prior's mean outwards, with all images on each tile."""
        axes = [range(-PRIOR_RADIUS, PRIOR_RADIUS)] * self.num_latents
        corners = {corner for corner in itertools.product(*axes) if _nearest(corner) < PRIOR_RADIUS}
        # No posterior is wider than the prior for long; an encoder that says so must not make the lattice endless.
        reach = POSTERIOR_RADIUS * self.encoded_scale.clamp(max=1)
        low, high = (self.encoded_mean - reach).floor().long(), (self.encoded_mean + reach).floor().long()
        for first, last in torch.stack([low, high], 1).unique(dim=0).tolist():
            corners.update(itertools.product(*(range(a, b + 1) for a, b in zip(first, last, strict=True))))
        everyone = torch.arange(len(self.x), device=self.x.device)
        corner = torch.tensor(sorted(corners, key=_nearest), device=self.x.device)
        return _Tiles(0, corner, [everyone] * len(corner))

    def cells(self, tiles: _Tiles) -> tuple[Float[Tensor, "tile cell latent"], Float[Tensor, "tile cell"]]:
        """The cells' middles, and the log of the prior's mass in each."""
        z = self.prior.mean + self.scale * (tiles.corner.unsqueeze(1) + self.offsets) / 2**tiles.level
        log_volume = self.scale.log().sum() - self.num_latents * math.log(self.num_cells * 2**tiles.level)
        log_prior = self.prior.log_prob(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        return z, log_prior + log_volume

    def tables(self, tiles: _Tiles, z: Float[Tensor, "tile cell latent"]) -> Iterator[_Table]:
        """log p(x|z) of every image on the cells of its tiles, some thousand pairs at a time."""
        waiting: list[_Table] = []
        num_waiting = 0
        for tile, image in enumerate(tiles.images):
            x = self.x if len(image) == len(self.x) else self.x[image]
            log_likelihood = self.model.decode(z[tile].to(x.dtype)).log_prob_table(x)
            pairs = torch.full_like(image, tile), image, log_likelihood
            for parts in zip(*(part.split(PAIRS_PER_TABLE) for part in pairs), strict=True):
                waiting.append(_Table(*parts))
                num_waiting += len(parts[0])
                if num_waiting >= PAIRS_PER_TABLE or tile == len(tiles.images) - 1:
                    yield _Table(*_joined(waiting))
                    waiting, num_waiting = [], 0

    def holds_encoded_mean(
        self, children: Int64[Tensor, "pair child latent"], level: int, image: Int64[Tensor, " pair"]
    ) -> Bool[Tensor, "pair child"]:
        """Whether the encoder's mean lies in a child, or within a cell of it."""
        margin = 2 / self.num_cells
        within = self.encoded_mean[image].unsqueeze(1) * 2 ** (level + 1) - children
        return ((within > -margin) & (within < 1 + margin)).all(-1)


@dataclass(frozen=True, eq=False)
class _Kept:
    """Pairs of a child tile and an image that may have to be summed again."""

    child: Int64[Tensor, " pair"]  # its tile's number times the number of children, and its own number
    image: Int64[Tensor, " pair"]
    log_mass: Float[Tensor, " pair"]
    log_ceiling: Float[Tensor, " pair"]


class _Sums:
    """Running sums of one level, for each image; all are logs."""

    def __init__(self, settled: Float[Tensor, " batch"], log_negligible: float) -> None:
        self.log_negligible = log_negligible  # share of an image's mass
        self.settled = settled  # mass of cells that are not split, of this level and of coarser ones; changed in place
        self.total = settled.clone()
        self.peak = torch.full_like(settled, -math.inf)  # mass of the heaviest cell
        self.ceiling = torch.full_like(settled, -math.inf)  # what a cell's mass may be, at most
        self.greatest_likelihood = torch.full_like(settled, -math.inf)
        self.prior_mass = 0.0
        self.num_decoded = self.num_evaluated = 0
        self.kept: list[_Kept] = []

    def add(self, table: _Table, log_mass: Tensor, child_mass: Tensor, ceiling: Tensor) -> None:
        """Take in the cells of some tiles."""
        _add_exp(self.total, table.image, child_mass.logsumexp(-1))
        for greatest, values in (
            (self.peak, log_mass),
            (self.ceiling, ceiling),
            (self.greatest_likelihood, table.log_likelihood),
        ):
            greatest.scatter_reduce_(0, table.image, values.amax(-1).double(), "amax")
        self.num_evaluated += log_mass.numel()

    def keep(self, table: _Table, child_mass: Tensor, ceiling: Tensor) -> None:
        """Note the heavy children of the tiles, for each image, and settle the others."""
        heavy = self.is_heavy(table.image.unsqueeze(-1), ceiling)
        _add_exp(self.settled, table.image, child_mass.masked_fill(heavy, -math.inf).logsumexp(-1))
        pair, number = heavy.nonzero(as_tuple=True)
        child = table.tile[pair] * heavy.shape[1] + number
        self.kept.append(_Kept(child, table.image[pair], child_mass[heavy], ceiling[heavy]))

    def is_heavy(self, image: Int64[Tensor, " #*pair"], ceiling: Float[Tensor, " *pair"]) -> Bool[Tensor, " *pair"]:
        """Whether what may lie in a cell counts beside all that was found so far."""
        return ceiling > self.total[image] + self.log_negligible

    def refined(self, tiles: _Tiles, wanted: Bool[Tensor, " batch"]) -> _Tiles:
        """The next level's tiles, with the images that have mass there; the rest is settled."""
        kept = _Kept(*_joined(self.kept))
        split = self.is_heavy(kept.image, kept.log_ceiling) & wanted[kept.image]
        _add_exp(self.settled, kept.image[~split], kept.log_mass[~split])
        order = kept.child[split].argsort(stable=True)
        child, counts = kept.child[split][order].unique_consecutive(return_counts=True)
        num_children = 2 ** tiles.corner.shape[1]
        corner = tiles.children(child // num_children)[
            torch.arange(len(child), device=child.device), child % num_children
        ]
        return _Tiles(tiles.level + 1, corner, kept.image[split][order].split(counts.tolist()))


def _sweep(integrand: _Integrand, tiles: _Tiles, sums: _Sums) -> None:
    """Sum one level, and keep the children of its tiles that are heavy as far as is known."""
    z, log_prior_mass = integrand.cells(tiles)
    sums.prior_mass = float(log_prior_mass.exp().sum())
    sums.num_decoded = log_prior_mass.numel()
    for table in integrand.tables(tiles, z):
        log_mass = table.log_likelihood + log_prior_mass[table.tile]
        grid = log_mass.unflatten(-1, (integrand.num_cells,) * integrand.num_latents)
        child_mass = _by_child(grid).logsumexp(-1)
        ceiling = _by_child(grid + _greatest_rise(grid)).amax(-1)
        sums.add(table, log_mass, child_mass, ceiling)
        ceiling[integrand.holds_encoded_mean(tiles.children(table.tile), tiles.level, table.image)] = math.inf
        sums.keep(table, child_mass, ceiling)


def _joined(parts: Sequence[_Table] | Sequence[_Kept]) -> list[Tensor]:
    """The fields of all parts, each one after the other."""
    return [torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)]


def _add_exp(total: Float[Tensor, " batch"], index: Int64[Tensor, " n"], log_values: Float[Tensor, " n"]) -> None:
    """total[index] = log(exp(total[index]) + exp(log_values)) in place; an index may come several times."""
    greatest = total.scatter_reduce(0, index, log_values, "amax").clamp(min=LEAST)
    summed = (total - greatest).exp().index_add(0, index, (log_values - greatest[index]).exp())
    total.copy_(greatest + summed.log())


def _log_negligible(level: int, tolerance: float) -> float:
    """Log of the share of an image's mass that a cell may hold and not be split."""
    return math.log(SETTLED_SHARE * min(tolerance, 1.0)) - (FAR_SIGHT if level == 0 else 0)


def _nearest(corner: tuple[int, ...]) -> float:
    """Distance of a tile of level 0 from the prior's mean."""
    return math.hypot(*(max(p, -p - 1) for p in corner))


def _by_child(grid: Float[Tensor, "image *cells"]) -> Float[Tensor, "image child cell"]:
    """The cells of a tile, sorted by the child tile that covers them."""
    num_latents, half = grid.ndim - 1, grid.shape[-1] // 2
    halves = grid.reshape(-1, *(2, half) * num_latents)
    halves = halves.permute(0, *range(1, 2 * num_latents, 2), *range(2, 2 * num_latents + 1, 2))
    return halves.reshape(len(grid), 2**num_latents, half**num_latents)


def _greatest_rise(grid: Float[Tensor, "image *cells"]) -> Float[Tensor, "image *cells"]:
    """How much a function may rise from a cell's middle to its edge: half the steepest step to a neighbour.

    A peak between two middles is seen by it, however narrow the peak, as long as its slopes reach a neighbour.
    """
    rise = torch.zeros_like(grid)
    for axis in range(1, grid.ndim):
        step = grid.diff(dim=axis).abs()
        edge = torch.zeros_like(grid.narrow(axis, 0, 1))
        rise += 0.5 * torch.maximum(torch.cat([edge, step], axis), torch.cat([step, edge], axis))
    return rise


class _Outcome:
    """What is known of each image: its evidence by the finest lattice so far, and whether that was fine enough."""

    def __init__(self, integrand: _Integrand) -> None:
        self.num_latents, self.num_cells = integrand.num_latents, integrand.num_cells
        unknown = torch.full((len(integrand.x),), math.inf, dtype=torch.float64, device=integrand.x.device)
        self.log_evidence, self.change, self.spacing = unknown, unknown.clone(), unknown.clone()
        self.greatest_likelihood = -unknown
        self.is_done = torch.zeros_like(unknown, dtype=torch.bool)
        self.mass_outside = 0.0
        self.num_decoded = self.num_evaluated = 0

    def record(self, level: int, sums: _Sums, tolerance: float) -> None:
        """Take in one level."""
        if level == 0:
            # Rounding: a sum of tens of thousands of cells is one to about this much.
            self.mass_outside = max(1 - sums.prior_mass, 1e-15)
        change = (sums.total - self.log_evidence).abs()
        is_fine = (sums.ceiling - sums.peak < MAX_RISE * self.num_latents) & (change < tolerance)
        self.log_evidence = torch.where(self.is_done, self.log_evidence, sums.total)
        self.change = torch.where(self.is_done, self.change, change)
        self.spacing[~self.is_done] = 2.0**-level / self.num_cells
        self.greatest_likelihood = torch.maximum(self.greatest_likelihood, sums.greatest_likelihood)
        self.num_decoded += sums.num_decoded
        self.num_evaluated += sums.num_evaluated
        self.is_done |= is_fine

    def evidence(self) -> QuadratureEvidence:
        """The outcome, with its errors."""
        missed = self.mass_outside * (self.greatest_likelihood - self.log_evidence).exp()
        return QuadratureEvidence(
            log_evidence=self.log_evidence.cpu(),
            discretisation_error=self.change.cpu(),
            truncation_error=missed.log1p().cpu(),
            spacing=self.spacing.cpu(),
            num_decoded=self.num_decoded,
            num_evaluated=self.num_evaluated,
        )


def _refuse(model: VAE, tolerance: float) -> None:
    if model.is_deterministic:
        raise ConfigError(
            "a deterministic autoencoder has no evidence: its code is a point, and nothing fits a density p(z) to the "
            "codes; train with posterior 'diagonal-normal'."
        )
    if model.latent_dim not in CELLS_PER_AXIS:
        raise ConfigError(
            f"quadrature needs 1 to 3 latents, got {model.latent_dim}: its cost grows as cells per axis to that power; "
            "use importance-weighted bounds or annealed importance sampling."
        )
    if not tolerance > 0:
        raise ConfigError(f"tolerance needs a positive number of nats, got {tolerance:g}.")

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
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field

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

IMAGES_PER_TABLE = 1024
ENCODER_BATCH = 500

Position = tuple[int, ...]
"""Of a tile, in tiles of its level from the prior's mean."""


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
    """log p(x) of every example, in nats; the arguments are those of `integrate`. Memory: 4 KB an image of 28×28."""
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
    for level in itertools.count():
        sums = _Sums(settled, _log_negligible(level, tolerance))
        _sweep(integrand, level, tiles, sums)
        result.record(level, sums, tolerance)
        tiles = sums.refined(~result.is_done)
        if not tiles or len(tiles) > MAX_TILES or sum(map(len, tiles.values())) > MAX_PAIRS:
            break
    return result.evidence()


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

    def covering_tiles(self) -> dict[Position, Int64[Tensor, " image"]]:
        """Level 0, from the prior's mean outwards, with all images on each tile."""
        axes = [range(-PRIOR_RADIUS, PRIOR_RADIUS)] * self.num_latents
        positions = {tile for tile in itertools.product(*axes) if _nearest(tile) < PRIOR_RADIUS}
        # No posterior is wider than the prior for long; an encoder that says so must not make the lattice endless.
        reach = POSTERIOR_RADIUS * self.encoded_scale.clamp(max=1)
        low, high = (self.encoded_mean - reach).floor().long(), (self.encoded_mean + reach).floor().long()
        for first, last in torch.stack([low, high], 1).unique(dim=0).tolist():
            positions.update(itertools.product(*(range(a, b + 1) for a, b in zip(first, last, strict=True))))
        everyone = torch.arange(len(self.x), device=self.x.device)
        return dict.fromkeys(sorted(positions, key=_nearest), everyone)

    def cells(self, tile: Position, level: int) -> tuple[Distribution, Float[Tensor, " cell"]]:
        """p(x|z) on the cells of a tile, and the log of the prior's mass in each."""
        corner = torch.tensor(tile, dtype=torch.float64, device=self.x.device)
        z = self.prior.mean + self.scale * (corner + self.offsets) / 2**level
        log_volume = self.scale.log().sum() - self.num_latents * math.log(self.num_cells * 2**level)
        return self.model.decode(z.to(self.x.dtype)), self.prior.log_prob(z) + log_volume

    def holds_encoded_mean(
        self, children: list[Position], level: int, images: Int64[Tensor, " image"]
    ) -> Bool[Tensor, "image child"]:
        """Whether the encoder's mean lies in a child, or within a cell of it."""
        corners = torch.tensor(children, dtype=torch.float64, device=self.x.device)
        margin = 2 / self.num_cells
        within = self.encoded_mean[images].unsqueeze(1) * 2 ** (level + 1) - corners
        return ((within > -margin) & (within < 1 + margin)).all(-1)


@dataclass(eq=False)
class _Kept:
    """Images that a child tile may have to be summed again for."""

    images: list[Int64[Tensor, " image"]] = field(default_factory=list)
    log_mass: list[Float[Tensor, " image"]] = field(default_factory=list)
    log_ceiling: list[Float[Tensor, " image"]] = field(default_factory=list)


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
        self.kept: dict[Position, _Kept] = {}

    def add(self, images: Int64[Tensor, " image"], log_mass: Tensor, ceiling: Tensor, log_likelihood: Tensor) -> None:
        """Take in the cells of one tile."""
        self.total[images] = torch.logaddexp(self.total[images], log_mass.logsumexp(-1))
        self.peak[images] = torch.maximum(self.peak[images], log_mass.amax(-1))
        self.ceiling[images] = torch.maximum(self.ceiling[images], ceiling.amax(-1))
        greatest = torch.maximum(self.greatest_likelihood[images], log_likelihood.amax(-1))
        self.greatest_likelihood[images] = greatest
        self.num_evaluated += log_mass.numel()

    def settle(self, images: Int64[Tensor, " image"], log_mass: Float[Tensor, " image"]) -> None:
        """Leave the mass of some cells as it stands."""
        self.settled[images] = torch.logaddexp(self.settled[images], log_mass)

    def is_heavy(self, images: Int64[Tensor, " image"], ceiling: Tensor) -> Bool[Tensor, "image *child"]:
        """Whether what may lie in a cell counts beside all that was found so far."""
        least = self.total[images] + self.log_negligible
        return ceiling > least.reshape(-1, *[1] * (ceiling.ndim - 1))

    def refined(self, wanted: Bool[Tensor, " batch"]) -> dict[Position, Int64[Tensor, " image"]]:
        """The next level's tiles, with the images that have mass there; the rest is settled."""
        tiles = {}
        for child, kept in self.kept.items():
            images, log_mass, ceiling = (torch.cat(parts) for parts in vars(kept).values())
            split = self.is_heavy(images, ceiling) & wanted[images]
            self.settle(images[~split], log_mass[~split])
            if bool(split.any()):
                tiles[child] = images[split]
        return tiles


def _sweep(integrand: _Integrand, level: int, tiles: dict[Position, Int64[Tensor, " image"]], sums: _Sums) -> None:
    """Sum one level, and keep the children of its tiles that are heavy as far as is known."""
    for tile, all_images in tiles.items():
        likelihood, log_prior_mass = integrand.cells(tile, level)
        sums.prior_mass += float(log_prior_mass.exp().sum())
        sums.num_decoded += len(log_prior_mass)
        children = [tuple(2 * p + s for p, s in zip(tile, side, strict=True)) for side in _sides(len(tile))]
        for images in all_images.split(IMAGES_PER_TABLE):
            log_likelihood = likelihood.log_prob_table(integrand.x[images]).double()
            log_mass = log_likelihood + log_prior_mass
            grid = log_mass.unflatten(-1, (integrand.num_cells,) * integrand.num_latents)
            ceiling = _by_child(grid + _greatest_rise(grid)).amax(-1)
            sums.add(images, log_mass, ceiling, log_likelihood)
            ceiling[integrand.holds_encoded_mean(children, level, images)] = math.inf
            _keep(sums, children, images, _by_child(grid).logsumexp(-1), ceiling)


def _keep(sums: _Sums, children: list[Position], images: Tensor, log_mass: Tensor, ceiling: Tensor) -> None:
    """Note the heavy children of a tile, for each image, and settle the others."""
    heavy = sums.is_heavy(images, ceiling)
    sums.settle(images, log_mass.masked_fill(heavy, -math.inf).logsumexp(-1))
    for number in heavy.any(0).nonzero().flatten().tolist():
        wanted = heavy[:, number]
        kept = sums.kept.setdefault(children[number], _Kept())
        kept.images.append(images[wanted])
        kept.log_mass.append(log_mass[wanted, number])
        kept.log_ceiling.append(ceiling[wanted, number])


def _log_negligible(level: int, tolerance: float) -> float:
    """Log of the share of an image's mass that a cell may hold and not be split."""
    return math.log(SETTLED_SHARE * min(tolerance, 1.0)) - (FAR_SIGHT if level == 0 else 0)


def _nearest(tile: Position) -> float:
    """Distance of a tile of level 0 from the prior's mean."""
    return math.hypot(*(max(p, -p - 1) for p in tile))


def _sides(num_latents: int) -> Iterator[Position]:
    """Where the children of a tile lie in it, in the order of `_by_child`."""
    return itertools.product((0, 1), repeat=num_latents)


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

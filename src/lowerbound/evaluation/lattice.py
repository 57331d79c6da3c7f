"""Lattices for quadrature: tiles of cells in latent space, log p(x|z) and prior mass of many images on them.

A tile of level L is a cube of 64 cells, 2^-L prior standard deviations wide. All images share the lattice, so that each
cell is decoded only once. Level 0 covers the prior and a neighbourhood of every encoder mean.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution

MAX_LATENTS = 3
"""Maximum number of latents for quadrature: the cost grows as cells per axis to that power."""

CELLS_PER_AXIS = {1: 64, 2: 8, 3: 4}
"""Cells of a tile along each axis, by number of latents: 64 cells in total, the fastest batch of a decoder on a CPU."""

PRIOR_RADIUS = 7
"""Prior standard deviations that level 0 covers on either side: 2.6e-12 of a normal's mass lies outside."""

POSTERIOR_RADIUS = 6
"""Posterior standard deviations that level 0 also covers around every encoder mean."""

PAIRS_PER_TABLE = 2048
"""Pairs of tile and image summed at once: a megabyte, which fits into a processor's cache."""

VALUES_AT_ONCE = 2**16
"""Values decoded together for tiles with one image each: the call of a small decoder costs more than its work."""

TILES_AT_ONCE = 4096
"""Tiles whose cells are computed together: a few megabytes."""

ENCODER_BATCH = 100


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles of one level, with the images that are summed on each."""

    level: int
    corner: Int64[Tensor, "tile latent"]  # in units of the level's tiles, relative to the prior's mean
    image: Int64[Tensor, " pair"]  # index of the image, grouped by tile; ascending within each tile
    num_images: Int64[Tensor, " tile"]

    @property
    def num_children(self) -> int:
        """Number of tiles of the next level that cover a tile."""
        return int(2 ** self.corner.shape[1])

    def children(self, tile: Int64[Tensor, " pair"]) -> Int64[Tensor, "pair child latent"]:
        """Corners of the tiles of the next level that cover each given tile, in the order of its cells."""
        num_latents = self.corner.shape[1]
        sides = torch.cartesian_prod(*[torch.arange(2, device=tile.device)] * num_latents).reshape(-1, num_latents)
        return 2 * self.corner[tile].unsqueeze(1) + sides

    def pairs_of_each(self, num_images: int) -> Int64[Tensor, " batch"]:
        """Number of tiles on which each of all `num_images` images is summed."""
        return self.image.bincount(minlength=num_images)

    def of(self, chosen: Bool[Tensor, " batch"]) -> "Tiles":
        """The tiles of only the chosen images."""
        is_kept = chosen[self.image]
        tile = torch.arange(len(self.corner), device=self.image.device).repeat_interleave(self.num_images)
        num_images = tile[is_kept].bincount(minlength=len(self.corner))
        is_used = num_images > 0
        return Tiles(self.level, self.corner[is_used], self.image[is_kept], num_images[is_used])


@dataclass(frozen=True, eq=False)
class Table:
    """Log-likelihoods and prior masses of the cells, for pairs of tile and image."""

    tile: Int64[Tensor, " pair"]
    image: Int64[Tensor, " pair"]
    log_likelihood: Float[Tensor, "pair cell"]
    log_prior_mass: Float[Tensor, "pair cell"]


class Integrand:
    """log p(x, z) of all images on the cells of a tile; images are sorted along the first latent.

    Neighbouring images share cells, so a contiguous part of them shares nearly as many as all images do.
    """

    def __init__(self, model: VAE, x: Float[Tensor, "batch *event"]) -> None:
        self.model = model
        # Always in float64: the mass outside is computed as one minus the prior's mass inside.
        self.prior: Distribution = deepcopy(model.prior.standalone()).double()()
        self.scale = self.prior.variance.sqrt()
        self.num_latents = model.latent_dim
        self.num_cells = CELLS_PER_AXIS[self.num_latents]
        middles = (torch.arange(self.num_cells, dtype=torch.float64, device=x.device) + 0.5) / self.num_cells
        self.offsets = torch.cartesian_prod(*[middles] * self.num_latents).reshape(-1, self.num_latents)
        mean, scale, log_joint = self._encoded(x)
        self.order = mean[:, 0].argsort(stable=True)
        self.x, self.encoded_mean, self.encoded_scale = x[self.order], mean[self.order], scale[self.order]
        self.log_joint_at_mean = log_joint[self.order]

    def _encoded(self, x: Float[Tensor, "batch *event"]) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and standard deviation of q(z|x), [batch, latent], in prior standard deviations relative to the prior's
        mean; and log p(x, z) at the mean, [batch].
        """
        parts = []
        for part in x.split(ENCODER_BATCH):
            posterior = self.model.encode(part)
            mean = posterior.mean.double()
            log_joint = self.model.decode(posterior.mean).log_prob(part).double() + self.prior.log_prob(mean)
            scale = posterior.variance.double().sqrt() / self.scale
            parts.append(((mean - self.prior.mean) / self.scale, scale, log_joint))
        mean, scale, log_joint = (torch.cat(columns) for columns in zip(*parts, strict=True))
        return mean, scale, log_joint

    def log_cell_volume(self, level: int) -> float:
        """Log of a cell's volume in z."""
        return float(self.scale.log().sum()) - self.num_latents * math.log(self.num_cells * 2**level)

    def covering_corners(self, images: Int64[Tensor, " image"]) -> Int64[Tensor, "tile latent"]:
        """Corners of the tiles of level 0, ordered from the prior's mean outwards."""
        axes = [range(-PRIOR_RADIUS, PRIOR_RADIUS)] * self.num_latents
        corners = {corner for corner in itertools.product(*axes) if _nearest(corner) < PRIOR_RADIUS}
        # Posteriors are hardly ever wider than the prior; the clamp keeps the lattice small for a bad encoder.
        reach = POSTERIOR_RADIUS * self.encoded_scale[images].clamp(max=1)
        mean = self.encoded_mean[images]
        low, high = (mean - reach).floor().long(), (mean + reach).floor().long()
        for first, last in torch.stack([low, high], 1).unique(dim=0).tolist():
            corners.update(itertools.product(*(range(a, b + 1) for a, b in zip(first, last, strict=True))))
        return torch.tensor(sorted(corners, key=_nearest), device=self.x.device)

    def tables(self, tiles: Tiles) -> Iterator[Table]:
        """log p(x|z) of every image on the cells of its tiles, and the prior's mass in them, in batches of about
        PAIRS_PER_TABLE pairs.
        """
        first = tiles.num_images.cumsum(0) - tiles.num_images  # index of each tile's first image
        waiting: list[Table] = []
        num_waiting = 0
        for pairs in self._scored(tiles, first):
            for parts in zip(*(part.split(PAIRS_PER_TABLE) for part in pairs), strict=True):
                waiting.append(Table(*parts))
                num_waiting += len(parts[0])
                if num_waiting >= PAIRS_PER_TABLE:
                    yield Table(*_joined(waiting))
                    waiting, num_waiting = [], 0
        if waiting:
            yield Table(*_joined(waiting))

    def _scored(self, tiles: Tiles, first: Int64[Tensor, " tile"]) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Columns of tables: first batches of tiles with one image each, then every other tile with all its images."""
        values = self.offsets.shape[0] * math.prod(self.model.likelihood.raw_shape)
        at_once = min(TILES_AT_ONCE, VALUES_AT_ONCE // values)
        is_alone = tiles.num_images == 1 if at_once > 1 else torch.zeros_like(tiles.num_images, dtype=torch.bool)
        for tile in _some(is_alone, at_once):
            z, log_prior_mass = self._cells(tiles, tile)
            image = tiles.image[first[tile]]
            x = self.x[image].unsqueeze(1)
            yield tile, image, self.model.decode(z.to(x.dtype)).log_prob(x), log_prior_mass
        for block in _some(~is_alone, TILES_AT_ONCE):
            z, log_prior_mass = self._cells(tiles, block)
            counts, starts = tiles.num_images[block].tolist(), first[block].tolist()
            for place, (count, start) in enumerate(zip(counts, starts, strict=True)):
                image = tiles.image[start : start + count]
                x = self._examples(image)
                log_likelihood = self.model.decode(z[place].to(x.dtype)).log_prob_table(x)
                yield block[place].expand(count), image, log_likelihood, log_prior_mass[place].expand(count, -1)

    def _examples(self, image: Int64[Tensor, " image"]) -> Float[Tensor, "image *event"]:
        first, last = int(image[0]), int(image[-1])
        is_range = last - first + 1 == len(image)  # a slice needs no copy
        return self.x[first : last + 1] if is_range else self.x[image]

    def _cells(
        self, tiles: Tiles, tile: Int64[Tensor, " tile"]
    ) -> tuple[Float[Tensor, "tile cell latent"], Float[Tensor, "tile cell"]]:
        """Midpoints of the cells, and the log of the prior's mass in each."""
        z = self.prior.mean + self.scale * (tiles.corner[tile].unsqueeze(1) + self.offsets) / 2**tiles.level
        log_prior = self.prior.log_prob(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        return z, log_prior + self.log_cell_volume(tiles.level)

    def prior_mass(self, tiles: Tiles) -> float:
        """Mass of the prior on these tiles."""
        blocks = torch.arange(len(tiles.corner), device=self.x.device).split(TILES_AT_ONCE)
        return sum(float(self._cells(tiles, tile)[1].exp().sum()) for tile in blocks)

    def holds_encoded_mean(
        self, children: Int64[Tensor, "pair child latent"], level: int, image: Int64[Tensor, " pair"]
    ) -> Bool[Tensor, "pair child"]:
        """Whether the encoder's mean lies in a child, or within a cell of it."""
        margin = 2 / self.num_cells
        within = self.encoded_mean[image].unsqueeze(1) * 2 ** (level + 1) - children
        return ((within > -margin) & (within < 1 + margin)).all(-1)


def _some(chosen: Bool[Tensor, " tile"], number: int) -> Iterator[Int64[Tensor, " chosen"]]:
    """Indices of the chosen tiles, in batches of at most `number`."""
    return (part for part in chosen.nonzero().flatten().split(max(1, number)) if len(part))


def _joined(parts: Sequence[Table]) -> list[Tensor]:
    """The columns of all parts, concatenated."""
    if len(parts) == 1:
        return list(vars(parts[0]).values())
    return [torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)]


def is_rim(corner: Int64[Tensor, "tile latent"]) -> Bool[Tensor, " tile"]:
    """Whether a tile has a neighbour that is not among these tiles."""
    places = corner.tolist()
    present = {tuple(place) for place in places}
    neighbours = (itertools.product(*((at - 1, at, at + 1) for at in place)) for place in places)
    return torch.tensor([not present.issuperset(near) for near in neighbours], device=corner.device)


def _nearest(corner: tuple[int, ...]) -> float:
    """Distance of a tile of level 0 from the prior's mean."""
    return math.hypot(*(max(p, -p - 1) for p in corner))

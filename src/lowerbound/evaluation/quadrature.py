"""Quadrature: exact evidence log p(x) for up to three latents, with error bounds, convergence and tile budget.

    log p(x) = log ∫ p(z) p(x|z) dz

is summed by the midpoint rule on the nested lattices of `lattice.py`. Every image is first scored on all of level 0.
Then, for each image, tiles without relevant mass are settled, and the others are summed again with tiles of half the
width, until halving the spacing changes log p(x) by less than a tolerance. Images converge one by one.

The spacing of an image is halved wherever the image has mass: there the lattice is uniform, and on a uniform lattice
the midpoint rule converges exponentially fast for smooth integrands (Trefethen and Weideman, "The Exponentially
Convergent Trapezoidal Rule", 2014). For a normal posterior the error is 2 exp(-2π²) = 5e-9 nats in each dimension as
soon as the spacing is one standard deviation.

**The reported discretisation error** is half the error of twice the spacing, which is much larger than the true one:
half the largest deviation from log p(x) among the previous lattice and the 2^d lattices of twice the spacing that make
up the last one. These have their points in different places, so they do not all agree with the sum by chance. The mass
that settled cells may contain beyond their sums is added.

**Which modes are found.** A mode narrower than the spacing is detected by its slopes: log p(x, z) is extrapolated from
each cell's neighbours to its edge, and a cell is refined if it may then contain mass. For a log-density that is
concave around the mode this suffices, however narrow the mode is. A mode whose slopes reach no point of level 0 is
found if the encoder's mean lies on them: the cells around it are always refined, and no image converges before the
lattice agrees with log p(x, z) at that mean. A mode that neither indicates is missed.

Sums are in float64. A model in float32 evaluates log p(x|z) of 784 pixels to about 1e-4 nats; smaller tolerances need a
model in float64.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lowerbound.data.batches import context_of_all, scaled
from lowerbound.data.sources import Examples
from lowerbound.evaluation.lattice import CELLS_PER_AXIS, Integrand, Tiles
from lowerbound.evaluation.lattice_sums import LevelSums, log_negligible
from lowerbound.evaluation.over_ranks import over_ranks
from lowerbound.foundation.errors import ConfigError
from lowerbound.models.vae import VAE

TOLERANCE = 1e-2
"""Nats within which the evidence of an image is called exact."""

MAX_RISE = 0.5
"""Largest rise of log p(x, z) within the heaviest cell, in nats per latent, for a spacing to count as fine enough:
about that of a normal at a spacing of its standard deviation. Without it, two coarse sums might agree by chance."""

MAX_TILES, TILES_PER_AXIS = 30_000, 8
"""The budget of tiles of a level: MAX_TILES, plus TILES_PER_AXIS to the power of the number of latents for each image
that has not converged. Images that need the most tiles stop first, with the errors reached. A narrow mode takes two or
three tiles along each axis."""

MAX_LEVEL = 40
"""Deepest level; spacings below 1e-13 prior standard deviations are lost to rounding."""

MAX_PAIRS = 2**23
"""Pairs of child tile and image kept at once: 320 MiB. Images are integrated in groups with fewer pairs."""

MAX_VALUES = 2**25
"""Values of examples in memory as floats: 128 MiB, and as much again sorted by their codes."""


@dataclass(frozen=True, eq=False)
class QuadratureEvidence:
    """log p(x) of each image, with its error bounds and cost."""

    log_evidence: Float[Tensor, " batch"]  # nats
    discretisation_error: Float[Tensor, " batch"]  # nats, upper bound; infinite if only level 0 was summed
    truncation_error: Float[Tensor, " batch"]  # nats missed if p(x|z) outside level 0 had its largest value on the rim
    spacing: Float[Tensor, " batch"]  # of the last lattice, in prior standard deviations
    has_converged: Bool[Tensor, " batch"]  # both errors are within the tolerance
    num_decoded: int  # cells
    num_evaluated: int  # pairs of a cell and an image
    tolerance: float  # nats

    @property
    def num_not_converged(self) -> int:
        """Images whose evidence is not exact to the tolerance."""
        return int((~self.has_converged).sum())

    @property
    def shortfall(self) -> str:
        """How many images have not converged, as text."""
        number, total = self.num_not_converged, len(self.has_converged)
        return f"{number:,} of {total:,} examples have not converged to {self.tolerance:g} nats within the budget"


def exact_evidence(
    model: VAE, examples: Examples, tolerance: float = TOLERANCE, device: torch.device | str = "cpu"
) -> QuadratureEvidence:
    """log p(x) of every example, in nats, and whether it is exact within the tolerance; arguments as for `integrate`.

    Memory beyond that of the model and the stored examples is at most 1 GiB, for any likelihood.
    """
    *columns, decoded, evaluated = over_ranks(examples, lambda some: _columns(_exact(model, some, tolerance, device)))
    evidence, discretisation, truncation, spacing, has_converged = columns
    numbers = int(decoded.sum()), int(evaluated.sum())
    return QuadratureEvidence(
        evidence, discretisation, truncation, spacing, has_converged, *numbers, tolerance=tolerance
    )


def _columns(found: QuadratureEvidence) -> tuple[Tensor, ...]:
    numbers = (torch.tensor([number]) for number in (found.num_decoded, found.num_evaluated))
    return (
        found.log_evidence,
        found.discretisation_error,
        found.truncation_error,
        found.spacing,
        found.has_converged,
        *numbers,
    )


def _exact(model: VAE, examples: Examples, tolerance: float, device: torch.device | str) -> QuadratureEvidence:
    if model.takes_context:
        return _exact_given(model, examples, tolerance, device)
    if examples.is_redrawn:  # pixels are drawn by `scaled`, for all examples at once
        return integrate(model, scaled(examples).to(device), tolerance)
    at_once = max(1, MAX_VALUES // math.prod(examples.event_shape))
    parts = np.array_split(np.arange(len(examples)), max(1, math.ceil(len(examples) / at_once)))
    found = [integrate(model, scaled(examples.subset(part)).to(device), tolerance) for part in parts]
    return found[0] if len(found) == 1 else _merged(found)


def _exact_given(model: VAE, examples: Examples, tolerance: float, device: torch.device | str) -> QuadratureEvidence:
    """log p(x|y): the examples of each context together, because they share the integrand's decoded cells."""
    context = context_of_all(examples, device)
    assert context is not None
    own, which = context.unique(dim=0, return_inverse=True)
    groups = [(which == number).nonzero().flatten().cpu() for number in range(len(own))]
    x = scaled(examples) if examples.is_redrawn else None
    found = []
    for rows, one in zip(groups, own.split(1), strict=True):
        some = scaled(examples.subset(rows.numpy())) if x is None else x[rows]
        found.append(integrate(model.given_one(one), some.to(device), tolerance))
    merged, order = _merged(found), torch.cat(groups).argsort()
    return replace(
        merged,
        log_evidence=merged.log_evidence[order],
        discretisation_error=merged.discretisation_error[order],
        truncation_error=merged.truncation_error[order],
        spacing=merged.spacing[order],
        has_converged=merged.has_converged[order],
    )


@torch.no_grad()
def integrate(model: VAE, x: Float[Tensor, "batch *event"], tolerance: float = TOLERANCE) -> QuadratureEvidence:
    """log p(x) in nats, exact within `tolerance` nats where `has_converged`, for any prior and likelihood.

    For grey pixels under a Bernoulli likelihood this is the grey log-evidence: log ∫ p(z) exp(E_b[log p(b|z)]) dz with
    b ~ Bernoulli(x), at least the ELBO and at most the mean log-evidence of the binarisations.

    ConfigError for a deterministic autoencoder and for more than three latents.
    """
    _refuse(model, tolerance)
    integrand = Integrand(model, x)
    outcome = _Outcome(integrand, tolerance)
    for tiles in _groups(integrand, torch.arange(len(x), device=x.device)):
        outcome.add_truncation(tiles)
        _refine(integrand, tiles, outcome)
    return outcome.evidence()


def _groups(integrand: Integrand, images: Int64[Tensor, " image"]) -> Iterator[Tiles]:
    """Groups of neighbouring images: for each, the tiles of level 0 with all images of the group on every tile."""
    corner = integrand.covering_corners(images)
    if len(images) > 1 and len(images) * len(corner) * 2**integrand.num_latents > MAX_PAIRS:
        for half in images.chunk(2):
            yield from _groups(integrand, half)
    elif len(images):
        yield Tiles(0, corner, images.repeat(len(corner)), torch.full_like(corner[:, 0], len(images)))


def _refine(integrand: Integrand, tiles: Tiles, outcome: "_Outcome") -> None:
    """Sum these tiles, then finer ones, until each image has converged or exceeds the budget."""
    while len(tiles.corner):
        images = tiles.pairs_of_each(len(integrand.x)).nonzero().flatten()
        if len(images) > 1 and len(tiles.image) * tiles.num_children > MAX_PAIRS and tiles.level:
            for half in images.chunk(2):
                _refine(integrand, tiles.of(outcome.among(half)), outcome)
            return
        sums = LevelSums(
            outcome.settled, outcome.settled_error, integrand, log_negligible(tiles.level, outcome.tolerance)
        )
        sums.sweep(tiles)
        outcome.record(tiles.level, images, sums)
        tiles = _affordable(sums.refined(tiles, ~outcome.is_done), len(integrand.x))


def _affordable(tiles: Tiles, num_images: int) -> Tiles:
    """The tiles of the images within the budget: all images, or those that need the fewest tiles."""
    pairs = tiles.pairs_of_each(num_images)
    allowance = TILES_PER_AXIS ** tiles.corner.shape[1]
    if tiles.level > MAX_LEVEL:
        return tiles.of(torch.zeros_like(pairs, dtype=torch.bool))
    if len(tiles.corner) <= MAX_TILES + allowance * int((pairs > 0).sum()):
        return tiles
    beyond_allowance, fewest_first = torch.where(pairs > 0, pairs - allowance, 0).sort(stable=True)
    is_covered = beyond_allowance.cumsum(0) <= MAX_TILES
    return tiles.of(torch.zeros_like(is_covered).scatter(0, fewest_first, is_covered))


class _Outcome:
    """The result for each image so far: its evidence on the finest lattice, and whether that was fine enough."""

    def __init__(self, integrand: Integrand, tolerance: float) -> None:
        self.integrand, self.tolerance = integrand, tolerance
        self.num_latents = integrand.num_latents
        unknown = torch.full((len(integrand.x),), math.inf, dtype=torch.float64, device=integrand.x.device)
        self.log_evidence, self.error, self.spacing = unknown, unknown.clone(), unknown.clone()
        self.settled, self.settled_error, self.rim_likelihood = -unknown, -unknown, -unknown
        self.is_done = torch.zeros_like(unknown, dtype=torch.bool)
        self.mass_outside = torch.zeros_like(unknown)
        self.num_decoded = self.num_evaluated = 0

    def among(self, images: Int64[Tensor, " image"]) -> Bool[Tensor, " batch"]:
        """Mask over all images, true for these."""
        return torch.zeros_like(self.is_done).index_fill(0, images, True)

    def add_truncation(self, tiles: Tiles) -> None:
        """Record how much of the prior's mass lies outside of a group's level 0."""
        # At least the rounding error of a sum of tens of thousands of cells.
        images = tiles.image[: tiles.num_images[0]]  # every tile has all images
        self.mass_outside[images] = max(1 - self.integrand.prior_mass(tiles), 1e-15)

    def record(self, level: int, images: Int64[Tensor, " image"], sums: LevelSums) -> None:
        """Record the sums of one level for some images."""
        error = self._error(level, sums)
        is_new = self.among(images) & ~self.is_done
        self.log_evidence = torch.where(is_new, sums.total, self.log_evidence)
        self.error = torch.where(is_new, error, self.error)
        self.spacing[is_new] = 2.0**-level / self.integrand.num_cells
        if level == 0:
            self.rim_likelihood = torch.where(is_new, sums.rim_likelihood, self.rim_likelihood)
        self.num_decoded += sums.num_decoded
        self.num_evaluated += sums.num_evaluated
        self.is_done |= is_new & self._is_fine(level, sums) & (error < self.tolerance)

    def _error(self, level: int, sums: LevelSums) -> Float[Tensor, " batch"]:
        """Upper bound in nats: halving the spacing at least halves the error, and much more for a smooth integrand."""
        if level == 0:
            return torch.full_like(sums.total, math.inf)
        change = torch.cat([sums.coarser(), self.log_evidence.unsqueeze(0)]) - sums.total
        unsettled = (self.settled_error - sums.total).exp().log1p()
        return change.abs().amax(0) / 2 + unsettled

    def _is_fine(self, level: int, sums: LevelSums) -> Bool[Tensor, " batch"]:
        """Whether the spacing resolves the heaviest cell and the density at the encoder's mean."""
        max_rise = MAX_RISE * self.num_latents
        at_mean = self.integrand.log_joint_at_mean + self.integrand.log_cell_volume(level)
        is_seen = at_mean < sums.ceiling_at_mean + max_rise
        is_negligible = at_mean < sums.total + log_negligible(1, self.tolerance)
        return (sums.ceiling - sums.peak < max_rise) & (is_seen | is_negligible)

    def evidence(self) -> QuadratureEvidence:
        """The result, with the images in their original order."""
        truncation = (self.mass_outside * (self.rim_likelihood - self.log_evidence).exp()).log1p()
        has_converged = self.is_done & (truncation < self.tolerance)
        as_they_came = self.integrand.order.argsort()
        return QuadratureEvidence(
            log_evidence=self.log_evidence[as_they_came].cpu(),
            discretisation_error=self.error[as_they_came].cpu(),
            truncation_error=truncation[as_they_came].cpu(),
            spacing=self.spacing[as_they_came].cpu(),
            has_converged=has_converged[as_they_came].cpu(),
            num_decoded=self.num_decoded,
            num_evaluated=self.num_evaluated,
            tolerance=self.tolerance,
        )


def _merged(parts: list[QuadratureEvidence]) -> QuadratureEvidence:
    """The results of several parts of the examples as one."""
    columns: dict[str, Any] = {}
    for one in fields(QuadratureEvidence):
        values = [getattr(part, one.name) for part in parts]
        columns[one.name] = torch.cat(values) if isinstance(values[0], Tensor) else sum(values)
    return replace(QuadratureEvidence(**columns), tolerance=parts[0].tolerance)


def _refuse(model: VAE, tolerance: float) -> None:
    if model.is_deterministic:
        raise ConfigError(
            "a deterministic autoencoder has no evidence: its code is a point, and no density p(z) was fitted to the "
            "codes; train with posterior 'diagonal-normal'."
        )
    if model.why_not_real:
        raise ConfigError(f"quadrature {model.why_not_real}; use importance-weighted bounds.")
    if model.latent_dim not in CELLS_PER_AXIS:
        raise ConfigError(
            f"quadrature needs 1 to 3 latents, got {model.latent_dim}: its cost grows as cells per axis to that power; "
            "use importance-weighted bounds or annealed importance sampling."
        )
    if not tolerance > 0:
        raise ConfigError(f"tolerance needs a positive number of nats, got {tolerance:g}.")

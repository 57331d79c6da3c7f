"""Bits-back coding of blocks of images: their length is −ELBO, and the bits to start with come from the first images.

An image is coded by popping z from what was coded before, by q(z|x), pushing x by p(x|z), and pushing z by p(z); it is
read in reverse. The first images of a block find nothing to pop: they are coded directly, with z at the mean of q(z|x)
on a coarser grid. A few images, the lanes, are coded together, so that networks compute them at once.

Source: Townsend, Bird and Barber, "Practical lossless compression with latent variables using bits back coding",
arXiv:1901.04866. Entropy coder: ANS, by the library constriction.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt32

from lowerbound.coding.coders import element_coder
from lowerbound.coding.element_coding import ElementCoder, Levels, Raw
from lowerbound.coding.entropy_coder import PRECISION, Stack, stack
from lowerbound.coding.normal_coding import Parameters, pop_normal, push_normal
from lowerbound.coding.portable_tables import STEPS, exp_of
from lowerbound.coding.prior_coding import prior_coder
from lowerbound.coding.rounded_networks import Exceptions, RoundedNetworks
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.models.vae import VAE
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND
from lowerbound.probability.posteriors import DiagonalNormalPosterior

SPREAD = 8  # standard deviations of the prior and of posteriors that the grid covers
Heads = Int64[np.ndarray, "image head"]
"""Outputs of the encoder in steps of 1/1024."""

Latents = Float64[np.ndarray, "image latent"]

RESERVE = 64  # bits that stay when z is popped
NARROWEST = 0.01  # share of posteriors that may be narrower than a step of the grid
FINEST = 12  # most bits after the binary point of a latent
MOST_MULTIPLES = 2**14  # of a step, on each side of 0
COARSE = (0, 1, 2, 3, 4)
"""Bits after the point of the latents of examples that are coded directly; the best on a few is taken."""

NUM_TRIED = 32  # examples for that
MOST_PROBABILITIES = 2**27  # a GiB of them
LOG_VARIANCE_STEPS = round(LOG_VARIANCE_BOUND * STEPS)


@dataclass(frozen=True)
class Grid:
    """The latents that can be coded: multiples of 2^-fineness up to a bound, coarser ones in images coded directly."""

    fineness: int
    coarseness: int  # fineness of the images coded directly
    bound: int  # of |z|

    def nearest(self, z: Float64[np.ndarray, "image latent"], fineness: int) -> Int64[np.ndarray, "image latent"]:
        """The nearest multiples, in steps."""
        most = self.bound << fineness
        return np.clip(np.rint(z * (1 << fineness)), -most, most).astype(np.int64)


@dataclass(frozen=True)
class Block:
    """Coded images: words of the entropy coder, the groups that were coded directly, and exceptions."""

    words: UInt32[np.ndarray, " word"]
    num_images: int
    direct: tuple[int, ...]  # numbers of groups of lanes
    exceptions: Exceptions = field(default_factory=Exceptions)


@dataclass(frozen=True)
class Coded:
    """A block, and of each group of lanes −ELBO in nats, for the latents that were drawn, and the bits that it took."""

    block: Block
    negative_elbos: Float64[np.ndarray, " group"]
    bits: Int64[np.ndarray, " group"]

    @property
    def negative_elbo(self) -> float:
        """−ELBO of all images, in nats."""
        return float(self.negative_elbos.sum())


class BlockCoder:
    """Codes blocks with one model."""

    def __init__(self, networks: RoundedNetworks, elements: ElementCoder, grid: Grid, lanes: int) -> None:
        self.networks, self.elements, self.grid, self.lanes = networks, elements, grid, lanes
        self.latent_dim = networks.model.latent_dim
        self.prior = prior_coder(networks.model.prior)
        if lanes * elements.num_probabilities > MOST_PROBABILITIES:
            raise UsageError(
                f"coding {lanes} examples at once needs {lanes * elements.num_probabilities:,} probabilities; at most "
                f"{MOST_PROBABILITIES:,} are computed: use fewer lanes, or fewer levels."
            )
        self.longest = PRECISION * self.latent_dim * lanes  # bits to pop the latents of a group

    def encode(self, levels: Levels, progress: Callable[[int], None] = lambda done: None) -> Coded:
        """A block of images; `progress` is called with the number of those that are done."""
        negative_elbos: list[float] = []
        lengths = [0]  # of the stack, in bits
        coder, exceptions, direct = stack(), Exceptions(), []
        numbers = np.arange(len(levels))
        posteriors = self.networks.encoded(self.elements.to_x(levels), numbers, exceptions, is_writing=True)
        for group, start in enumerate(range(0, len(levels), self.lanes)):
            rows = slice(start, start + self.lanes)
            fineness = self.grid.fineness
            if self._has_bits_for(coder, posteriors[rows]):
                z = self._pop_by_posterior(coder, posteriors[rows])
            else:
                direct.append(group)
                fineness = self.grid.coarseness
                z = self.grid.nearest(posteriors[rows, : self.latent_dim] / STEPS, fineness)
            latents = z / (1 << fineness)
            raw = self.networks.decoded(latents, numbers[rows], exceptions, is_writing=True)
            self.elements.encode(coder, raw, levels[rows])
            self.prior.push(coder, z, fineness, self.grid.bound << fineness)
            if group in direct[-1:]:
                latents, raw = self._drawn(posteriors[rows], group)
            negative_elbos.append(self._negative_elbo(latents, raw, posteriors[rows], levels[rows]))
            lengths.append(coder.num_valid_bits())
            progress(start + len(z))
        block = Block(coder.get_compressed(), len(levels), tuple(direct), exceptions)
        return Coded(block, np.array(negative_elbos), np.diff(lengths))

    def _drawn(self, posterior: Heads, seed: int) -> tuple[Latents, Raw]:
        """Latents drawn from q(z|x) for −ELBO alone, and the decoder's outputs."""
        mean, deviation = posterior_of(posterior, self.latent_dim)
        z = mean + deviation * np.random.default_rng(seed).standard_normal(mean.shape)
        return z, self.networks.decoded(z, np.arange(len(z)), Exceptions(), is_writing=True)

    def _negative_elbo(
        self, z: Float64[np.ndarray, "image latent"], raw: Raw, posterior: Heads, levels: Levels
    ) -> float:
        """−log p(x|z) − log p(z) + log q(z|x) of images, by the densities of the model, not those of the coder."""
        model, latents = self.networks.model, torch.from_numpy(z)
        log_q = model.posterior(torch.from_numpy(posterior / STEPS)).log_prob(latents)
        terms = self.elements.log_prob(model.likelihood, raw, levels) + model.prior.log_prob(latents) - log_q
        return -float(terms.double().sum())

    def decode(self, block: Block) -> Levels:
        """The images of a block."""
        exceptions, direct = block.exceptions, frozenset(block.direct)
        coder = stack(block.words)
        levels = np.zeros((block.num_images, self.elements.num_elements), np.int64)
        for group in reversed(range(math.ceil(block.num_images / self.lanes))):
            numbers = np.arange(group * self.lanes, min((group + 1) * self.lanes, block.num_images))
            is_direct = group in direct
            fineness = self.grid.coarseness if is_direct else self.grid.fineness
            z = self.prior.pop(coder, len(numbers), self.latent_dim, fineness, self.grid.bound << fineness)
            latents = z / (1 << fineness)
            raw = self.networks.decoded(latents, numbers, exceptions, is_writing=False)
            levels[numbers] = found = self.elements.decode(coder, raw)
            if not is_direct:
                x = self.elements.to_x(found)
                posterior = self.networks.encoded(x, numbers, exceptions, is_writing=False)
                push_normal(coder, z.ravel(), *self._posterior(posterior))
        if not coder.is_empty():
            raise DataError("bits are left over after the last image.")
        return levels

    def _has_bits_for(self, coder: Stack, posterior: Heads) -> bool:
        """Whether the latents of a group can be popped."""
        if coder.num_valid_bits() >= self.longest + RESERVE:
            return True
        trial = coder.clone()
        self._pop_by_posterior(trial, posterior)
        return bool(trial.num_valid_bits() >= RESERVE)

    def _pop_by_posterior(self, coder: Stack, posterior: Heads) -> Int64[np.ndarray, "image latent"]:
        """Latents drawn from q(z|x) with bits of the coder."""
        return pop_normal(coder, *self._posterior(posterior)).reshape(len(posterior), self.latent_dim)

    def _posterior(self, raw: Heads) -> tuple[Parameters, Parameters, int]:
        """Means and deviations in steps of the fine grid, and its last multiple."""
        mean, deviation = posterior_of(raw, self.latent_dim)
        scale = float(1 << self.grid.fineness)
        return (mean * scale).ravel(), (deviation * scale).ravel(), self.grid.bound << self.grid.fineness


def posterior_of(
    raw: Heads, latent_dim: int
) -> tuple[Float64[np.ndarray, "image latent"], Float64[np.ndarray, "image latent"]]:
    """Mean and standard deviation of q(z|x) from the encoder's outputs: a diagonal normal's mean and log-variance."""
    log_variance = np.clip(raw[:, latent_dim:], -LOG_VARIANCE_STEPS, LOG_VARIANCE_STEPS)
    return raw[:, :latent_dim] / STEPS, np.sqrt(exp_of(log_variance))


def grid_for(mean: np.ndarray, deviation: np.ndarray, coarseness: int) -> Grid:
    """A grid at least as fine as nearly all posteriors are wide."""
    narrow = max(float(np.quantile(deviation, NARROWEST)), 2.0**-FINEST)
    fineness = min(FINEST, max(coarseness, math.ceil(-math.log2(narrow))))
    bound = math.ceil(max(SPREAD, float((np.abs(mean) + SPREAD * deviation).max())))
    # The entropy coder gives each multiple a probability: most of its 2^24 are for the likely ones.
    while fineness > coarseness and (bound << fineness) > MOST_MULTIPLES:
        fineness -= 1
    return Grid(fineness, min(coarseness, fineness), bound)


def choose_grid(networks: RoundedNetworks, elements: ElementCoder, levels: Levels) -> Grid:
    """A grid that fits the posteriors of some examples; its coarse one takes fewest bits for coding them directly."""
    at_once = max(1, MOST_PROBABILITIES // max(elements.num_probabilities, 1))
    some = levels[np.linspace(0, len(levels) - 1, min(len(levels), 1000)).astype(int)]
    numbers = np.arange(len(some))
    raw = networks.encoded(elements.to_x(some), numbers, Exceptions(), is_writing=True)
    mean, deviation = posterior_of(raw, networks.model.latent_dim)
    grids = [grid_for(mean, deviation, coarseness) for coarseness in COARSE]

    def cost(grid: Grid) -> float:
        z = grid.nearest(mean[:NUM_TRIED], grid.coarseness) / (1 << grid.coarseness)
        outputs = networks.decoded(z, numbers[:NUM_TRIED], Exceptions(), is_writing=True)
        parts = (slice(start, start + at_once) for start in range(0, len(z), at_once))
        of_x = sum(float(elements.bits(outputs[rows], some[:NUM_TRIED][rows]).sum()) for rows in parts)
        of_z = -float(networks.model.prior.log_prob(torch.from_numpy(z)).sum()) / np.log(2)
        return of_x + of_z + grid.coarseness * z.size

    return min(grids, key=cost)


def check_can_code(model: VAE) -> None:
    """UsageError for a model with which nothing can be compressed."""
    if model.is_deterministic:
        raise UsageError("the model is a deterministic autoencoder; lossless compression needs a posterior.")
    if model.takes_context:
        raise UsageError("the model is conditional; lossless compression takes models of the examples alone.")
    if model.level_names:
        raise UsageError(
            f"the model has {len(model.level_names)} levels of latents; lossless compression takes models with one."
        )
    if type(model.posterior) is not DiagonalNormalPosterior:
        name = model.config.posterior
        raise UsageError(f"the posterior is {name!r}; lossless compression codes latents of 'diagonal-normal' ones.")
    prior_coder(model.prior)
    element_coder(model.likelihood)

"""Generation: samples from prior and p(x|z), manifolds, traversals, interpolations, quantile axes; to_images.

Images are N x H x W x C arrays in [0, 1], always decoded means, not draws of pixels.

The first examples of a seed are the same, to the bit, however many follow. Codes and the likelihood's noise have
separate streams, and complete blocks are decoded and drawn even if only a part of the last one is requested: the number
of rows in a batch affects the last bits of sums and the amount of noise that a draw consumes.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.latent_geometry import categories, chart_of, traversal
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.probability.prior import Temperature
from lowerbound.probability.spaces import OneHot, Simplex

BLOCK = 16  # examples
LARGEST_BLOCK = 2**22  # numbers of a decoder's output

TRAVERSAL_STEPS = 11
MAX_TRAVERSALS = 16
"""Maximum number of latent dimensions shown, most used ones first."""


@torch.no_grad()
def codes_from_prior(model: VAE, num: int, seed: int, temperature: Temperature = 1.0) -> Float[Tensor, "n latent"]:
    """Draws z from the prior, its standard deviation scaled by `temperature`."""
    return model.sample_prior(num, generator(seed, "samples", _device(model)), temperature)


@torch.no_grad()
def expected_examples(model: VAE, num: int, seed: int, temperature: Temperature = 1.0) -> Float[Tensor, "n *event"]:
    """`best_guess` of each element, for codes from the prior."""
    blocks = _blocks_of_codes(model, num, seed, temperature)
    return torch.cat([best_guess(part, part.decode(z)) for part, z in blocks])[:num]


@torch.no_grad()
def drawn_examples(model: VAE, num: int, seed: int, temperature: Temperature = 1.0) -> Float[Tensor, "n *event"]:
    """Draws from p(x|z), for the same codes as `expected_examples`."""
    stream = generator(seed, "samples/likelihood", _device(model))
    blocks = _blocks_of_codes(model, num, seed, temperature)
    return torch.cat([part.decode(z).sample(stream, 1)[0] for part, z in blocks])[:num]


def to_images(x: Float[Tensor, "n channel height width"]) -> Float[np.ndarray, "n height width channel"]:
    """Images with channels last, clamped to [0, 1], in float32: the layout of files and figures."""
    return x.detach().clamp(0, 1).permute(0, 2, 3, 1).contiguous().float().cpu().numpy()


def quantile_axes(model: VAE, num_points: int) -> Float[np.ndarray, "point latent"]:
    """For each latent, coordinates at the middles of `num_points` intervals of equal prior probability.

    ConfigError for a prior without quantiles.
    """
    device = next(model.parameters()).device
    middles = (torch.arange(num_points, device=device) + 0.5) / num_points
    quantiles = model.prior.quantiles(middles)
    if quantiles is None:
        raise ConfigError(f"prior {model.config.prior!r} has no quantiles, which are needed to space the axes.")
    return quantiles.cpu().numpy()


@torch.no_grad()
def manifold(
    model: VAE, horizontal: Float[np.ndarray, " column"], vertical: Float[np.ndarray, " row"]
) -> Float[np.ndarray, "n height width channel"]:
    """Decoded means on a grid over two latents, or over the two coordinates of a chart, row by row from the top.

    The first grows to the right and the second upwards, as in a scatter of the same latents. Tiles outside the space
    are white.
    """
    columns = torch.as_tensor(horizontal, dtype=torch.float32)
    rows = torch.as_tensor(vertical, dtype=torch.float32).flip(0)
    grid = torch.cartesian_prod(rows, columns).flip(-1)
    chart = chart_of(model)
    codes = grid if chart is None else chart.codes(grid)
    images = to_images(model.decode(codes.nan_to_num(0.0).to(_device(model))).mean)
    images[codes.isnan().any(-1).numpy()] = 1
    return images


@torch.no_grad()
def traversals(
    model: VAE, dimensions: list[int], start: Float[Tensor, " latent"]
) -> Float[np.ndarray, "n height width channel"]:
    """One row of decoded means for each dimension, which takes the prior's quantiles while the others are fixed.

    On the simplex it takes evenly spaced shares from 0 to 1; `latent_geometry.traversal` moves the others.
    """
    if isinstance(model.space, Simplex):
        shares = torch.linspace(0, 1, TRAVERSAL_STEPS).to(start)
        axes = shares.unsqueeze(-1).expand(-1, model.latent_dim)
    else:
        axes = torch.from_numpy(quantile_axes(model, TRAVERSAL_STEPS)).to(start)
    rows = [traversal(model, start, dimension, axes[:, dimension]) for dimension in dimensions]
    return to_images(model.decode(torch.cat(rows)).mean)


@torch.no_grad()
def code_means(
    model: VAE, groups: list[int], start: Float[Tensor, " latent"]
) -> Float[np.ndarray, "n height width channel"]:
    """One row of decoded means for each group of one-hot codes: every category of it, the other groups fixed."""
    assert isinstance(model.space, OneHot)
    rows = [categories(model.space, start, group) for group in groups]
    return to_images(model.decode(torch.cat(rows)).mean)


@torch.no_grad()
def path_between(
    model: VAE, first: Float[Tensor, " *event"], second: Float[Tensor, " *event"], num_steps: int
) -> Float[Tensor, "n latent"]:
    """Points on the shortest path between the posterior centres of two examples, including both ends.

    In R^D and on the simplex it is a straight line, on the sphere a great circle; one-hot codes change group by group.
    """
    ends = model.encode(torch.stack([first, second])).centre
    return model.space.path(ends[0], ends[1], num_steps)


@torch.no_grad()
def prior_samples(
    model: VAE, num_images: int, seed: int, temperature: Temperature = 1.0
) -> Float[np.ndarray, "n height width channel"]:
    """Decoded means of draws from the prior; the first ones are the same however many follow."""
    return to_images(expected_examples(model, num_images, seed, temperature))


def most_used_dimensions(latent_mean: Float[np.ndarray, "n latent"]) -> list[int]:
    """Latent dimensions by decreasing variance of their posterior means, at most MAX_TRAVERSALS."""
    return [int(i) for i in np.argsort(-latent_mean.var(0), kind="stable")[:MAX_TRAVERSALS]]


def _blocks_of_codes(
    model: VAE, num: int, seed: int, temperature: Temperature
) -> Iterator[tuple[VAE, Float[Tensor, "block latent"]]]:
    """Codes block by block, with the model for the context of each; a context has `num` rows, of which the last is
    repeated to fill a block."""
    size = max(1, min(BLOCK, LARGEST_BLOCK // math.prod(model.likelihood.raw_shape)))
    rows = torch.arange(math.ceil(num / size) * size, device=_device(model)).clamp(max=num - 1)
    codes = codes_from_prior(model.at_rows(rows), len(rows), seed, temperature)
    for part, z in zip(rows.split(size), codes.split(size), strict=True):
        yield model.at_rows(part), z


def _device(model: VAE) -> torch.device:
    return next(model.parameters()).device

"""Codes that figures decode: traversals and grids over latents, for each space of latents; charts of curved spaces.

R^D        one latent at the prior's quantiles, the others fixed
sphere     the same; the others keep their direction, and are scaled so that the length is 1
simplex    one component from 0 to 1; the others keep their proportions
one-hot    every category of a group, the other groups fixed
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.models.vae import VAE
from lowerbound.probability.spaces import OneHot, Simplex, Sphere

LEAST_LENGTH = 1e-6  # of the other coordinates of a point, below which they have no direction

Codes = Float[Tensor, "step latent"]


def traversal(model: VAE, start: Float[Tensor, " latent"], dimension: int, steps: Float[Tensor, " step"]) -> Codes:
    """The code `start` with one latent at each of `steps`, moved within the model's space."""
    others = start.clone()
    others[dimension] = 0
    codes = start.repeat(len(steps), 1)
    if isinstance(model.space, Sphere):
        codes = (1 - steps**2).clamp(min=0).sqrt().unsqueeze(-1) * _scaled(others, dimension, 2)
    elif isinstance(model.space, Simplex):
        codes = (1 - steps).unsqueeze(-1) * _scaled(others, dimension, 1)
    codes[:, dimension] = steps
    return codes


def categories(space: OneHot, start: Float[Tensor, " latent"], group: int) -> Codes:
    """The code `start` with each category of a group in turn."""
    codes = start.repeat(space.num_categories, 1)
    first = group * space.num_categories
    codes[:, first : first + space.num_categories] = torch.eye(space.num_categories).to(start)
    return codes


def _scaled(others: Float[Tensor, " latent"], dimension: int, order: int) -> Float[Tensor, " latent"]:
    """The other coordinates with norm 1; all equal if they are zero."""
    norm = torch.linalg.vector_norm(others, order)
    if norm < LEAST_LENGTH:
        others = torch.ones_like(others)
        others[dimension] = 0
        norm = torch.linalg.vector_norm(others, order)
    return others / norm


@dataclass(frozen=True)
class Chart:
    """Two coordinates for a space of two dimensions that is not a plane, and a grid over it."""

    name: str
    coordinates: Callable[[Float[Tensor, "n latent"]], Float[Tensor, "n 2"]]
    axes: Callable[[int], Float[np.ndarray, "2 size"]]
    """Values of both coordinates on a grid of equal prior probability, or evenly spaced."""
    codes: Callable[[Float[Tensor, "n 2"]], Codes]
    """The code at given coordinates; NaN outside the space."""


def longitude_and_latitude(z: Float[Tensor, "n three"]) -> Float[Tensor, "n 2"]:
    """In degrees, of points on the sphere in three dimensions; the third coordinate is the height of the pole."""
    return torch.rad2deg(torch.stack([torch.atan2(z[:, 1], z[:, 0]), z[:, 2].clamp(-1, 1).asin()], -1))


def _on_sphere(place: Float[Tensor, "n 2"]) -> Codes:
    longitude, latitude = torch.deg2rad(place).unbind(-1)
    across = latitude.cos()
    return torch.stack([across * longitude.cos(), across * longitude.sin(), latitude.sin()], -1)


def _equal_areas(size: int) -> Float[np.ndarray, "2 size"]:
    """Middles of `size` slices of equal longitude, and of `size` bands of equal area."""
    middles = (np.arange(size) + 0.5) / size
    return np.stack([360 * middles - 180, np.degrees(np.arcsin(2 * middles - 1))]).astype(np.float32)


def in_triangle(z: Float[Tensor, "n three"]) -> Float[Tensor, "n 2"]:
    """Points of the simplex of three components in an equilateral triangle with corners (0, 0), (1, 0), (½, ½√3)."""
    return torch.stack([z[:, 1] + z[:, 2] / 2, z[:, 2] * math.sqrt(3) / 2], -1)


def _second_and_third(place: Float[Tensor, "n 2"]) -> Codes:
    first = 1 - place.sum(-1, keepdim=True)
    return torch.cat([first, place], -1).where(first > -1e-6, math.nan).clamp(min=0)


def _shares(size: int) -> Float[np.ndarray, "2 size"]:
    steps = np.linspace(0, 1, size, dtype=np.float32)
    return np.stack([steps, steps])


def chart_of(model: VAE) -> Chart | None:
    """The chart of the sphere in three dimensions and of the simplex of three components; None for others."""
    return CHARTS.get(type(model.space)) if model.latent_dim == 3 else None


CHARTS: dict[type, Chart] = {
    Sphere: Chart("longitude_latitude", longitude_and_latitude, _equal_areas, _on_sphere),
    Simplex: Chart("triangle", in_triangle, _shares, _second_and_third),
}

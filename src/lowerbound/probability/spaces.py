"""Spaces of latents: R^D, the unit sphere, the simplex, one-hot and vector codes; a posterior and its prior share one.

A space knows which codes lie in it, and the shortest path between two of them. Densities are with respect to the
volume of the space: Lebesgue measure on R^D, surface area on the sphere, Lebesgue measure of all components but the
last on the simplex, and counting measure for codes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.errors import ConfigError

TOLERANCE = 1e-3
"""Accepted error of the length, the sum or the entries of a code: codes may have been rounded to a few digits."""

SMALL_ANGLE = 1e-4
"""Radians below which the path between two points of the sphere is a straight line, up to 1e-9 of its length."""


@dataclass(frozen=True)
class Space:
    """A set of codes, each a vector of `latent_dim` numbers."""

    name: ClassVar[str]
    about: ClassVar[str]  # what its codes are
    prior: ClassVar[str]  # name of the prior of a model with a posterior in this space, unless another is chosen

    @property
    def prior_options(self) -> Mapping[str, int]:
        """Options that the prior shares with the posterior."""
        return {}

    def check_size(self, latent_dim: int) -> None:
        """ConfigError for a number of latents that the space cannot have."""

    def problem(self, z: Float[Tensor, "n latent"]) -> str:
        """Which code is not in the space, and why; empty if all are."""
        return ""

    def path(
        self, first: Float[Tensor, " latent"], second: Float[Tensor, " latent"], num: int
    ) -> Float[Tensor, "num latent"]:
        """`num` points from one code to another, including both: evenly spaced on the shortest path."""
        weights = torch.linspace(0, 1, num, dtype=first.dtype, device=first.device).unsqueeze(-1)
        return torch.lerp(first, second, weights)


@dataclass(frozen=True)
class Real(Space):
    """R^D."""

    name = "real"
    about = "real numbers"
    prior = "standard-normal"


@dataclass(frozen=True)
class Sphere(Space):
    """Vectors of length 1: `latent_dim` is the dimension of the space around the sphere, 3 for the ordinary one."""

    name = "sphere"
    about = "unit vectors"
    prior = "uniform-on-sphere"

    def check_size(self, latent_dim: int) -> None:
        if latent_dim < 2:
            raise ConfigError(f"a sphere needs model.latent_dim of at least 2 (2 is the circle), got {latent_dim}.")

    def problem(self, z: Float[Tensor, "n latent"]) -> str:
        length = z.double().norm(dim=-1)
        return _first((length - 1).abs() > TOLERANCE, length, "has length {:.4g}; codes on the sphere have length 1")

    def path(
        self, first: Float[Tensor, " latent"], second: Float[Tensor, " latent"], num: int
    ) -> Float[Tensor, "num latent"]:
        """Points on the great circle; between opposite points, on the one through the first axis that differs.

        Source: Shoemake, "Animating rotation with quaternion curves", 1985 (slerp).
        """
        angle = 2 * torch.atan2((second - first).norm(), (second + first).norm())
        if angle < SMALL_ANGLE:
            return super().path(first, second, num)
        towards = second - (first @ second) * first
        if math.pi - angle < SMALL_ANGLE:
            towards = torch.eye(len(first)).to(first)[first.abs().argmin()]
            towards = towards - (first @ towards) * first
        steps = torch.linspace(0, 1, num, dtype=first.dtype, device=first.device).unsqueeze(-1) * angle
        return steps.cos() * first + steps.sin() * towards / towards.norm()


@dataclass(frozen=True)
class Simplex(Space):
    """Non-negative numbers whose sum is 1: `latent_dim` components, of which all but one are free."""

    name = "simplex"
    about = "shares that add up to 1"
    prior = "logistic-normal"

    def check_size(self, latent_dim: int) -> None:
        if latent_dim < 2:
            raise ConfigError(f"a simplex needs model.latent_dim of at least 2 components, got {latent_dim}.")

    def problem(self, z: Float[Tensor, "n latent"]) -> str:
        total, least = z.double().sum(-1), z.double().amin(-1)
        return _first(
            (total - 1).abs() > TOLERANCE, total, "has the sum {:.4g}; codes on the simplex have the sum 1"
        ) or _first(least < 0, least, "contains {:.4g}; codes on the simplex are not negative")


@dataclass(frozen=True)
class OneHot(Space):
    """Groups of `num_categories` numbers of which one is 1 and the others are 0."""

    num_categories: int

    name = "one-hot"
    about = "one-hot codes"
    prior = "uniform-categorical"

    @property
    def prior_options(self) -> Mapping[str, int]:
        return {"num_categories": self.num_categories}

    def check_size(self, latent_dim: int) -> None:
        if latent_dim % self.num_categories:
            nearest = max(1, round(latent_dim / self.num_categories)) * self.num_categories
            raise ConfigError(
                f"one-hot codes of {self.num_categories} categories need model.latent_dim to be a multiple of "
                f"{self.num_categories}, got {latent_dim}; set model.latent_dim={nearest}, or "
                "model.posterior_options.num_categories."
            )

    def path(
        self, first: Float[Tensor, " latent"], second: Float[Tensor, " latent"], num: int
    ) -> Float[Tensor, "num latent"]:
        """Codes with more and more groups of the second, in order: points between two codes are not codes."""
        return _switched(first, second, num, self.num_categories)

    def problem(self, z: Float[Tensor, "n latent"]) -> str:
        groups = z.double().unflatten(-1, (-1, self.num_categories))
        hard = torch.zeros_like(groups).scatter(-1, groups.argmax(-1, keepdim=True), 1.0)
        error = (groups - hard).abs().flatten(1).amax(-1)
        return _first(error > TOLERANCE, error, f"is not one-hot in groups of {self.num_categories} (off by {{:.4g}})")


@dataclass(frozen=True)
class CodeVectors(Space):
    """Vectors of a codebook, or sums of vectors of several, at positions of `code_dim` numbers one after another.

    The space states only how many there are: which vectors they are is known to the posterior, which learns them.
    """

    num_codes: int
    code_dim: int
    num_codebooks: int = 1

    name = "codes"
    about = "vectors of a codebook"
    prior = "uniform-codes"

    @property
    def prior_options(self) -> Mapping[str, int]:
        books = {"num_codebooks": self.num_codebooks} if self.num_codebooks > 1 else {}
        return {"num_codes": self.num_codes, "code_dim": self.code_dim, **books}

    def check_size(self, latent_dim: int) -> None:
        if latent_dim % self.code_dim:
            nearest = max(1, round(latent_dim / self.code_dim)) * self.code_dim
            raise ConfigError(
                f"codes of {self.code_dim} numbers need model.latent_dim to be a multiple of {self.code_dim}, got "
                f"{latent_dim}; set model.latent_dim={nearest}, or another length of codes in model.posterior_options."
            )

    def path(
        self, first: Float[Tensor, " latent"], second: Float[Tensor, " latent"], num: int
    ) -> Float[Tensor, "num latent"]:
        """Codes with more and more positions of the second, in order: points between two codes are not codes."""
        return _switched(first, second, num, self.code_dim)


def _switched(
    first: Float[Tensor, " latent"], second: Float[Tensor, " latent"], num: int, size: int
) -> Float[Tensor, "num latent"]:
    """The first vector with more and more groups of `size` numbers replaced by those of the second."""
    num_groups = len(first) // size
    switched = (torch.linspace(0, num_groups, num) + 0.5).floor().unsqueeze(-1)
    is_switched = torch.arange(num_groups).repeat_interleave(size) < switched
    return torch.where(is_switched.to(first.device), second, first)


def _first(is_wrong: Tensor, value: Tensor, what: str) -> str:
    """The message about the first wrong code; empty if none is."""
    if not is_wrong.any():
        return ""
    position = int(is_wrong.int().argmax())
    return f"code {position} {what.format(float(value[position]))}"


REAL, SPHERE, SIMPLEX = Real(), Sphere(), Simplex()


def check_same_space(posterior: str, q: Space, prior: str, p: Space) -> None:
    """ConfigError for a posterior and a prior with latents in different spaces; it says which prior fits."""
    if q == p:
        return
    options = "".join(f" and model.prior_options.{name}={value}" for name, value in q.prior_options.items())
    raise ConfigError(
        f"the latents of posterior {posterior!r} are {_described(q)}, those of prior {prior!r} {_described(p)}; set "
        f"model.prior={q.prior}{options}, or leave model.prior out."
    )


def _described(space: Space) -> str:
    numbers = ", ".join(f"{name} {value}" for name, value in space.prior_options.items())
    return f"{space.about}{f' ({numbers})' if numbers else ''}"

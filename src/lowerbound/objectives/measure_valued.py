"""Measure-valued derivatives of E[f(z)] for diagonal normals: differences of f at coupled draws, without its gradient.

The derivative of a density is a constant times the difference of two densities. For N(mean, sd²), in one coordinate:

    d/dmean E[f] = (E[f(mean + sd w)] - E[f(mean - sd w)]) / (sd sqrt(2 pi)),   w ~ Weibull(2, 1/2), a Rayleigh variable
    d/dsd   E[f] = (E[f(mean + sd m)] - E[f(mean + sd e)]) / sd,                m double-sided Maxwell, e ~ N(0, 1)

The two draws of a difference are coupled: the same w, and e = m u with u uniform on [0, 1], which is standard normal.
All other coordinates keep their draws. A draw of D coordinates thus costs 3 D + 1 evaluations of f.

Source: Mohamed, Rosca, Figurnov and Mnih, "Monte Carlo Gradient Estimation in Machine Learning", arXiv:1906.10652,
Section 6, Table 1 and Section 7.2.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.objectives.bounds import Bound
from lowerbound.objectives.gradients import bounds_with_replaced
from lowerbound.probability.distributions import DiagonalNormal

Function = Callable[[Float[Tensor, "sample row latent"]], Float[Tensor, "sample row"]]


def evaluations_per_draw(num_latents: int) -> int:
    """How often a function of `num_latents` coordinates is evaluated for one draw."""
    return 3 * num_latents + 1


@torch.no_grad()
def measure_valued_derivatives(
    function: Function, bound: Bound, normal: DiagonalNormal, generator: Generator, num_samples: int
) -> tuple[Float[Tensor, "row latent"], Float[Tensor, "row latent"], Float[Tensor, "sample row latent"]]:
    """One estimate for each normal of d/dmean and d/dsd of E[bound(f(z_1), ..., f(z_K))], and the draws z.

    Each of the K = `num_samples` draws is replaced in turn, with the others as they are; for the bound `elbo` this is
    the mean of K estimates for E[f].
    """
    mean, sd = normal.mean, normal.standard_deviation.expand_as(normal.mean)
    far = double_sided_maxwell(generator, num_samples, mean)
    aside = rayleigh(generator, num_samples, mean)
    z = mean + sd * far * torch.rand(far.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    values = function(z)

    def total(coordinate: int, noise: Tensor) -> Float[Tensor, " row"]:
        """The bound with each draw in turn moved in one coordinate, summed over the draws."""
        moved = z.clone()
        moved[..., coordinate] = (mean + sd * noise)[..., coordinate]
        return bounds_with_replaced(bound, values, function(moved)).sum(dim=0)

    latents = range(mean.shape[-1])
    at_draws = num_samples * bound(values)
    of_mean = torch.stack([total(i, aside) - total(i, -aside) for i in latents], dim=-1) / (sd * math.sqrt(2 * math.pi))
    of_sd = torch.stack([total(i, far) - at_draws for i in latents], dim=-1) / sd
    return of_mean.to(mean), of_sd.to(mean), z


def rayleigh(
    generator: Generator, num_samples: int, like: Float[Tensor, "row latent"]
) -> Float[Tensor, "sample row latent"]:
    """Draws with density w exp(-w²/2) for w > 0: a Weibull distribution, the length of two standard normals."""
    return _lengths(generator, num_samples, like, 2)


def double_sided_maxwell(
    generator: Generator, num_samples: int, like: Float[Tensor, "row latent"]
) -> Float[Tensor, "sample row latent"]:
    """Draws with density m² exp(-m²/2) / sqrt(2 pi): the length of three standard normals, with a random sign."""
    length = _lengths(generator, num_samples, like, 3)
    is_negative = torch.rand(length.shape, generator=generator, device=like.device) < 0.5
    return torch.where(is_negative, -length, length)


def _lengths(generator: Generator, num_samples: int, like: Tensor, num_normals: int) -> Tensor:
    shape = (num_normals, num_samples, *like.shape)
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device).square().sum(0).sqrt()

"""The prior on the page: quantiles and ranges of the latents, contours of its density, and how to sample it offline."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.evaluation.generation import TRAVERSAL_STEPS
from lowerbound.evaluation.prior_shape import density_contours
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.normals import FullNormal, MixtureOfNormals
from lowerbound.probability.prior import Prior

OF_NORMALS = {f"{deviations}σ": 1 - math.exp(-(deviations**2) / 2) for deviations in (1, 2, 3)}
"""Contours of a normal prior: the probability within so many standard deviations, in the plane."""

MASSES = (0.5, 0.9, 0.95)  # highest-density regions of any other prior
RANGE = 4.0  # standard deviations of a normal prior that the range of a latent covers
NUM_DRAWS = 2048  # from a prior without quantiles, and in the offline page for a prior that it cannot sample
DIGITS = 4


@dataclass(frozen=True)
class Contour:
    """One level of the density, as lines of points in data units."""

    label: str
    lines: list[list[list[float]]]


@torch.no_grad()
def prior_description(model: VAE) -> dict[str, Any] | None:
    """The description of the prior for the page; None for a plain autoencoder without one.

    "quantiles" are the traversals' steps, one row per step, or None if the prior has no quantiles; "ranges" the lowest
    and highest value of each latent; "has_temperature" whether samples can be drawn at temperatures other than 1.
    """
    if not model.has_prior:
        return None
    device = next(model.parameters()).device
    steps = (torch.arange(TRAVERSAL_STEPS, device=device) + 0.5) / TRAVERSAL_STEPS
    prior = _prior_of(model)
    quantiles = prior.quantiles(steps)
    return {
        "quantiles": None if quantiles is None else _rounded(quantiles.cpu().numpy()),
        "ranges": _rounded(_ranges(prior, device)),
        "has_temperature": _has_temperature(prior, device),
    }


@torch.no_grad()
def prior_contours(model: VAE, axes: tuple[int, int]) -> dict[str, Any]:
    """The contours of p(z) over two latents as "levels", or a "problem", the reason why there are none.

    Levels are 1, 2 and 3 standard deviations of a normal prior, and highest-density regions of any other: the smallest
    regions with 50, 90 and 95 % of the probability.
    """
    if not model.has_prior:
        return {"levels": [], "problem": "a deterministic autoencoder has no prior."}
    if model.why_not_real:
        return {"levels": [], "problem": f"latents that are {model.space.about} have no contours in the plane."}
    is_normal = isinstance(model.prior.family(), DiagonalNormal | FullNormal)
    masses = OF_NORMALS if is_normal else {f"{share:.0%}".replace("%", " %"): share for share in MASSES}
    contours = density_contours(_prior_of(model), axes, list(masses.values()))
    if contours is None:
        name = type(model.prior.family()).__name__
        return {"levels": [], "problem": f"no contours of the prior: {name} has no marginals."}
    levels = [Contour(label, [_rounded(line) for line in lines]) for label, lines in zip(masses, contours, strict=True)]
    return {"levels": [asdict(level) for level in levels], "problem": ""}


@torch.no_grad()
def sampling_data(model: VAE) -> dict[str, Any]:
    """How the offline page samples the prior: the components of a mixture of normals, or draws to choose from.

    A conditional prior is that of the only row of the model's context.
    """
    prior = _prior_of(model)()
    if isinstance(prior, DiagonalNormal):
        mean = prior.mean.expand(model.latent_dim)
        deviation = prior.variance.sqrt().expand(model.latent_dim)
        return {"weights": [1.0], "means": [mean.tolist()], "deviations": [deviation.tolist()]}
    if isinstance(prior, MixtureOfNormals):
        components = prior.components
        deviations = components.variance.sqrt()
        return {
            "weights": prior.weights.tolist(),
            "means": components.mean.tolist(),
            "deviations": deviations.tolist(),
        }
    stream = generator(0, "offline samples", next(model.parameters()).device)
    return {"draws": _rounded(model.prior.sample(stream, NUM_DRAWS).cpu().numpy())}


def _prior_of(model: VAE) -> Prior:
    """The prior or, of a conditional one, that of the only row of the context."""
    return model.prior.standalone() if model.prior.takes_context else model.prior


def _ranges(prior: Prior, device: torch.device) -> Float[np.ndarray, "latent 2"]:
    """The lowest and highest value of each latent: far quantiles, or the extremes of draws."""
    tail = 0.5 * math.erfc(RANGE / math.sqrt(2))
    ends = prior.quantiles(torch.tensor([tail, 1 - tail], dtype=torch.float64, device=device))
    if ends is not None:
        return ends.double().cpu().numpy().T
    draws = prior.sample(generator(0, "range of the prior", device), NUM_DRAWS).double().cpu().numpy()
    return np.stack([draws.min(0), draws.max(0)], -1)


def _has_temperature(prior: Prior, device: torch.device) -> bool:
    try:
        prior.sample(generator(0, "temperature", device), 1, 0.5)
    except ConfigError:
        return False
    return True


def _rounded(values: np.ndarray) -> list[Any]:
    rounded: list[Any] = np.round(values.astype(np.float64), DIGITS).tolist()
    return rounded

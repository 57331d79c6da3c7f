"""FlowPrior: a prior that is a learned normalizing flow of coupling transforms.

    u = f(z),   log p(z) = log N(u; 0, I) + log |det df/dz|

Each transform shifts and scales one half of the latents, or moves them along monotonic splines, by functions of the
other half; the halves take turns.

Source: Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv:1605.08803, Section 3; splines,
Durkan et al., "Neural Spline Flows", arXiv:1906.04032, Section 3. As a prior, Chen et al., "Variational Lossy
Autoencoder", arXiv:1611.02731, Section 3.2.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn

from lowerbound.foundation.ranges import Range, check_number
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import LOG_2_PI, Draws
from lowerbound.probability.flows import FlowDistribution, TransformStack
from lowerbound.probability.prior import Prior

NUM_FIXED_DRAWS = 1024
"""Draws from which mean and variance are computed."""

BLOCK = 64
"""Draws that pass the flow together: products of matrices of another size could differ in the last bits."""

NUM_BINS = 8  # of a spline


@dataclass(frozen=True, eq=False)
class FlowNormal(FlowDistribution):
    """Standard normal noise after the inverse of a flow, of batch shape ()."""

    flow: TransformStack
    event_ndim: int = 1

    @property
    def fixed_noise(self) -> Float[Tensor, "draw latent"]:
        return self.flow.noise

    @property
    def draws_at_once(self) -> int:
        return NUM_FIXED_DRAWS

    @property
    def like(self) -> Float[Tensor, " latent"]:
        return torch.zeros_like(self.flow.noise[0])

    def of_noise(self, noise: Float[Tensor, "sample latent"]) -> Draws:
        z, log_determinant = self.flow.inverse(noise)
        return Draws(z, _log_density(noise) - log_determinant)

    def log_prob(self, value: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
        noise, log_determinant = self.flow(value)
        return _log_density(noise) + log_determinant


def _log_density(noise: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
    return -0.5 * (noise.double().square() + LOG_2_PI).sum(-1)


class FlowPrior(Prior):
    """A learned flow; at first it is the standard normal. The temperature scales the noise before the flow."""

    accepted_options: ClassVar[dict[str, Range]] = {
        "num_transforms": Range(1.0, 64.0),
        "hidden": Range(1.0, 4096.0),
    }

    def __init__(
        self,
        latent_dim: int,
        num_transforms: Annotated[int, "Autoregressive transforms, one after another."] = 4,
        hidden: Annotated[int, "Units of each hidden layer of the transforms."] = 128,
        kind: Annotated[Literal["affine", "spline"], "Map of each latent, given the others."] = "affine",
    ) -> None:
        super().__init__(latent_dim)
        for name, value in (("num_transforms", num_transforms), ("hidden", hidden)):
            check_number(name, value, self.accepted_options[name])

        def transforms() -> list[nn.Module]:
            from zuko.flows import MaskedAutoregressiveTransform  # not needed to start the command line

            shared = {"passes": 2, "hidden_features": (hidden, hidden), **UNIVARIATE[kind]()}
            orders = (_order(latent_dim, index) for index in range(num_transforms))
            return [MaskedAutoregressiveTransform(latent_dim, order=order, **shared) for order in orders]

        self.flow = TransformStack(latent_dim, NUM_FIXED_DRAWS, transforms)
        self.initialise(generator(0, "flow prior"))

    def initialise(self, generator: Generator) -> None:
        """Draw the transforms' weights; each starts as the identity."""
        self.flow.initialise(generator)

    def forward(self) -> FlowNormal:
        return FlowNormal(self.flow)

    def sample(self, generator: Generator, num: int, temperature: float = 1.0) -> Float[Tensor, "num latent"]:
        like, distribution = self.flow.noise[:1], self.forward()
        drawn = [torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device) for _ in range(num)]
        padding = like.new_zeros(-num % BLOCK, self.latent_dim)
        noise = temperature * torch.cat([*drawn, padding])
        return torch.cat([distribution.of_noise(block).value for block in noise.split(BLOCK)])[:num]


def _order(latent_dim: int, index: int) -> Int64[Tensor, " latent"]:
    """Places of the latents: those in the second half depend on those in the first.

    Each transform moves on by half of the latents; after each pair, latents that were neighbours are in unlike halves.
    """
    places = torch.arange(latent_dim)
    arranged = places if index // 2 % 2 == 0 else places % 2 * math.ceil(latent_dim / 2) + places // 2
    return (arranged + index * (latent_dim // 2)) % latent_dim


def _affine() -> dict[str, Any]:
    return {}


def _spline() -> dict[str, Any]:
    from zuko.transforms import MonotonicRQSTransform

    # As zuko's own spline flow: the identity outside of [-5, 5], and slopes of at least 0.001.
    return {
        "univariate": partial(MonotonicRQSTransform, slope=1e-3),
        "shapes": ((NUM_BINS,), (NUM_BINS,), (NUM_BINS - 1,)),
    }


UNIVARIATE = {"affine": _affine, "spline": _spline}
"""Arguments of zuko's transforms, by kind."""

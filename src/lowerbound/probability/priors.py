"""Priors p(z) by name: standard normal, mixture of normals, VampPrior, flow; register_prior."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.flow_prior import FlowPrior
from lowerbound.probability.mixture_prior import MixtureOfNormalsPrior
from lowerbound.probability.parts import register
from lowerbound.probability.prior import Prior, quantiles_of
from lowerbound.probability.vamp_prior import VampPrior


class StandardNormalPrior(Prior):
    """N(0, I); the temperature scales its standard deviation."""

    zeros: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        # A buffer, so that it follows the model's device and type; not saved, because it is constant.
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> DiagonalNormal:
        return DiagonalNormal(self.zeros, self.zeros)

    def sample(self, generator: Generator, num: int, temperature: float = 1.0) -> Float[Tensor, "num latent"]:
        return temperature * super().sample(generator, num)

    def quantiles(self, probabilities: Float[Tensor, " point"]) -> Float[Tensor, "point latent"]:
        return quantiles_of(self(), probabilities, self.latent_dim)


def register_prior(name: str, prior: type[Prior]) -> None:
    """Register a prior under a name for configurations and files; ConfigError for a name in use."""
    register("prior", PRIORS, Prior, name, prior)


PRIORS: dict[str, type[Prior]] = {
    "standard-normal": StandardNormalPrior,
    "mixture-of-normals": MixtureOfNormalsPrior,
    "vamp": VampPrior,
    "flow": FlowPrior,
}

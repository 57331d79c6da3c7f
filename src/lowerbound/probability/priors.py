"""Priors p(z) by name: normals, mixtures, VampPrior, flow, uniform distributions, codes; register_prior."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.foundation.ranges import Range, check_number
from lowerbound.probability.autoregressive_prior import AutoregressivePrior
from lowerbound.probability.code_priors import UniformCodesPrior
from lowerbound.probability.conditional_prior import ConditionalNormalPrior
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.flow_prior import FlowPrior
from lowerbound.probability.mixture_prior import MixtureOfNormalsPrior
from lowerbound.probability.one_hot import CategoricalCodes
from lowerbound.probability.parts import register
from lowerbound.probability.prior import Prior, quantiles_of
from lowerbound.probability.simplex import LogisticNormal
from lowerbound.probability.spaces import SIMPLEX, SPHERE, OneHot, Space
from lowerbound.probability.sphere import UniformOnSphere
from lowerbound.probability.vamp_prior import VampPrior

LEAST_TEMPERATURE = 1e-30
"""Replaces a temperature of 0, which has no logarithm."""


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


class UniformOnSpherePrior(Prior):
    """All unit vectors with the same density. There is no temperature."""

    space = SPHERE
    origin: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.register_buffer("origin", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> UniformOnSphere:
        return UniformOnSphere(self.origin)

    def quantiles(self, probabilities: Float[Tensor, " point"]) -> Float[Tensor, "point latent"]:
        """Those of each coordinate w, for which (w + 1)/2 ~ Beta((d - 1)/2, (d - 1)/2)."""
        from scipy.special import betaincinv

        half = (self.latent_dim - 1) / 2
        points = 2 * betaincinv(half, half, probabilities.double().cpu().numpy()) - 1
        return torch.from_numpy(points).to(self.origin).unsqueeze(-1).expand(-1, self.latent_dim)


class UniformCategoricalPrior(Prior):
    """Groups of one-hot codes with the same probability for every category. There is no temperature."""

    space = OneHot(10)  # that of the default options
    accepted_options: ClassVar[dict[str, Range]] = {"num_categories": Range(2.0, 100_000.0)}
    logits: Tensor

    def __init__(self, latent_dim: int, num_categories: Annotated[int, "Categories of each code."] = 10) -> None:
        check_number("num_categories", num_categories, self.accepted_options["num_categories"])
        self.space = OneHot(num_categories)
        super().__init__(latent_dim)
        zeros = torch.zeros(latent_dim // num_categories, num_categories)
        self.register_buffer("logits", zeros, persistent=False)

    @classmethod
    def space_with(cls, options: Mapping[str, Any]) -> Space:
        return OneHot(options.get("num_categories", cls.space.num_categories))

    def forward(self) -> CategoricalCodes:
        return CategoricalCodes(self.logits)


class LogisticNormalPrior(Prior):
    """Shares that add up to 1, with no component preferred: a softmax of n ~ N(0, 1 / concentration).

    With concentration 1, the default, n is standard normal. Any other is the Laplace approximation, in these
    coordinates, of the symmetric Dirichlet distribution with that parameter. The temperature scales n.

    Source: MacKay, "Choice of basis for Laplace approximation", 1998; Srivastava and Sutton, arXiv:1703.01488, Section
    3.2.
    """

    space = SIMPLEX
    accepted_options: ClassVar[dict[str, Range]] = {"concentration": Range(0.02, 1e6)}
    zeros: Tensor

    def __init__(
        self, latent_dim: int, concentration: Annotated[float, "Inverse variance of the normal numbers."] = 1.0
    ) -> None:
        super().__init__(latent_dim)
        check_number("concentration", concentration, self.accepted_options["concentration"])
        self.concentration = concentration
        self.register_buffer("zeros", torch.zeros(latent_dim - 1), persistent=False)

    def forward(self) -> LogisticNormal:
        return self._scaled(1.0)

    def sample(self, generator: Generator, num: int, temperature: float = 1.0) -> Float[Tensor, "num latent"]:
        prior = self._scaled(max(temperature, LEAST_TEMPERATURE))
        return torch.cat([prior.sample(generator, 1) for _ in range(num)])

    def _scaled(self, temperature: float) -> LogisticNormal:
        log_variance = 2 * math.log(temperature) - math.log(self.concentration)
        return LogisticNormal(self.zeros, torch.full_like(self.zeros, log_variance))


def register_prior(name: str, prior: type[Prior]) -> None:
    """Register a prior under a name for configurations and files; ConfigError for a name in use."""
    register("prior", PRIORS, Prior, name, prior)


PRIORS: dict[str, type[Prior]] = {
    "standard-normal": StandardNormalPrior,
    "mixture-of-normals": MixtureOfNormalsPrior,
    "vamp": VampPrior,
    "conditional-normal": ConditionalNormalPrior,
    "flow": FlowPrior,
    "uniform-on-sphere": UniformOnSpherePrior,
    "uniform-categorical": UniformCategoricalPrior,
    "logistic-normal": LogisticNormalPrior,
    "uniform-codes": UniformCodesPrior,
    "autoregressive": AutoregressivePrior,
}

"""Prior: base class of all p(z) over latents, and NormalMixturePrior: priors that are mixtures of normals."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from lowerbound.foundation.errors import ConfigError
from lowerbound.probability.distributions import DiagonalNormal, Distribution
from lowerbound.probability.likelihood import Likelihood
from lowerbound.probability.normals import MixtureOfNormals
from lowerbound.probability.parts import LatentPart

Temperature = float | Sequence[float]
"""Of draws from a prior: one number or, where latents have levels, one for each, from the one nearest x."""


class Inference(Protocol):
    """What a prior may use of the model that it belongs to: the map from features to posteriors."""

    encoder: nn.Module
    posterior: nn.Module
    likelihood: Likelihood

    @property
    def takes_context(self) -> bool: ...

    @property
    def num_context_features(self) -> int: ...

    def posterior_of_zeros(self) -> Distribution: ...

    def posterior_of_features(self, features: Float[Tensor, "batch *features"]) -> Distribution: ...


class Prior(LatentPart, ABC):
    """A distribution over latents, with its parameters."""

    takes_context: ClassVar[bool] = False
    """Whether it is p(z|y), with a batch of distributions, one for each example of a context."""

    @abstractmethod
    def forward(self) -> Distribution:
        """p(z), of batch shape ()."""

    def bind(self, model: Inference) -> None:
        """Receive the model that the prior belongs to, when it is built; kept only by a prior that uses the encoder.

        ConfigError for a model that the prior cannot be used with.
        """

    def given(self, context: Float[Tensor, "batch feature"]) -> "Prior":
        """p(z|y) for the features of a context, sharing all weights; the prior itself unless it is conditional."""
        return self

    def family(self) -> Distribution:
        """A distribution of the class that `forward` returns: all that is known before the prior has a model."""
        distribution: Distribution = self()
        return distribution

    def standalone(self) -> "Prior":
        """A prior with the same distribution that uses no encoder: itself, unless it does."""
        return self

    def standardise(self, mean: Float[Tensor, " *features"], deviation: Float[Tensor, " *features"]) -> None:
        """Receive mean and standard deviation of the training data's features, before `initialise`."""

    def sample(self, generator: Generator, num: int, temperature: float = 1.0) -> Float[Tensor, "num latent"]:
        """Draws from p(z); ConfigError for a temperature other than 1 if the prior does not define one.

        The first draws of a stream are the same however many follow.
        """
        if temperature != 1:
            raise ConfigError(
                f"{type(self).__name__} does not support a temperature other than 1, got {temperature:g}."
            )
        prior: Distribution = self()
        return torch.cat([prior.sample(generator, 1) for _ in range(num)])

    def log_prob(self, z: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
        """log p(z) in nats."""
        prior: Distribution = self()
        return prior.log_prob(z)

    def quantiles(self, probabilities: Float[Tensor, " point"]) -> Float[Tensor, "point latent"] | None:
        """Quantiles of each latent's marginal at these probabilities; None if unknown."""
        return None


class NormalMixturePrior(Prior):
    """A mixture of diagonal normals; the temperature scales each component's standard deviation."""

    if TYPE_CHECKING:

        def __call__(self) -> MixtureOfNormals: ...

    def sample(self, generator: Generator, num: int, temperature: float = 1.0) -> Float[Tensor, "num latent"]:
        mixture = self()
        return torch.cat([mixture.sample(generator, 1, temperature) for _ in range(num)])

    def quantiles(self, probabilities: Float[Tensor, " point"]) -> Float[Tensor, "point latent"]:
        return quantiles_of(self(), probabilities, self.latent_dim)


def quantiles_of(
    prior: DiagonalNormal | MixtureOfNormals, probabilities: Float[Tensor, " point"], latent_dim: int
) -> Float[Tensor, "point latent"]:
    """Quantiles of each latent at these probabilities."""
    points = probabilities.to(prior.mean).unsqueeze(-1).expand(len(probabilities), latent_dim)
    return prior.inverse_cdf(points).detach()

"""Posterior: base class of all q(z|x), which map raw encoder output to a distribution over latents.

A posterior states the shape that it needs from the encoder (`raw_shape`), as a likelihood does for the decoder.
Built-in encoders have one head for each of `head_sizes`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.probability.distributions import Distribution
from lowerbound.probability.parts import Part
from lowerbound.probability.spaces import REAL, Space

LOG_VARIANCE_BOUND = 15.0
"""Log-variances are clamped to ± this: beyond it exp overflows in half precision, and training cannot recover."""


class Posterior(Part, ABC):
    """A family q(z|x) over `latent_dim` latents, in a space: R^D unless a family says otherwise."""

    space: Space = REAL
    has_relaxed_draws: ClassVar[bool] = False
    """Whether draws in training mode have no log q(z|x)."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.space.check_size(latent_dim)

    @classmethod
    def space_with(cls, options: Mapping[str, Any]) -> Space:
        """The space of a part that is built with these options."""
        return cls.space

    @property
    @abstractmethod
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of the raw encoder output for one example."""

    @property
    def head_sizes(self) -> tuple[int, ...]:
        """Output sizes of the encoder's heads; initial weights are drawn separately for each head."""
        return self.raw_shape

    @abstractmethod
    def forward(self, raw: Float[Tensor, "*batch raw"]) -> Distribution:
        """The distribution over latents given by a raw encoder output."""

    def initialise(self, generator: Generator) -> None:
        """Draw the initial values of learned parameters, if any."""

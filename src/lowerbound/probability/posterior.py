"""Posterior: base class of all q(z|x), which map raw encoder output to a distribution over latents.

A posterior states the shape that it needs from the encoder (`raw_shape`), as a likelihood does for the decoder.
Built-in encoders have one head for each of `head_sizes`.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.foundation.shares import Rows
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.parts import LatentPart

LOG_VARIANCE_BOUND = 15.0
"""Log-variances are clamped to ± this: beyond it exp overflows in half precision, and training cannot recover."""


class Posterior(LatentPart, ABC):
    """A family q(z|x)."""

    has_relaxed_draws: ClassVar[bool] = False
    """Whether draws in training mode have no log q(z|x)."""

    is_deterministic: ClassVar[bool] = False
    """Whether it has one value for each example, with log q(z|x) = 0: every draw is the same."""

    is_updated: ClassVar[bool] = False
    """Whether training also changes the posterior without a gradient, by `start` and `update`."""

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

    def problem(self, z: Float[Tensor, "n latent"]) -> str:
        """Which code the posterior cannot give, and why, beyond what its space says; empty if it can give all."""
        return ""

    def start(self, raw: Float[Tensor, "batch raw"], generator: Generator, batch_size: int) -> None:
        """Prepare a posterior that `is_updated` by raw encoder outputs of training examples, before the first step."""

    def update(self, generator: Generator, rows: Rows | None = None) -> None:
        """Change a posterior that `is_updated` by what it saw in a step, of which this rank had some `rows`."""

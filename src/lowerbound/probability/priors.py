"""Priors p(z)."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lowerbound.probability.distributions import DiagonalNormal, Distribution


class Prior(nn.Module, ABC):
    """A distribution over latents, with whatever parameters it has."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self) -> Distribution:
        """p(z), of batch shape ()."""


class StandardNormalPrior(Prior):
    """N(0, I)."""

    zeros: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        # A buffer, so that it follows the model's device and type; it is no state worth saving.
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> DiagonalNormal:
        return DiagonalNormal(self.zeros, self.zeros)


PRIORS: dict[str, type[Prior]] = {"standard-normal": StandardNormalPrior}

"""MixtureOfNormalsPrior: a prior that is a learned mixture of diagonal normals."""

from typing import Annotated, ClassVar

import torch
from torch import Generator, nn

from lowerbound.foundation.ranges import Range, check_number
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.normals import MixtureOfNormals
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND
from lowerbound.probability.prior import NormalMixturePrior

NUM_COMPONENTS = Range(1.0, 10_000.0)
"""Smallest and largest accepted number of components."""


class MixtureOfNormalsPrior(NormalMixturePrior):
    """A learned mixture of diagonal normals.

    Source: Tomczak and Welling, "VAE with a VampPrior", arXiv:1705.07120, Section 2 (the mixture of Gaussians that the
    VampPrior is compared with).
    """

    accepted_options: ClassVar[dict[str, Range]] = {"num_components": NUM_COMPONENTS}

    def __init__(self, latent_dim: int, num_components: Annotated[int, "Normals of the mixture."] = 10) -> None:
        super().__init__(latent_dim)
        check_number("num_components", num_components, NUM_COMPONENTS)
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.means = nn.Parameter(torch.zeros(num_components, latent_dim))
        self.log_variances = nn.Parameter(torch.zeros(num_components, latent_dim))
        self.initialise(generator(0, "mixture of normals"))

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Equal weights, unit variances, and means from N(0, I), because equal means would get equal gradients."""
        self.means.copy_(torch.randn(self.means.shape, generator=generator, dtype=self.means.dtype))

    def forward(self) -> MixtureOfNormals:
        log_variances = self.log_variances.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)
        return MixtureOfNormals(self.logits, DiagonalNormal(self.means, log_variances))

    @classmethod
    @torch.no_grad()
    def of(cls, mixture: MixtureOfNormals) -> "MixtureOfNormalsPrior":
        """The prior with the distribution of this mixture, whose values are copied."""
        means = mixture.components.mean
        prior = cls(means.shape[1], num_components=len(means)).to(means)
        prior.logits.copy_(mixture.logits)
        prior.means.copy_(means)
        prior.log_variances.copy_(mixture.components.log_variance)
        return prior

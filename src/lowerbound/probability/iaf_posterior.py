"""InverseAutoregressivePosterior: the posterior of an inverse autoregressive flow (IAF).

A draw from a diagonal normal passes through transforms in which every latent is shifted and scaled by functions of the
latents before it and of a context from the encoder. The order of the latents alternates. A draw and its log-density
need one pass of each transform; the log-density of any other value needs one pass for each latent.

Source: Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", arXiv:1606.04934, Algorithm 1.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from lowerbound.foundation.ranges import Range, check_number
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import DiagonalNormal, Draws
from lowerbound.probability.flows import FlowDistribution, TransformStack
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND, Posterior

NUM_FIXED_DRAWS = 64
"""Draws of each posterior from which its mean and variance are computed."""


@dataclass(frozen=True, eq=False)
class InverseAutoregressiveNormal(FlowDistribution):
    """Draws of a diagonal normal after transforms that depend on a context."""

    base_mean: Float[Tensor, "*batch latent"]
    base_log_variance: Float[Tensor, "*batch latent"]
    context: Float[Tensor, "*batch context"]
    flow: TransformStack
    event_ndim: int = 1

    @property
    def base(self) -> DiagonalNormal:
        """The distribution before the transforms."""
        return DiagonalNormal(self.base_mean, self.base_log_variance)

    @property
    def fixed_noise(self) -> Float[Tensor, "draw latent"]:
        return self.flow.noise.to(self.base_mean)

    @property
    def like(self) -> Float[Tensor, "*batch latent"]:
        return self.base_mean

    @property
    def num_parameters(self) -> int:
        """That of the largest activation of the transforms' networks, on which memory depends."""
        widths = [parameter.shape[0] for parameter in self.flow.parameters()]
        return max(widths) * max(1, self.base_mean[..., 0].numel())

    @property
    def density_passes(self) -> int:
        return len(self.flow.transforms) * self.base_mean.shape[-1]

    def of_noise(self, noise: Float[Tensor, "sample *batch latent"]) -> Draws:
        start = self.base_mean + self.base.standard_deviation * noise
        z, log_determinant = self.flow(start, self.context)
        return Draws(z, self.base.log_prob(start) - log_determinant)

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        value = value.broadcast_to(torch.broadcast_shapes(value.shape, self.base_mean.shape))
        start, log_determinant = self.flow.inverse(value, self.context)
        return self.base.log_prob(start) + log_determinant


class InverseAutoregressivePosterior(Posterior):
    """An inverse autoregressive flow; at first it is the diagonal normal of the first two heads.

    The heads are the mean and the log-variance of the normal, and the context. Each transform is a masked network with
    two hidden layers.
    """

    accepted_options: ClassVar[dict[str, Range]] = {
        "num_transforms": Range(1.0, 64.0),
        "hidden": Range(1.0, 4096.0),
        "context": Range(1.0, 4096.0),
    }

    def __init__(
        self,
        latent_dim: int,
        num_transforms: Annotated[int, "Autoregressive transforms, one after another."] = 4,
        hidden: Annotated[int, "Units of each hidden layer of the transforms."] = 128,
        context: Annotated[int, "Numbers that the encoder passes to the transforms."] = 32,
    ) -> None:
        super().__init__(latent_dim)
        for name, value in (("num_transforms", num_transforms), ("hidden", hidden), ("context", context)):
            check_number(name, value, self.accepted_options[name])
        self.context_dim = context

        def transforms() -> list[nn.Module]:
            from zuko.flows import MaskedAutoregressiveTransform  # not needed to start the command line

            forwards = torch.arange(latent_dim)
            return [
                MaskedAutoregressiveTransform(
                    latent_dim,
                    context,
                    order=forwards if index % 2 == 0 else forwards.flip(0),
                    hidden_features=(hidden, hidden),
                )
                for index in range(num_transforms)
            ]

        self.flow = TransformStack(latent_dim, NUM_FIXED_DRAWS, transforms)
        self.initialise(generator(0, "inverse autoregressive flow"))

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (sum(self.head_sizes),)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        return self.latent_dim, self.latent_dim, self.context_dim

    def initialise(self, generator: Generator) -> None:
        """Draw the transforms' weights; each starts as the identity."""
        self.flow.initialise(generator)

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> InverseAutoregressiveNormal:
        mean, log_variance, context = raw.split(self.head_sizes, dim=-1)
        log_variance = log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)
        return InverseAutoregressiveNormal(mean, log_variance, context, self.flow)

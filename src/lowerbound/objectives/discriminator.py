"""Discriminator: tells codes from codes whose latents were shuffled between examples; shuffled_latents."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from lowerbound.networks.initialisation import build

SLOPE = 0.2
"""Of the leaky ReLUs below zero."""


class Discriminator(nn.Module):
    """The log-odds that a code comes from q(z) and not from the product of its marginals."""

    def __init__(self, latent_dim: int, hidden: int, num_layers: int, generator: Generator) -> None:
        super().__init__()
        widths = [latent_dim, *[hidden] * num_layers]

        def network() -> nn.Module:
            layers = [[nn.Linear(before, after), nn.LeakyReLU(SLOPE)] for before, after in pairwise(widths)]
            return nn.Sequential(*[layer for pair in layers for layer in pair], nn.Linear(hidden, 1))

        self.network = build(network, generator)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
        """Log-odds of each code."""
        odds: Tensor = self.network(z)
        return odds.squeeze(-1)


def shuffled_latents(z: Float[Tensor, "batch latent"], generator: Generator) -> Float[Tensor, "batch latent"]:
    """Codes with each latent permuted over the batch: draws from the product of the marginals."""
    keys = torch.rand(z.shape, generator=generator, device=z.device)
    return z.gather(0, keys.argsort(0))

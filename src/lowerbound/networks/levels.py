"""Networks of models with several levels of latents: heads for each level, dense layers between levels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.networks.dense import Encoder, dense_stack
from lowerbound.networks.initialisation import heads


class DenseLevel(nn.Module):
    """Dense layers between two levels: `body` to features, `heads` to outputs of the given sizes."""

    def __init__(self, in_features: int, hidden: tuple[int, ...], head_sizes: tuple[int, ...], activation: str) -> None:
        super().__init__()
        self.body = nn.Sequential(*dense_stack(in_features, hidden, activation))
        self.num_features = hidden[-1] if hidden else in_features
        self.heads = heads(self.num_features, head_sizes)

    def forward(self, given: Float[Tensor, "*batch given"]) -> Float[Tensor, "*batch raw"]:
        raw: Tensor = self.heads(self.body(given))
        return raw


class LevelsEncoder(nn.Module):
    """An encoder with heads for each level: those of `first`, and of dense layers on its features, level by level."""

    def __init__(self, first: Encoder, hidden: tuple[int, ...], sizes: tuple[int, ...], activation: str) -> None:
        super().__init__()
        self.first = first
        num_features, above = first.heads.in_features, []
        for size in sizes:
            level = DenseLevel(num_features, hidden, (size, size), activation)
            above.append(level)
            num_features = level.num_features
        self.above = nn.ModuleList(above)

    def forward(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch raw"]:
        features = self.first.body(x)
        raw = [self.first.heads(features)]
        for level in self.above:
            assert isinstance(level, DenseLevel)
            features = level.body(features)
            raw.append(level.heads(features))
        return torch.cat(raw, dim=-1)


class FirstLevelDecoder(nn.Module):
    """A decoder of the level nearest x, p(x|z_1): the first `size` latents."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, z: Float[Tensor, "batch latent"], *context: Tensor) -> Float[Tensor, "batch *raw"]:
        # Adjacent rows: products with a part of z as it lies take far longer.
        raw: Tensor = self.network(z[..., : self.size].contiguous(), *context)
        return raw

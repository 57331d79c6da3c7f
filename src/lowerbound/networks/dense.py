"""Dense encoder and decoder: stacks of fully connected layers."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.networks.initialisation import heads


def dense_stack(in_features: int, hidden: tuple[int, ...], activation: str = "relu") -> list[nn.Module]:
    """Fully connected layers of the given widths, an activation after each."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(in_features, width), ACTIVATIONS[activation]()]
        in_features = width
    return layers


class DenseEncoder(nn.Module):
    """Flattened input through `hidden` layers to the posterior's heads; `hidden=()` is a linear map."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        hidden: tuple[int, ...],
        head_sizes: tuple[int, ...],
        activation: str = "relu",
    ) -> None:
        super().__init__()
        num_inputs = math.prod(event_shape)
        last = hidden[-1] if hidden else num_inputs
        self.body = nn.Sequential(nn.Flatten(), *dense_stack(num_inputs, hidden, activation))
        self.heads = heads(last, head_sizes)

    def forward(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch raw"]:
        raw: Tensor = self.heads(self.body(x))
        return raw


class DenseDecoder(nn.Module):
    """Latent through `hidden` layers to the likelihood's raw shape; `hidden=()` is a linear map."""

    def __init__(
        self, latent_dim: int, hidden: tuple[int, ...], raw_shape: tuple[int, ...], activation: str = "relu"
    ) -> None:
        super().__init__()
        last = hidden[-1] if hidden else latent_dim
        self.body = nn.Sequential(*dense_stack(latent_dim, hidden, activation))
        self.output = nn.Linear(last, math.prod(raw_shape))
        self.raw_shape = raw_shape

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *raw"]:
        raw: Tensor = self.output(self.body(z))
        return raw.unflatten(-1, self.raw_shape)

    @torch.no_grad()
    def start_at(self, raw: Float[Tensor, " *raw"]) -> None:
        """Put a raw output into the last layer's bias, so that training starts from it."""
        self.output.bias.copy_(raw.flatten())


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}

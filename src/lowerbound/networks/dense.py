"""Dense encoder and decoder (fully connected layers), and the base class of all encoders."""

import math
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.networks.initialisation import heads
from lowerbound.networks.kernels import Linear


def dense_stack(in_features: int, hidden: tuple[int, ...], activation: str = "relu") -> list[nn.Module]:
    """Fully connected layers of the given widths, an activation after each."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [Linear(in_features, width), ACTIVATIONS[activation]()]
        in_features = width
    return layers


class Encoder(nn.Module):
    """Feature `layers`, flattened, then dense `hidden` layers, then the posterior's heads."""

    def __init__(
        self,
        layers: Iterable[nn.Module],
        num_features: int,
        hidden: tuple[int, ...],
        head_sizes: tuple[int, ...],
        activation: str,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers, nn.Flatten(), *dense_stack(num_features, hidden, activation))
        self.heads = heads(hidden[-1] if hidden else num_features, head_sizes)

    def forward(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch raw"]:
        raw: Tensor = self.heads(self.body(x))
        return raw


class DenseEncoder(Encoder):
    """Flattened input through `hidden` layers to the posterior's heads; `hidden=()` is a linear map."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        hidden: tuple[int, ...],
        head_sizes: tuple[int, ...],
        activation: str = "relu",
    ) -> None:
        super().__init__([], math.prod(event_shape), hidden, head_sizes, activation)


class DenseDecoder(nn.Module):
    """Latents through `hidden` layers to the likelihood's raw shape; `hidden=()` is a linear map."""

    def __init__(
        self, latent_dim: int, hidden: tuple[int, ...], raw_shape: tuple[int, ...], activation: str = "relu"
    ) -> None:
        super().__init__()
        last = hidden[-1] if hidden else latent_dim
        self.body = nn.Sequential(*dense_stack(latent_dim, hidden, activation))
        self.output = Linear(last, math.prod(raw_shape))
        self.raw_shape = raw_shape

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *raw"]:
        raw: Tensor = self.output(self.body(z))
        return raw.unflatten(-1, self.raw_shape)

    @torch.no_grad()
    def start_at(self, raw: Float[Tensor, " *raw"]) -> None:
        """Copy a raw output into the last layer's bias, so that training starts from it."""
        self.output.bias.copy_(raw.flatten())


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}

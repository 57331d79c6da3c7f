"""Initial weights, drawn from an explicit generator.

A network is first built without storage (on torch's "meta" device), because torch's own constructors would draw
from the global generator, and then given memory and weights here.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Generator, nn

from lowerbound.foundation.allocator import memory_of_machine
from lowerbound.foundation.errors import ConfigError
from lowerbound.networks.kernels import Linear

Network = TypeVar("Network", bound=nn.Module)
WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def build(construct: Callable[[], Network], generator: Generator) -> Network:
    """Construct a network and draw its weights: Glorot-uniform, biases zero, normalisations the identity.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010,
    Equation 16. Raises ConfigError for a network larger than the memory.
    """
    with torch.device("meta"):
        network = construct()
    _check_size(network)
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            glorot_uniform(module, generator)
        elif isinstance(module, nn.GroupNorm):
            module.reset_parameters()  # ones and zeros: nothing is drawn
    return network


def _check_size(network: nn.Module) -> None:
    """ConfigError before memory is allocated: a system may promise more than it has and kill the process later."""
    num_bytes = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    if num_bytes > (memory := memory_of_machine()):
        raise ConfigError(
            f"the model has weights of {num_bytes / 2**30:,.0f} GiB, more than this machine's memory of "
            f"{memory / 2**30:,.0f} GiB; lower model.hidden, model.channels or model.latent_dim."
        )


@torch.no_grad()
def glorot_uniform(module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, generator: Generator) -> None:
    """Draw one layer's weights. A layer of several heads is drawn head by head, as if each were its own layer."""
    for head in module.weight.split(getattr(module, "head_sizes", len(module.weight)), dim=0):
        nn.init.xavier_uniform_(head, generator=generator)
    if module.bias is not None:
        module.bias.zero_()


def heads(in_features: int, head_sizes: tuple[int, ...]) -> Linear:
    """One matrix product for all heads of an encoder (mean, log-variance); faster than a layer for each."""
    sizes = tuple(size for size in head_sizes if size)  # one latent has no covariances
    layer = Linear(in_features, sum(sizes))
    layer.head_sizes = sizes  # type: ignore[assignment]
    return layer

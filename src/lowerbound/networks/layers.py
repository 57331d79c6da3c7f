"""The layer table of a network, recorded in a forward pass: names, output shapes, parameters; its operations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lowerbound.foundation import html_view
from lowerbound.foundation.number_format import format_sizes


@dataclass(frozen=True)
class Layer:
    """One row: a layer, its output shape for one example, and its number of trainable parameters."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    num_parameters: int


def count_parameters(module: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@torch.no_grad()
def count_operations(compute: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())


@torch.no_grad()
def layer_table(network: nn.Module, *example: Tensor) -> list[Layer]:
    """The leaf layers in the order in which `example` (a batch of one, of each input) passes through them."""
    rows: list[Layer] = []
    handles = []
    for name, module in network.named_modules():
        # Without hidden layers the stack is an empty Sequential, which is not a layer.
        if not isinstance(module, nn.Sequential) and not list(module.children()):
            handles.append(module.register_forward_hook(_recorder(name.removeprefix("network."), rows)))
    try:
        network(*example)
    finally:
        for handle in handles:
            handle.remove()
    return rows


def layers_view(title: str, layers: list[Layer]) -> html_view.Html:
    """The layers of one network as a table for notebooks."""
    rows = [(row.name, row.kind, format_sizes(row.output_shape), f"{row.num_parameters:,}") for row in layers]
    return html_view.table((title, "layer", "output", "parameters"), rows, right=(3,))


def _recorder(name: str, rows: list[Layer]) -> Any:
    def record(module: nn.Module, _: Any, output: Tensor) -> None:
        rows.append(Layer(name, type(module).__name__, tuple(output.shape[1:]), count_parameters(module)))

    return record

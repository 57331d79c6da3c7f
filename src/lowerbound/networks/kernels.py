"""Convolutions in the form that is fastest on CPUs, and the switch back to plain PyTorch layers.

The fast form is the same function with another order of summation; docs/performance.md has the gain of each.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

KERNEL_SIZE = 3
TAPS = [(row, column) for row in range(KERNEL_SIZE) for column in range(KERNEL_SIZE)]


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution whose bias is added separately."""

    fast = True

    def forward(
        self, input: Float[Tensor, "batch channel height width"], output_size: list[int] | None = None
    ) -> Float[Tensor, "batch filter out_height out_width"]:
        if not self.fast or self.bias is None or output_size is not None:
            return super().forward(input, output_size)
        # oneDNN's gradient for a bias within a transposed convolution takes longer than the rest of the layer.
        out = F.conv_transpose2d(input, self.weight, None, self.stride, self.padding, self.output_padding)  # type: ignore[arg-type]
        return out.add_(self.bias.to(out.dtype)[:, None, None])


class Conv2d(nn.Conv2d):
    """A 3×3 convolution that preserves height and width; with a single filter it is computed as a matrix product."""

    fast = True

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, KERNEL_SIZE, padding=KERNEL_SIZE // 2)

    def forward(self, input: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch filter height width"]:
        # oneDNN pads one filter to a full vector of filters. In bfloat16 it is faster nevertheless.
        is_narrow = self.out_channels == 1 and input.device.type == "cpu" and input.dtype == self.weight.dtype
        if not self.fast or not is_narrow or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        assert self.bias is not None
        out: Tensor = _SingleFilter.apply(input, self.weight)
        return out + self.bias[:, None, None]


class _SingleFilter(torch.autograd.Function):
    """The products of every pixel with all nine taps at once, as one matrix product, then nine shifted sums."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        num_images, num_channels, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(-1, num_channels)
        taps = weight.permute(2, 3, 0, 1).reshape(-1, num_channels)
        ctx.save_for_backward(pixels, taps)
        ctx.shape = x.shape
        products = F.pad((taps @ pixels.T).view(len(TAPS), num_images, height, width), (1, 1, 1, 1))
        out = torch.zeros_like(products[0, :, :height, :width])
        for product, (row, column) in zip(products, TAPS, strict=True):
            out += product[:, row : row + height, column : column + width]
        return out.unsqueeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        pixels, taps = ctx.saved_tensors
        num_images, num_channels, height, width = ctx.shape
        padded = F.pad(gradient.squeeze(1), (1, 1, 1, 1))
        # A pixel at (i, j) contributed to the output at (i + 1 - row, j + 1 - column).
        shifted = [padded[:, 2 - row : 2 - row + height, 2 - column : 2 - column + width] for row, column in TAPS]
        gradients = torch.stack(shifted).flatten(1)
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            for_x = (gradients.T @ taps).view(num_images, height, width, num_channels).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            for_weight = (gradients @ pixels).view(KERNEL_SIZE, KERNEL_SIZE, 1, num_channels).permute(2, 3, 0, 1)
        return for_x, for_weight


def choose_kernels(network: nn.Module, fast: bool) -> None:
    """Make every layer of `network` use its fast or its plain form; results agree up to rounding."""
    for module in network.modules():
        if isinstance(module, ConvTranspose2d | Conv2d):
            module.fast = fast

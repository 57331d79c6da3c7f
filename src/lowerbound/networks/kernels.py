"""Layers in the form that is fastest on CPUs, and the switch back to plain PyTorch layers.

The fast form is the same function with another order of summation; docs/performance.md has the gain of each.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

KERNEL_SIZE = 3
TAPS = [(row, column) for row in range(KERNEL_SIZE) for column in range(KERNEL_SIZE)]


MIN_WEIGHTS = 8192  # of a linear layer from which on oneDNN's product is worth its dispatch


class Linear(nn.Linear):
    """A fully connected layer, multiplied by oneDNN where that is faster than the library that PyTorch calls."""

    fast = True

    def forward(self, input: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch out"]:
        is_large = self.weight.numel() >= MIN_WEIGHTS and input.numel() > 0
        if not (self.fast and is_large and multiplies_by_onednn(input, self.weight)):
            return super().forward(input)
        out: Tensor = _Product.apply(input, self.weight, self.bias)
        return out


class _Product(torch.autograd.Function):
    """x Wᵀ + b, and its derivatives of any order, each as one product of oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        multiply = _Product.apply if torch.is_grad_enabled() else product
        for_x = for_weight = for_bias = None
        if ctx.needs_input_grad[0]:
            for_x = multiply(gradient, weight.t(), None)
        rows = gradient.reshape(-1, len(weight))
        if ctx.needs_input_grad[1]:
            for_weight = multiply(rows.t(), x.reshape(-1, weight.shape[1]).t(), None)
        if ctx.needs_input_grad[2]:
            for_bias = rows.sum(0)
        return for_x, for_weight, for_bias


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b by oneDNN."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def _products(x: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ of a wide and a narrow matrix, by what multiplies them faster."""
    if len(x) and len(weight) and multiplies_by_onednn(x, weight):
        return product(x, weight, None)
    return x @ weight.T


def multiplies_by_onednn(*tensors: Tensor) -> bool:
    """Whether these tensors are multiplied by oneDNN: in float32 on a CPU where that is faster, outside of transforms.

    The transforms of torch.func and traces take PyTorch's own operations.
    """
    return (
        onednn_is_faster()
        and all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
        and not (torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling())
        and not torch._C._are_functorch_transforms_active()
    )


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN multiplies faster than MKL: on AMD, where MKL leaves half of AVX-512 unused.

    On other processors, and in versions of torch without the operation, which is not public, products stay as they are.
    """
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    is_known = hasattr(torch.ops.mkldnn, "_linear_pointwise") and hasattr(torch._C, "_are_functorch_transforms_active")
    return is_known and capabilities.get("avx512_f", False) and "AMD" in capabilities.get("cpu_name", "")


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
        products = _products(taps, pixels).view(len(TAPS), num_images, height, width)
        products = F.pad(products, (1, 1, 1, 1))
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
            for_weight = (
                _products(gradients, pixels.T).view(KERNEL_SIZE, KERNEL_SIZE, 1, num_channels).permute(2, 3, 0, 1)
            )
        return for_x, for_weight


def choose_kernels(network: nn.Module, fast: bool) -> None:
    """Make every layer of `network` use its fast or its plain form; results agree up to rounding."""
    for module in network.modules():
        if isinstance(module, Linear | ConvTranspose2d | Conv2d):
            module.fast = fast

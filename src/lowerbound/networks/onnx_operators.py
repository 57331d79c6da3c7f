"""Decompositions of operators that ONNX lacks, or that its exporter computes with too few digits.

Operations that cancel are computed in double precision, which keeps the digits of single precision.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

NUM_SHIFTS = 8  # of the argument of log Γ; from 8 on, five terms of the series give 13 digits

STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)
"""Coefficients of 1/x, 1/x³, ... in log Γ(x): Abramowitz and Stegun, "Handbook of Mathematical Functions", 6.1.41."""


def log_gamma(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log Γ(x) for x > 0, for which ONNX has no operator.

    log Γ(x) = log Γ(x + n) − log(x (x + 1) ... (x + n − 1)), and Stirling's series for the first.
    """
    precise = x.double()
    product = precise
    for shift in range(1, NUM_SHIFTS):
        product = product * (precise + shift)
    far = precise + NUM_SHIFTS
    series = sum(term * far ** (-1 - 2 * index) for index, term in enumerate(STIRLING))
    stirling = (far - 0.5) * torch.log(far) - far + 0.5 * math.log(2 * math.pi) + series
    return (stirling - torch.log(product)).to(x.dtype)


def exp_minus_one(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """e^x − 1, for which a plain difference loses digits near zero."""
    return (torch.exp(x.double()) - 1).to(x.dtype)


def log_one_plus(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(1 + x), which also loses digits near zero."""
    return torch.log(x.double() + 1).to(x.dtype)


def log_sigmoid(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log σ(x), without the underflow of the sigmoid."""
    return torch.minimum(x, torch.zeros_like(x)) - torch.log(1 + torch.exp(-x.abs()))


def binary_cross_entropy(
    logits: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    weight: None = None,
    pos_weight: None = None,
    reduction: int = 0,
) -> Float[Tensor, "*shape"]:
    """−log p(target) of a Bernoulli from its logits, element by element, as torch's operator."""
    assert weight is None and pos_weight is None and reduction == 0
    return torch.relu(logits) - target * logits + torch.log(1 + torch.exp(-logits.abs()))


DECOMPOSITIONS: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.lgamma.default: log_gamma,
    torch.ops.aten.expm1.default: exp_minus_one,
    torch.ops.aten.log1p.default: log_one_plus,
    torch.ops.aten.log_sigmoid.default: log_sigmoid,
    torch.ops.aten.binary_cross_entropy_with_logits.default: binary_cross_entropy,
}
"""Replacements of torch's operators in the export to ONNX."""

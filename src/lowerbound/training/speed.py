"""How a step is computed: by fast or by plain operations, and in which precision."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from lowerbound.allocator import kept_memory
from lowerbound.networks.kernels import choose_kernels


def choose_precision(name: str, device: torch.device | str) -> torch.dtype:
    """The precision of the networks' layers: "auto" is bfloat16 where the device has instructions for it.

    Weights, densities and optimiser stay in float32 either way.
    """
    if name == "auto":
        name = "bfloat16" if has_fast_bfloat16(torch.device(device)) else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 run on instructions of their own; elsewhere they are emulated, and slow."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    return False


@contextmanager
def computing(model: nn.Module, speed: str) -> Iterator[None]:
    """Within this, `model` computes by "fast" or by "plain" operations, and memory is kept for the fast ones."""
    with ExitStack() as stack:
        if speed == "fast":
            stack.enter_context(kept_memory())
        choose_kernels(model, fast=speed == "fast")
        stack.callback(choose_kernels, model, fast=True)
        yield

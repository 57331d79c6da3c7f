"""How a training step is computed: with fast or plain operations, in float32 or bfloat16."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from lowerbound.foundation.allocator import kept_memory
from lowerbound.networks.kernels import choose_kernels


def choose_precision(name: str, device: torch.device | str) -> torch.dtype:
    """The precision of the networks' layers: "auto" is bfloat16 if that is faster on the device.

    Weights, densities and optimiser stay in float32 either way.
    """
    if name == "auto":
        name = "bfloat16" if has_fast_bfloat16(torch.device(device)) else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether layers are faster in bfloat16 than in float32: on GPUs with bfloat16, and on CPUs with AMX.

    On CPUs whose only bfloat16 instructions are those of AVX-512, bfloat16 is faster on AMD and slower on Intel;
    docs/performance.md has the measurements. A version of torch that does not list the CPU's instructions gets float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.6 has none
        has_fast_avx512 = capabilities.get("avx512_bf16", False) and "AMD" in capabilities.get("cpu_name", "")
        return bool(capabilities.get("amx_bf16", False) or has_fast_avx512)
    return False


@contextmanager
def computing(model: nn.Module, speed: str) -> Iterator[None]:
    """Within this context `model` uses "fast" or "plain" operations; fast ones also keep freed memory."""
    with ExitStack() as stack:
        if speed == "fast":
            stack.enter_context(kept_memory())
        choose_kernels(model, fast=speed == "fast")
        stack.callback(choose_kernels, model, fast=True)
        yield

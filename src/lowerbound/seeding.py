"""Named random streams.

Every use of chance has a stream of its own, made from the run's seed and a name, so that adding a draw in one
place (an extra evaluation, say) changes nothing anywhere else. torch's global generator is never used.
"""

import hashlib

import torch


def generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for the stream `name` of `seed`; equal arguments give equal streams."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    # 63 bits: torch takes a signed 64-bit seed.
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)

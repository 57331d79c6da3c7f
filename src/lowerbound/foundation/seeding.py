"""Named random streams: every use of randomness has its own generator, made from the run's seed and a name.

So an additional draw in one place, such as an extra evaluation, changes nothing elsewhere. torch's global generator is
never used.

Noise for scoring an example is seeded from the example's values, so its score is the same alone, and in any batch,
file or order: `content_noise`. Noise in training comes from one stream for the batch: `generator`. Several ranks draw
it for the whole batch and take their rows: `SharedNoise`.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.shares import Rows


def generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for the stream `name` of `seed`; equal arguments give equal streams."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    # 63 bits: torch takes a signed 64-bit seed.
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class RowNoise(ABC):
    """Standard normal noise that belongs to rows of a batch: an example's does not depend on the rows around it."""

    @abstractmethod
    def normal(self, num_samples: int, like: Float[Tensor, "batch *event"]) -> Float[Tensor, "sample batch *event"]:
        """`num_samples` tensors of the shape of `like`."""


class SharedNoise(RowNoise):
    """The noise of some rows of a batch: drawn for the whole batch, so that every rank's generator moves equally."""

    def __init__(self, generator: torch.Generator, rows: Rows) -> None:
        self.generator, self.rows = generator, rows

    def normal(self, num_samples: int, like: Float[Tensor, "batch *event"]) -> Float[Tensor, "sample batch *event"]:
        """The rows of one draw for the whole batch."""
        shape = (num_samples, self.rows.size, *like.shape[1:])
        drawn = torch.randn(shape, generator=self.generator, dtype=like.dtype, device=like.device)
        return drawn[:, self.rows.slice]


class ContentNoise(RowNoise):
    """Standard normal noise from a stream for each example; successive draws continue the streams."""

    def __init__(self, streams: Sequence[np.random.Generator]) -> None:
        self.streams = streams

    def normal(self, num_samples: int, like: Float[Tensor, "batch *event"]) -> Float[Tensor, "sample batch *event"]:
        """`num_samples` tensors of the shape of `like`; the first ones do not depend on `num_samples`."""
        drawn = np.empty((len(self.streams), num_samples, *like.shape[1:]))
        for stream, part in zip(self.streams, drawn, strict=True):
            stream.standard_normal(out=part)
        return torch.from_numpy(np.ascontiguousarray(drawn.swapaxes(0, 1))).to(like.device, like.dtype)


def content_streams(x: Float[Tensor, "batch *event"], seed: int, name: str) -> list[np.random.Generator]:
    """A stream for each example, from a hash of its values in float32, the seed and a name."""
    values = x.detach().to("cpu", torch.float32).flatten(1).numpy() + np.float32(0)  # which makes -0 a 0
    values = np.where(np.isnan(values), np.float32(np.nan), values)  # one of the many NaNs
    key = f"{seed}/{name}".encode()
    digests = (hashlib.blake2b(row.tobytes(), digest_size=16, key=key[:64]).digest() for row in values)
    return [np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))) for digest in digests]


def content_noise(x: Float[Tensor, "batch *event"], seed: int, name: str) -> ContentNoise:
    """Noise for scoring examples; equal examples get equal noise, whatever their source."""
    return ContentNoise(content_streams(x, seed, name))


Chance = torch.Generator | RowNoise
"""A source of noise: one stream for the whole batch, or noise that belongs to its rows."""


def standard_normal(chance: Chance, num_samples: int, like: Float[Tensor, "*shape"]) -> Float[Tensor, "sample *shape"]:
    """`num_samples` tensors of standard normal noise, each of the shape, type and device of `like`."""
    if isinstance(chance, RowNoise):
        return chance.normal(num_samples, like)
    return torch.randn((num_samples, *like.shape), generator=chance, dtype=like.dtype, device=like.device)

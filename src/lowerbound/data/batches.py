"""Minibatches: deterministic, resumable, and cheap.

Images stay as they came (uint8 where they were) on the device that trains, and are gathered and scaled to [0, 1] one
batch at a time. The order of an epoch is a function of the seed and the epoch's number alone, so a position in it
is all that resuming needs.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.sources import Examples
from lowerbound.seeding import generator


class Batches:
    """The minibatches of one split, as N x C x H x W floats in [0, 1]."""

    def __init__(self, examples: Examples, batch_size: int, device: torch.device | str = "cpu") -> None:
        self.images = torch.tensor(examples.images.transpose(0, 3, 1, 2), device=device)
        self.max_value = examples.max_value
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(self.num_examples / self.batch_size)

    @property
    def num_examples(self) -> int:
        """Number of images."""
        return len(self.images)

    def shuffled(self, seed: int, epoch: int, start: int = 0) -> Iterator[Float[Tensor, "batch channel height width"]]:
        """The batches of one epoch, from number `start` on; the last may be short."""
        order = torch.randperm(self.num_examples, generator=generator(seed, f"order/{epoch}"))
        order = order.to(self.images.device)
        for first in range(start * self.batch_size, self.num_examples, self.batch_size):
            yield self._scaled(self.images[order[first : first + self.batch_size]])

    def __iter__(self) -> Iterator[Float[Tensor, "batch channel height width"]]:
        """Every image once, in the split's own order."""
        for images in self.images.split(self.batch_size):
            yield self._scaled(images)

    def _scaled(self, images: Tensor) -> Float[Tensor, "batch channel height width"]:
        # A copy, also of what is float already: dividing in place must not reach the data.
        return images.to(torch.float32, copy=True).div_(self.max_value)


def scaled(examples: Examples) -> Float[Tensor, "n channel height width"]:
    """A whole, small set of images at once, as floats in [0, 1]."""
    return next(iter(Batches(examples, batch_size=max(1, len(examples)))))

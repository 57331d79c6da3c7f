"""RoundedNetworks: encoder and decoder in double precision, with outputs rounded so that every machine gets the same.

Sums of another order (another batch size, another processor) change the last of 16 digits; rounded to 1/1024 the
outputs agree unless one is at the boundary between two multiples. Those closer to it than any such difference are
recorded when a file is written, and looked up when it is read.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import nn

from lowerbound.coding.portable_tables import STEPS
from lowerbound.foundation.errors import DataError
from lowerbound.models.vae import VAE
from lowerbound.networks.kernels import choose_kernels

MARGIN = 1e-6  # of a step: 1e-9 of an output, a thousand times what another order of summation changes
LARGEST = 2**31 - 1  # steps
AT_ONCE = 256  # images

ENCODER, DECODER = 0, 1
Position = tuple[int, int, int]
"""A network, the number of an image in its block, and an output."""


@dataclass
class Exceptions:
    """Outputs next to a boundary, and whether they were rounded up when the file was written."""

    rounded_up: dict[Position, bool] = field(default_factory=dict)

    def record(self, network: int, images: Int64[np.ndarray, " image"], scaled: np.ndarray, steps: np.ndarray) -> None:
        """Add the outputs that are next to a boundary."""
        is_near = np.abs(np.abs(scaled - steps) - 0.5) < MARGIN
        for row, column in np.argwhere(is_near):
            self.rounded_up[network, int(images[row]), int(column)] = bool(steps[row, column] > scaled[row, column])

    def apply(self, network: int, images: Int64[np.ndarray, " image"], scaled: np.ndarray, steps: np.ndarray) -> None:
        """Round the outputs that were recorded as they were then."""
        if not self.rounded_up:
            return
        rows = {int(image): row for row, image in enumerate(images)}
        for (of, image, column), is_up in self.rounded_up.items():
            if of == network and image in rows and column < steps.shape[1]:
                # Here the output may be on the other side of the boundary, which is halfway between two multiples.
                below = round(float(scaled[rows[image], column]) - 0.5)
                steps[rows[image], column] = below + is_up

    def as_array(self) -> Int64[np.ndarray, "exception 2"]:
        """The image of each, and in one number output, network and whether it was rounded up."""
        rows = [(image, column << 2 | of << 1 | up) for (of, image, column), up in self.rounded_up.items()]
        return np.array(rows, np.int64).reshape(-1, 2)

    @classmethod
    def of_array(cls, rows: Iterable[Iterable[int]]) -> "Exceptions":
        """The same from `as_array`."""
        return cls({(number >> 1 & 1, image, number >> 2): bool(number & 1) for image, number in rows})


class RoundedNetworks:
    """The networks of a model."""

    def __init__(self, model: VAE) -> None:
        self.model = deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(False)
        choose_kernels(self.model, fast=False)

    def encoded(
        self, x: Float64[np.ndarray, "image element"], images: Int64[np.ndarray, " image"], exceptions: Exceptions,
        is_writing: bool,
    ) -> Int64[np.ndarray, "image raw"]:  # fmt: skip
        """The encoder's outputs for images, in steps of 1/1024."""
        shaped = torch.from_numpy(x).reshape(-1, *self.model.event_shape)
        features = self.model.likelihood.features(shaped)
        return _rounded(self.model.encoder, features, ENCODER, images, exceptions, is_writing)

    def decoded(
        self, z: Float64[np.ndarray, "image latent"], images: Int64[np.ndarray, " image"], exceptions: Exceptions,
        is_writing: bool,
    ) -> Int64[np.ndarray, "image raw"]:  # fmt: skip
        """The decoder's outputs for latents, in steps of 1/1024."""
        return _rounded(self.model.decoder, torch.from_numpy(z), DECODER, images, exceptions, is_writing)


@torch.inference_mode()
def _rounded(
    network: nn.Module, inputs: torch.Tensor, number: int, images: Int64[np.ndarray, " image"], exceptions: Exceptions,
    is_writing: bool,
) -> Int64[np.ndarray, "image raw"]:  # fmt: skip
    outputs = torch.cat([network(part).flatten(1) for part in inputs.split(AT_ONCE)]).numpy()
    scaled = outputs * STEPS
    if not (np.abs(scaled) < LARGEST).all():
        row = int(np.flatnonzero(~(np.abs(scaled) < LARGEST).all(1))[0])
        raise DataError(
            f"the model's outputs for example {images[row]} (of its block, from 0) are too large to be coded: it lies "
            "far from the training data, or the model has diverged."
        )
    steps = np.rint(scaled)
    whole = steps.astype(np.int64)
    if is_writing:
        exceptions.record(number, images, scaled, whole)
    else:
        exceptions.apply(number, images, scaled, whole)
    return whole

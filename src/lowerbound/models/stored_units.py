"""StoredUnits: values and distributions converted between the model's scale and the units and layout of the data."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.foundation.schema import Schema
from lowerbound.probability.distributions import Distribution


def to_stored_units(x: Float[Tensor, "*batch_and_event"], schema: Schema) -> Float[Tensor, "*batch_and_stored"]:
    """Convert values from the model's scale to stored units, images to channels last; with offsets in float64."""
    low, high = schema.range
    if schema.is_scaled:
        x = low + (high - low) * x
    if schema.offsets:
        x = x.double() + torch.tensor(schema.offsets, dtype=torch.float64, device=x.device).reshape(schema.shape)
    return x.movedim(-3, -1) if schema.layout == "image" else x


def to_model_units(stored: Float[Tensor, "*batch_and_stored"], schema: Schema) -> Float[Tensor, "*batch_and_event"]:
    """Convert stored values to the model's scale and layout, in float32."""
    low, high = schema.range
    x = stored.movedim(-1, -3) if schema.layout == "image" else stored
    if schema.offsets:
        x = x.double() - torch.tensor(schema.offsets, dtype=torch.float64, device=x.device).reshape(schema.shape)
    return ((x.double() - low) / (high - low)).float() if schema.is_scaled else x.float()


@dataclass(frozen=True, eq=False)
class StoredUnits(Distribution):
    """A likelihood p(x|z) with values in stored units and layout.

    Log-densities are those that the run reports: of x on the model's scale, in nats, without the constant of the change
    of units. Levels of a table's column remain positions.
    """

    of_x: Distribution
    schema: Schema

    @property
    def event_ndim(self) -> int:  # type: ignore[override]
        return self.of_x.event_ndim

    @property
    def mean(self) -> Float[Tensor, "*batch_and_stored"]:
        return to_stored_units(self.of_x.mean, self.schema)

    @property
    def mode(self) -> Float[Tensor, "*batch_and_stored"]:
        return to_stored_units(self.of_x.mode, self.schema)

    @property
    def variance(self) -> Float[Tensor, "*batch_and_stored"]:
        low, high = self.schema.range
        variance = self.of_x.variance * (high - low) ** 2
        return variance.movedim(-3, -1) if self.schema.layout == "image" else variance

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        return self.of_x.log_prob(to_model_units(value, self.schema))

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_stored"]:
        return to_stored_units(self.of_x.sample(generator, num_samples), self.schema)

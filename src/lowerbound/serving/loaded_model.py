"""LoadedModel: a trained model in memory, the base of what the service and the explorer load."""

from typing import Any

from lowerbound.foundation.schema import Layout, Schema
from lowerbound.models.vae import VAE
from lowerbound.runs.trained_model import TrainedModel


def first_values(model: VAE) -> dict[str, Any]:
    """A value of each condition to start with: the first level, or the mean of the training data."""
    if model.encoding is None:
        return {}
    means = model.encoding.mean.double().tolist()
    return {
        column.name: column.levels[0] if column.levels else round(mean + column.offset, 3)
        for column, mean in zip(model.conditions, means, strict=True)
    }


class LoadedModel:
    """An object with a trained model."""

    trained: TrainedModel

    @property
    def model(self) -> VAE:
        """The model as a torch module."""
        return self.trained.vae

    @property
    def schema(self) -> Schema:
        """The schema of its data."""
        return self.trained.schema

    @property
    def layout(self) -> Layout:
        """The kind of its examples: "image", "array" or "table"."""
        return self.schema.layout

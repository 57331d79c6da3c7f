"""A run's model in memory: what the service and the explorer have in common."""

from lowerbound.foundation.schema import Layout, Schema
from lowerbound.models.vae import VAE
from lowerbound.runs.trained_model import TrainedModel


class LoadedModel:
    """Whatever holds a trained model."""

    trained: TrainedModel

    @property
    def model(self) -> VAE:
        """The bare module."""
        return self.trained.vae

    @property
    def schema(self) -> Schema:
        """What its data are."""
        return self.trained.schema

    @property
    def layout(self) -> Layout:
        """What an example is: "image", "array" or "table"."""
        return self.schema.layout

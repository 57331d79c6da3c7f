"""LoadedModel: a trained model in memory, the base of what the service and the explorer load."""

from lowerbound.foundation.schema import Layout, Schema
from lowerbound.models.vae import VAE
from lowerbound.runs.trained_model import TrainedModel


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

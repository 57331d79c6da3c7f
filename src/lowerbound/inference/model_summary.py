"""summary: the layers of a run's model, or of a recipe's for images of a size, with shapes and parameter counts."""

from dataclasses import dataclass
from pathlib import Path

from lowerbound.data.data_kinds import describe_shape
from lowerbound.data.sources import SIZES, read_size
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.run_identity import is_run
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.text import pluralise
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE
from lowerbound.networks.layers import Layer, count_parameters
from lowerbound.runs.experiment import Settings, resolve
from lowerbound.training.checkpoint import load_model


@dataclass(frozen=True)
class Summary:
    """A model's layers."""

    title: str
    encoder: list[Layer]
    decoder: list[Layer]
    num_parameters: int
    likelihood_note: str


def summary(target: str, size: str = "28x28", channels: int = 1, settings: Settings | None = None) -> Summary:
    """The layers of a run's model, or of a recipe's for images of WIDTHxHEIGHT and a number of channels."""
    if is_run(Path(target)):
        model = load_model(Path(target))
    else:
        lengths = read_size(size)
        if lengths is None:
            raise UsageError(f"size {size!r} is not {SIZES}, such as 28x28.", hint="size")
        width, height = lengths
        model = build_model(resolve(target, settings).model, (channels, height, width), generator(0, "summary"))
    encoder, decoder = model.layers()
    return Summary(_title(target, model), encoder, decoder, count_parameters(model), _likelihood_note(model))


def _title(target: str, model: VAE) -> str:
    kind = "images" if len(model.event_shape) == 3 else "examples"
    return f"{target}: {kind} {describe_shape(model.event_shape)}, {pluralise(model.latent_dim, 'latent')}"


def _likelihood_note(model: VAE) -> str:
    own = count_parameters(model.likelihood)
    return f", of which {own} is the likelihood's own" if own else ""

"""summary: the layers of a run's model, or of a recipe's for images of a size, with shapes and parameter counts."""

from dataclasses import dataclass
from pathlib import Path

from lowerbound.data.conditions import LABEL
from lowerbound.data.data_kinds import describe_shape
from lowerbound.data.sources import SIZES, read_size
from lowerbound.data.tables import quoted_list
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.run_identity import is_run
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE
from lowerbound.networks.layers import Layer, count_parameters
from lowerbound.runs.experiment import Settings, resolve
from lowerbound.training.checkpoint import load_model

NUM_LABELS = 10
"""Labels of the data of recipes that are conditional on them."""


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
        config, shape = resolve(target, settings).model, (channels, height, width)
        model = build_model(config, shape, generator(0, "summary"), conditions=_conditions(config))
    encoder, decoder = model.layers()
    return Summary(_title(target, model), encoder, decoder, count_parameters(model), _likelihood_note(model))


def _title(target: str, model: VAE) -> str:
    kind = "images" if len(model.event_shape) == 3 else "examples"
    given = "".join(f", given the {one.name}, one of {one.num_levels}" for one in model.conditions if one.levels)
    return f"{target}: {kind} {describe_shape(model.event_shape)}, {model.latents_in_words}{_map(model)}{given}"


def _conditions(config: ModelConfig) -> list[Column]:
    """Labels as of digits, where a recipe is conditional on labels; UsageError for columns, which only data have."""
    if not config.condition_on:
        return []
    if list(config.condition_on) != [LABEL]:
        raise UsageError(
            f"the layers of a model that is conditional on {quoted_list(config.condition_on)} depend on the data; "
            "give a run, or leave out model.condition_on."
        )
    return [Column(name=LABEL, kind="categorical", levels=tuple(map(str, range(NUM_LABELS))))]


def _map(model: VAE) -> str:
    return f" on a map of {'×'.join(map(str, model.latent_shape))}" if len(model.latent_shape) > 1 else ""


def _likelihood_note(model: VAE) -> str:
    own = count_parameters(model.likelihood)
    return f", of which {own} is the likelihood's own" if own else ""

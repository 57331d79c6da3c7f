"""build_model: a new VAE from its configuration, with weights from a generator; checks of parts before saving."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.foundation.errors import ConfigError, RunError
from lowerbound.foundation.schema import Column
from lowerbound.foundation.text import pluralise
from lowerbound.models.config import PARTS, ModelConfig
from lowerbound.models.vae import VAE, times
from lowerbound.networks.architectures import FOR_IMAGES, NETWORKS
from lowerbound.networks.initialisation import build
from lowerbound.probability.likelihood import Likelihood
from lowerbound.probability.parts import OWN, Part, plain_options
from lowerbound.probability.posterior import Posterior
from lowerbound.probability.table_likelihood import TableLikelihood

MEAN_RANGE = (0.001, 0.999)


def build_model(
    config: ModelConfig,
    event_shape: tuple[int, ...],
    generator: Generator,
    mean: Float[Tensor, " *event"] | None = None,
    deviation: Float[Tensor, " *event"] | None = None,
    columns: Sequence[Column] = (),
) -> VAE:
    """A new model with weights drawn from `generator`; `mean` and `deviation` are the training data's.

    `columns` are those of a table, for the likelihood "table"; without them every column is numeric.

    A likelihood with location and scale is standardised by them, and with output_bias "mean" the decoder's initial
    output is the mean, as in Burda et al., arXiv:1509.00519: means in [0, 1] are first moved into [0.001, 0.999].

    Examples:
        >>> import torch
        >>> lb.build_model(lb.ModelConfig(hidden=(32,)), (1, 8, 8), torch.Generator().manual_seed(0))
        VAE of examples of shape 1×8×8 with 2 latents: ...; 4,420 parameters
    """
    if config.network == OWN:
        raise ConfigError("network 'own' means your own modules: pass them to VAE(encoder=..., decoder=...).")
    likelihood = build_likelihood(config, event_shape, columns)
    if config.network in FOR_IMAGES:
        _check_shapes_are_those_of_images(config, likelihood)
    if mean is not None and deviation is not None:
        likelihood.standardise(mean, deviation)
    posterior: Posterior = build_part("posterior", config)
    architecture = NETWORKS[config.network]
    encoder = build(lambda: architecture.encoder(config, likelihood.feature_shape, posterior.head_sizes), generator)
    decoder = build(lambda: architecture.decoder(config, likelihood.raw_shape), generator)
    if config.output_bias == "mean" and mean is not None:
        inner = mean.clamp(*MEAN_RANGE) if likelihood.is_within_unit_interval else mean
        decoder.start_at(likelihood.raw_of_mean(inner))
    model = VAE(
        config=config,
        event_shape=event_shape,
        encoder=encoder,
        posterior=posterior,
        prior=build_part("prior", config),
        decoder=decoder,
        likelihood=likelihood,
    )
    if mean is not None and deviation is not None and likelihood.feature_range is not None:
        start = likelihood.features(mean)
        model.prior.standardise(start, likelihood.features(mean + deviation) - start)
    model.posterior.initialise(generator)
    model.prior.initialise(generator)
    # Channels last: the fastest layout for convolutions in oneDNN and cuDNN; dense weights are not affected.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _check_shapes_are_those_of_images(config: ModelConfig, likelihood: Likelihood) -> None:
    """ConfigError if the data, or the tensors between networks and likelihood, do not have the shape of images."""
    event_shape = likelihood.event_shape
    shown = f"rows of {pluralise(event_shape[0], 'value')}" if len(event_shape) == 1 else times(event_shape)
    features, raw, name = likelihood.feature_shape, likelihood.raw_shape, config.likelihood
    for shape, came in (
        (event_shape, f"the data are {shown}"),
        (features, f"likelihood {name!r} gives the encoder {times(features)}"),
        (raw, f"likelihood {name!r} needs {times(raw)} from the decoder"),
    ):
        if len(shape) != 3:
            raise ConfigError(f"network {config.network!r} needs images, but {came}; use network 'dense'.")


def build_likelihood(config: ModelConfig, event_shape: tuple[int, ...], columns: Sequence[Column] = ()) -> Likelihood:
    """The likelihood of a configuration; a table's likelihood needs its columns."""
    if config.likelihood == "table":
        if len(event_shape) != 1:
            raise ConfigError(f"likelihood 'table' needs rows of cells, but the data are {times(event_shape)}.")
        return TableLikelihood(event_shape, tuple(columns))
    likelihood: Likelihood = build_part("likelihood", config, event_shape)
    return likelihood


def build_part(kind: str, config: ModelConfig, shape: tuple[int, ...] | None = None) -> Any:
    """The likelihood, prior or posterior of a configuration; the shape of the latter two is latent_dim."""
    name = getattr(config, kind)
    if name == OWN:
        raise ConfigError(
            f"model.{kind} 'own' means your own class: pass an instance to VAE({kind}=...), or register it under a "
            f"name with lowerbound.register_{kind}."
        )
    return PARTS[kind][name](config.latent_dim if shape is None else shape, **getattr(config, f"{kind}_options"))


def check_can_be_saved(model: VAE) -> None:
    """RunError for a model with a part that could not be rebuilt from a file."""
    for kind in PARTS:
        part: Part = getattr(model, kind)
        own = type(part).__name__
        if getattr(model.config, kind) == OWN:
            raise RunError(
                f"the model cannot be saved: its {kind} {own} is not registered; before building the model, call "
                f"lowerbound.register_{kind}('{own.lower()}', {own})."
            )
        for option in sorted(part.options.keys() - plain_options(part).keys()):
            raise RunError(
                f"the model cannot be saved: option {option!r} of {kind} {own} is a "
                f"{type(part.options[option]).__name__}; files can store numbers, strings and Booleans."
            )
    _check_state_can_be_stored(model)


def _check_state_can_be_stored(model: VAE) -> None:
    for name, value in model.state_dict().items():
        kind = str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
        if not isinstance(value, Tensor) or value.is_complex():
            raise RunError(f"the model cannot be saved: {name} is a {kind}; files store real tensors.")


def check_parts_are_known(settings: Any, source: str) -> None:
    """RunError if a file's model needs a part that is not registered in this process."""
    for kind, table in PARTS.items():
        name = settings.get(kind) if isinstance(settings, Mapping) else None
        if isinstance(name, str) and name not in table:
            raise RunError(
                f"{source} needs the {kind} {name!r}, which is not registered; call "
                f"lowerbound.register_{kind}({name!r}, ...) first."
            )

"""build_model: a new VAE from its configuration, with weights from a generator; checks of parts before saving."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from lowerbound.foundation.errors import ConfigError, RunError
from lowerbound.foundation.schema import Column
from lowerbound.foundation.text import pluralise
from lowerbound.models.config import PARTS, ModelConfig
from lowerbound.models.context import ContextEncoding
from lowerbound.models.latent_map import check_latent_map
from lowerbound.models.levels import decoder_of_levels, encoder_of_levels, latent_parts, num_decoded
from lowerbound.models.part_checks import times
from lowerbound.models.vae import VAE, Context
from lowerbound.networks.architectures import FOR_IMAGES, NETWORKS, Sizes
from lowerbound.networks.conditioned import ConditionedDecoder, ConditionedEncoder
from lowerbound.networks.initialisation import build
from lowerbound.probability.likelihood import Likelihood
from lowerbound.probability.parts import OWN, Part, plain_options
from lowerbound.probability.posterior import Posterior
from lowerbound.probability.prior import Prior
from lowerbound.probability.table_likelihood import TableLikelihood

MEAN_RANGE = (0.001, 0.999)


def build_model(
    config: ModelConfig,
    event_shape: tuple[int, ...],
    generator: Generator,
    mean: Float[Tensor, " *event"] | None = None,
    deviation: Float[Tensor, " *event"] | None = None,
    context: Context | None = None,
    columns: Sequence[Column] = (),
    conditions: Sequence[Column] = (),
) -> VAE:
    """A new model with weights drawn from `generator`; `mean` and `deviation` are the training data's.

    `columns` are those of a table, for the likelihood "table"; without them every column is numeric. `conditions` are
    what a conditional model is given: those of the data's schema, one for each name in `config.condition_on`; `context`
    is that of the training data, which standardises their numbers.

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
    posterior, prior = _latent_parts(config, generator)
    architecture = NETWORKS[config.network]
    check_latent_map(config, event_shape, posterior)
    _check_conditions(config, conditions)
    encoding = ContextEncoding(conditions) if conditions else None
    if encoding and context is not None and not config.classifier:  # which has levels alone
        encoding.standardise(context)
    num_features, is_of_images = (encoding.num_features if encoding else 0), config.network in FOR_IMAGES
    shape = likelihood.feature_shape
    if encoding:
        shape = ConditionedEncoder.input_shape(shape, num_features, is_of_images)
    sizes = _with_inputs(config, num_decoded(config), num_features)
    encoder = build(lambda: _encoder(config, shape, posterior), generator)
    decoder = build(lambda: architecture.decoder(sizes, likelihood.raw_shape), generator)
    if encoding:
        encoder = ConditionedEncoder(encoder, num_features, is_of_images)
    if config.output_bias == "mean" and mean is not None:
        inner = mean.clamp(*MEAN_RANGE) if likelihood.is_within_unit_interval else mean
        decoder.start_at(likelihood.raw_of_mean(inner))
    of_latents = ConditionedDecoder(decoder) if encoding else decoder
    model = VAE(
        config=config,
        event_shape=event_shape,
        encoder=encoder,
        posterior=posterior,
        prior=prior,
        decoder=decoder_of_levels(of_latents, config) if config.is_hierarchical else of_latents,
        likelihood=likelihood,
        encoding=encoding,
    )
    if mean is not None and deviation is not None and likelihood.feature_range is not None:
        start = likelihood.features(mean)
        model.prior.standardise(start, likelihood.features(mean + deviation) - start)
    model.posterior.initialise(generator)
    model.prior.initialise(generator)
    if config.classifier:  # last: all other weights are those of the model without it
        model.classifier = new_classifier(model, generator)
    # Channels last: the fastest layout for convolutions in oneDNN and cuDNN; dense weights are not affected.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def new_classifier(model: VAE, generator: Generator) -> nn.Module:
    """A new classifier for the condition of a model, with the layers of its encoder; it returns logits of levels."""
    config, heads = model.config, (model.conditions[0].num_levels,)
    return build(lambda: NETWORKS[config.network].encoder(config, model.likelihood.feature_shape, heads), generator)


def _check_conditions(config: ModelConfig, conditions: Sequence[Column]) -> None:
    """ConfigError unless there is a column for each condition of the configuration."""
    if len(conditions) != len(config.condition_on):
        raise ConfigError(
            f"model.condition_on names {pluralise(len(config.condition_on), 'condition')}, and the data's schema has "
            f"{len(conditions)}; pass the schema's conditions."
        )
    if config.classifier and conditions[0].num_levels < 2:
        raise ConfigError(
            f"model.classifier infers labels, and condition {conditions[0].name!r} has "
            f"{pluralise(conditions[0].num_levels, 'level')}; it needs at least 2."
        )


def _latent_parts(config: ModelConfig, generator: Generator) -> tuple[Posterior, Prior]:
    if config.is_hierarchical:
        parts = latent_parts(config, generator)
        return parts.posterior, parts.prior
    return build_part("posterior", config), build_part("prior", config)


def _encoder(config: ModelConfig, shape: tuple[int, ...], posterior: Posterior) -> nn.Module:
    architecture = NETWORKS[config.network]
    if not config.is_hierarchical:
        return architecture.encoder(config, shape, posterior.head_sizes)
    return encoder_of_levels(architecture.encoder(config, shape, posterior.head_sizes[:2]), config)


def _with_inputs(config: ModelConfig, num_latents: int, num_features: int) -> Sizes:
    """The sizes of a decoder of `num_latents`, and of the features of a context beside them."""
    num_inputs = num_latents + (0 if NETWORKS[config.network].map_size else num_features)
    more = {"latent_dim": num_inputs, "num_features": num_features}
    return cast(Sizes, SimpleNamespace(**{**vars(config), **more}))


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

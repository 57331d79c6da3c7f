"""Levels: what a hierarchical model is built of: parts of its latents, and the networks between levels."""

from dataclasses import dataclass

from torch import Generator, nn

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.text import pluralise
from lowerbound.models.config import ModelConfig
from lowerbound.networks.dense import Encoder
from lowerbound.networks.initialisation import build
from lowerbound.networks.kernels import Linear
from lowerbound.networks.levels import DenseLevel, FirstLevelDecoder, LevelsEncoder
from lowerbound.probability.hierarchical_parts import (
    BottomUpPosterior,
    HierarchicalPosterior,
    HierarchicalPrior,
    LadderPosterior,
    ResidualPosterior,
)


@dataclass(frozen=True, eq=False)
class LatentParts:
    """Posterior and prior over all levels."""

    posterior: HierarchicalPosterior
    prior: HierarchicalPrior


def latent_parts(config: ModelConfig, generator: Generator) -> LatentParts:
    """Posterior and prior of a configuration with several levels, with weights drawn from `generator`."""
    prior = _prior(config, generator)
    return LatentParts(_posterior(config, prior, generator), prior)


def _prior(config: ModelConfig, generator: Generator) -> HierarchicalPrior:
    sees_all_above = config.hierarchy == "residual"
    networks = []
    for level, size in enumerate(config.levels[:-1]):
        given = sum(config.levels[level + 1 :]) if sees_all_above else config.levels[level + 1]
        networks.append(_between(config, given, size, generator))
    return HierarchicalPrior(config.levels, networks, sees_all_above)


def _posterior(config: ModelConfig, prior: HierarchicalPrior, generator: Generator) -> HierarchicalPosterior:
    if config.hierarchy == "ladder":
        return LadderPosterior(prior)
    if config.hierarchy == "residual":
        sizes = zip(prior.networks, config.levels[:-1], strict=True)
        maps = [_linear_map(network, 2 * size, generator) for network, size in sizes]
        return ResidualPosterior(prior, maps)
    pairs = zip(config.levels, config.levels[1:], strict=False)
    return BottomUpPosterior(prior, [_between(config, given, size, generator) for given, size in pairs])


def _between(config: ModelConfig, given: int, size: int, generator: Generator) -> DenseLevel:
    return build(lambda: DenseLevel(given, config.level_hidden, (size, size), config.activation), generator)


def _linear_map(network: nn.Module, num_outputs: int, generator: Generator) -> Linear:
    assert isinstance(network, DenseLevel)
    return build(lambda: Linear(network.num_features, num_outputs, bias=False), generator)


def encoder_of_levels(encoder: nn.Module, config: ModelConfig) -> nn.Module:
    """An encoder, built for the level nearest x, with heads for the levels above it, if the posterior reads those."""
    if config.hierarchy == "bottom-up":
        return encoder
    if not isinstance(encoder, Encoder):
        raise ConfigError(
            f"network {config.network!r} has no features that upper levels could be read off; for "
            f"{pluralise(len(config.levels), 'level')} use network 'dense', 'conv' or 'resnet'."
        )
    return LevelsEncoder(encoder, config.level_hidden, config.levels[1:], config.activation)


def decoder_of_levels(decoder: nn.Module, config: ModelConfig) -> nn.Module:
    """A decoder of the latents that p(x|z) depends on, as one of all latents."""
    return decoder if config.hierarchy == "residual" else FirstLevelDecoder(decoder, config.levels[0])


def num_decoded(config: ModelConfig) -> int:
    """Number of latents that the decoder is given."""
    return config.levels[0] if config.is_hierarchical and config.hierarchy != "residual" else config.latent_dim

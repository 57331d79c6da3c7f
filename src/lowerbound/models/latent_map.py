"""check_latent_map: whether a posterior's latents can be a map of height × width × channels."""

from lowerbound.foundation.errors import ConfigError
from lowerbound.models.config import ModelConfig
from lowerbound.networks.architectures import NETWORKS
from lowerbound.probability.posterior import Posterior
from lowerbound.probability.posteriors import FullNormalPosterior
from lowerbound.probability.spaces import OneHot


def check_latent_map(config: ModelConfig, event_shape: tuple[int, ...], posterior: Posterior) -> None:
    """ConfigError for latents that do not fill the map of the network, or a posterior whose parameters are no maps."""
    shape = NETWORKS[config.network].latent_shape(config, event_shape)
    if len(shape) == 1:
        return
    whole = all(size % config.latent_dim == 0 for size in posterior.head_sizes)
    if not whole or isinstance(posterior, FullNormalPosterior):
        raise ConfigError(
            f"network {config.network!r} gives each position of its map the same parameters, and those of posterior "
            f"{config.posterior!r} are not a number for each latent; use posterior 'diagonal-normal', or network "
            "'conv' or 'resnet'."
        )
    space = posterior.space
    if isinstance(space, OneHot) and shape[-1] % space.num_categories:
        raise ConfigError(
            f"a map of {shape[-1]} channels has no whole codes of {space.num_categories} categories at each position; "
            f"set model.latent_dim to a multiple of {shape[0] * shape[1] * space.num_categories}, or "
            "model.posterior_options.num_categories."
        )

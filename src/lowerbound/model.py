"""The variational autoencoder: five parts and what can be asked of them.

    x -> encoder -> posterior q(z|x) -> z -> decoder -> likelihood p(x|z),   with a prior p(z)

Images are N x C x H x W floats in [0, 1]; latents are N x latent. Everything that is drawn takes a generator.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from lowerbound.errors import ConfigError, UnknownName
from lowerbound.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder
from lowerbound.networks.dense import ACTIVATIONS, DenseDecoder, DenseEncoder
from lowerbound.networks.initialisation import build
from lowerbound.networks.layers import Layer, layer_table
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.likelihoods import LIKELIHOODS, Likelihood
from lowerbound.probability.posteriors import POSTERIORS, PointMassPosterior, Posterior
from lowerbound.probability.priors import PRIORS, Prior
from lowerbound.probability.samples import PosteriorSamples

MEAN_RANGE = (0.001, 0.999)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The model's parts, by their names in the tables, and their sizes."""

    network: str = "dense"
    hidden: tuple[int, ...] = (512,)  # widths of dense layers; `conv` has them in the encoder alone
    channels: tuple[int, ...] = (32, 64)  # filters of each stride-2 stage of `conv`
    activation: str = "relu"
    output_bias: Literal["zero", "mean"] = "zero"  # where the decoder starts: "mean" is the mean training image
    latent_dim: int = 2
    posterior: str = "diagonal-normal"
    prior: str = "standard-normal"
    likelihood: str = "bernoulli"
    likelihood_options: dict[str, bool | int | float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, name, table in (
            ("model.network", self.network, NETWORKS),
            ("model.activation", self.activation, ACTIVATIONS),
            ("model.posterior", self.posterior, POSTERIORS),
            ("model.prior", self.prior, PRIORS),
            ("model.likelihood", self.likelihood, LIKELIHOODS),
        ):
            if name not in table:
                raise UnknownName(kind, name, table)
        for key, sizes in (("hidden", self.hidden), ("channels", self.channels), ("latent_dim", (self.latent_dim,))):
            if any(size < 1 for size in sizes):
                raise ConfigError(f"model.{key} needs sizes of at least 1, got {list(sizes)}.")
        if self.network == "conv" and not self.channels:
            raise ConfigError("model.channels is empty; network 'conv' needs at least one stage.")
        accepted = likelihood_options(self.likelihood)
        for option, value in self.likelihood_options.items():
            if option not in accepted:
                raise UnknownName(f"option of likelihood {self.likelihood!r}", option, accepted)
            accepted[option](f"model.likelihood_options.{option}", value)


class VAE(nn.Module):
    """A variational autoencoder over examples of shape `event_shape`."""

    def __init__(
        self,
        *,
        config: ModelConfig,
        event_shape: tuple[int, ...],
        encoder: nn.Module,
        posterior: Posterior,
        prior: Prior,
        decoder: nn.Module,
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        self.config = config
        self.event_shape = event_shape
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.config.latent_dim

    @property
    def is_deterministic(self) -> bool:
        """Whether the code is a point: a plain autoencoder, of which no ELBO can be asked."""
        return isinstance(self.posterior, PointMassPosterior)

    def encode(self, x: Float[Tensor, "batch *event"]) -> Distribution:
        """The posterior q(z|x), of batch shape [batch]."""
        # Densities are computed in the precision of their arguments, whatever the networks' layers used.
        distribution: Distribution = self.posterior(self.encoder(x).to(x.dtype))
        return distribution

    def decode(self, z: Float[Tensor, "*batch latent"]) -> Distribution:
        """The likelihood p(x|z), of batch shape [*batch]."""
        raw = self.decoder(z.reshape(-1, z.shape[-1])).to(z.dtype)
        distribution: Distribution = self.likelihood(raw.reshape(*z.shape[:-1], *raw.shape[1:]))
        return distribution

    def sample_posterior(
        self, x: Float[Tensor, "batch *event"], generator: Generator, num_samples: int = 1, through_draws: bool = True
    ) -> PosteriorSamples:
        """`num_samples` draws z ~ q(z|x) for each example, with their log densities.

        Gradients pass through the draws to the posterior's parameters, unless `through_draws` is false.
        """
        posterior = self.encode(x)
        z = posterior.sample(generator, num_samples)
        z = z if through_draws else z.detach()
        return PosteriorSamples(z, self.decode(z).log_prob(x), posterior, self.prior())

    def log_joint(
        self, x: Float[Tensor, "batch *event"], z: Float[Tensor, "*sample batch latent"]
    ) -> Float[Tensor, "*sample batch"]:
        """log p(x, z) = log p(x|z) + log p(z), in nats."""
        prior: Distribution = self.prior()
        return self.decode(z).log_prob(x) + prior.log_prob(z)

    def log_joint_table(
        self, x: Float[Tensor, "n *event"], z: Float[Tensor, "point latent"], chunk: int
    ) -> Float[Tensor, "n point"]:
        """log p(x, z) of every example at every z, in nats; `chunk` latents are decoded at once."""
        prior: Distribution = self.prior()
        parts = [self.decode(part).log_prob_table(x) + prior.log_prob(part) for part in z.split(chunk)]
        return torch.cat(parts, dim=1)

    def reconstruct(
        self, x: Float[Tensor, "batch *event"], generator: Generator | None = None
    ) -> Float[Tensor, "batch *event"]:
        """The decoded mean of the posterior's mean or, with a generator, of one draw from the posterior."""
        posterior = self.encode(x)
        z = posterior.mean if generator is None else posterior.sample(generator, 1)[0]
        return self.decode(z).mean

    def generate(
        self, num_images: int, generator: Generator, temperature: float = 1.0
    ) -> Float[Tensor, "batch *event"]:
        """Decoded means of draws from the prior, whose standard deviation is scaled by `temperature`."""
        prior: Distribution = self.prior()
        z = prior.sample(generator, num_images)
        return self.decode(prior.mean + temperature * (z - prior.mean)).mean

    def layers(self) -> tuple[list[Layer], list[Layer]]:
        """Layer tables of the encoder and the decoder."""
        parameter = next(self.parameters())
        x = parameter.new_zeros(1, *self.event_shape)
        z = parameter.new_zeros(1, self.latent_dim)
        return layer_table(self.encoder, x), layer_table(self.decoder, z)


def build_model(
    config: ModelConfig,
    event_shape: tuple[int, ...],
    generator: Generator,
    mean_image: Float[Tensor, " *event"] | None = None,
) -> VAE:
    """A new model with weights drawn from `generator`; output_bias "mean" needs the training images' mean.

    That start is Burda et al.'s, arXiv:1509.00519: means are first moved into [0.001, 0.999].
    """
    likelihood = LIKELIHOODS[config.likelihood](event_shape, **config.likelihood_options)
    posterior = POSTERIORS[config.posterior]()
    construct_encoder, construct_decoder = NETWORKS[config.network]
    encoder = build(lambda: construct_encoder(config, event_shape, posterior.num_heads), generator)
    decoder = build(lambda: construct_decoder(config, likelihood.raw_shape), generator)
    if config.output_bias == "mean" and mean_image is not None:
        decoder.start_at(likelihood.raw_of_mean(mean_image.clamp(*MEAN_RANGE)))
    model = VAE(
        config=config,
        event_shape=event_shape,
        encoder=encoder,
        posterior=posterior,
        prior=PRIORS[config.prior](config.latent_dim),
        decoder=decoder,
        likelihood=likelihood,
    )
    # Channels last: the layout that oneDNN and cuDNN convolve fastest in; dense weights have no such axis.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def likelihood_options(name: str) -> dict[str, Callable[[str, Any], None]]:
    """The options of a likelihood, each with a check of its value, read off its constructor."""
    options = list(signature(LIKELIHOODS[name].__init__).parameters.values())
    return {option.name: _value_check(option) for option in options if option.default is not Parameter.empty}


def _value_check(option: Parameter) -> Callable[[str, Any], None]:
    choices = getattr(option.annotation, "__args__", None)

    def check(key: str, value: Any) -> None:
        if choices is not None:
            if value not in choices:
                raise UnknownName(f"value of {key}", str(value), choices)
        elif option.annotation is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{key} needs true or false, got {value!r}.")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ConfigError(f"{key} needs a positive number, got {value!r}.")

    return check


def _dense_encoder(config: ModelConfig, event_shape: tuple[int, ...], num_heads: int) -> nn.Module:
    return DenseEncoder(event_shape, config.hidden, num_heads, config.latent_dim, config.activation)


def _dense_decoder(config: ModelConfig, raw_shape: tuple[int, ...]) -> DenseDecoder:
    return DenseDecoder(config.latent_dim, config.hidden[::-1], raw_shape, config.activation)


def _conv_encoder(config: ModelConfig, event_shape: tuple[int, ...], num_heads: int) -> nn.Module:
    return ConvolutionalEncoder(
        event_shape, config.channels, config.hidden, num_heads, config.latent_dim, config.activation
    )


def _conv_decoder(config: ModelConfig, raw_shape: tuple[int, ...]) -> ConvolutionalDecoder:
    return ConvolutionalDecoder(config.latent_dim, config.channels, raw_shape, config.activation)


EncoderFactory = Callable[[ModelConfig, tuple[int, ...], int], nn.Module]
DecoderFactory = Callable[[ModelConfig, tuple[int, ...]], DenseDecoder | ConvolutionalDecoder]

NETWORKS: dict[str, tuple[EncoderFactory, DecoderFactory]] = {
    "dense": (_dense_encoder, _dense_decoder),
    "conv": (_conv_encoder, _conv_decoder),
}

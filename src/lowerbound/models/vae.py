"""The variational autoencoder: five parts and what can be asked of them.

    x -> encoder -> posterior q(z|x) -> z -> decoder -> likelihood p(x|z),   with a prior p(z)

Images are N x C x H x W floats in [0, 1]; latents are N x latent. Everything that is drawn takes a generator.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from lowerbound.foundation.errors import ConfigError, DataError, UnknownName
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import Chance
from lowerbound.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder, ImageDecoder
from lowerbound.networks.dense import ACTIVATIONS, DenseDecoder, DenseEncoder
from lowerbound.networks.initialisation import build
from lowerbound.networks.layers import Layer, layer_table
from lowerbound.networks.residual import ResidualDecoder, ResidualEncoder
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.likelihood import check_option
from lowerbound.probability.likelihoods import LIKELIHOODS, Likelihood
from lowerbound.probability.posteriors import POSTERIORS, PointMassPosterior, Posterior
from lowerbound.probability.priors import PRIORS, Prior
from lowerbound.probability.samples import PosteriorSamples, draw
from lowerbound.probability.table_likelihood import TableLikelihood

MEAN_RANGE = (0.001, 0.999)

OWN = "own"
"""The network of a model whose modules someone else has written."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The model's parts, by their names in the tables, and their sizes."""

    network: str = "dense"
    hidden: tuple[int, ...] = (512,)  # widths of dense layers; `conv` has them in its encoder alone
    channels: tuple[int, ...] = (
        32,
        64,
    )  # filters of each stage that halves the image; `resnet` stops at 4 pixels
    num_blocks: int = 1  # residual blocks of each stage of `resnet`
    activation: str = "relu"
    output_bias: Literal["zero", "mean"] = "zero"  # where the decoder starts: "mean" is the mean training image
    latent_dim: int = 2
    posterior: str = "diagonal-normal"
    prior: str = "standard-normal"
    likelihood: str = "bernoulli"
    likelihood_options: dict[str, bool | int | float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, name, table in (
            ("model.network", self.network, [*NETWORKS, OWN]),
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
        if self.network in FOR_IMAGES and not self.channels:
            raise ConfigError(f"model.channels is empty; network {self.network!r} needs at least one stage.")
        if self.num_blocks < 0:
            raise ConfigError(f"model.num_blocks needs at least 0, got {self.num_blocks}.")
        accepted = likelihood_options(self.likelihood)
        for option, value in self.likelihood_options.items():
            if option not in accepted:
                raise UnknownName(f"option of likelihood {self.likelihood!r}", option, accepted)
            accepted[option](f"model.likelihood_options.{option}", value)


class VAE(nn.Module):
    """A variational autoencoder over examples of shape `event_shape`.

    Encoder and decoder may be modules of your own: the encoder turns a batch of examples into the posterior's numbers
    (for "diagonal-normal" means, then log-variances), the decoder a batch of latents into the likelihood's raw shape,
    without any output map. ConfigError says which of them gives another shape.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        event_shape: tuple[int, ...],
        latent_dim: int = 0,
        likelihood: Likelihood | str = "bernoulli",
        posterior: Posterior | str = "diagonal-normal",
        prior: Prior | str = "standard-normal",
        config: ModelConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config or _own_config(latent_dim, likelihood, posterior, prior)
        self.event_shape = tuple(event_shape)
        self.encoder = encoder
        self.posterior = POSTERIORS[posterior]() if isinstance(posterior, str) else posterior
        self.prior = PRIORS[prior](self.config.latent_dim) if isinstance(prior, str) else prior
        self.decoder = decoder
        self.likelihood = LIKELIHOODS[likelihood](event_shape) if isinstance(likelihood, str) else likelihood
        if config is None:
            self._check_shapes()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of rows, where the likelihood is a table's; else empty."""
        return self.likelihood.columns if isinstance(self.likelihood, TableLikelihood) else ()

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.config.latent_dim

    @property
    def is_deterministic(self) -> bool:
        """Whether the code is a point: a plain autoencoder, of which no ELBO can be asked."""
        return isinstance(self.posterior, PointMassPosterior)

    def encode(self, x: Float[Tensor, "batch *event"]) -> Distribution:
        """The posterior q(z|x), of batch shape [batch]; DataError for examples of another shape."""
        # A dense encoder would flatten channels-last images without a word.
        if tuple(x.shape[1:]) != self.event_shape:
            raise DataError(f"expected examples N×{_times(self.event_shape)}, got {_times(x.shape)}.")
        # Densities are computed in the precision of their arguments, whatever the networks' layers used.
        distribution: Distribution = self.posterior(self.encoder(self.likelihood.features(x)).to(x.dtype))
        return distribution

    def decode(self, z: Float[Tensor, "*batch latent"]) -> Distribution:
        """The likelihood p(x|z), of batch shape [*batch]; DataError for codes of another length."""
        if z.shape[-1] != self.latent_dim:
            raise DataError(f"expected codes of {self.latent_dim} latents, got {_times(z.shape)}.")
        raw = self.decoder(z.reshape(-1, z.shape[-1])).to(z.dtype)
        distribution: Distribution = self.likelihood(raw.reshape(*z.shape[:-1], *raw.shape[1:]))
        return distribution

    def sample_posterior(
        self, x: Float[Tensor, "batch *event"], generator: Chance, num_samples: int = 1, through_draws: bool = True
    ) -> PosteriorSamples:
        """`num_samples` draws z ~ q(z|x) for each example, with their log densities.

        Gradients pass through the draws to the posterior's parameters, unless `through_draws` is false.
        """
        posterior = self.encode(x)
        z = draw(posterior, generator, num_samples)
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
        self, x: Float[Tensor, "batch *event"], generator: Chance | None = None
    ) -> Float[Tensor, "batch *event"]:
        """The decoded mean of the posterior's mean or, with a source of chance, of one draw from the posterior."""
        posterior = self.encode(x)
        z = posterior.mean if generator is None else draw(posterior, generator, 1)[0]
        return self.decode(z).mean

    def generate(
        self, num_images: int, generator: Generator, temperature: float = 1.0
    ) -> Float[Tensor, "batch *event"]:
        """Decoded means of draws from the prior, whose standard deviation is scaled by `temperature`."""
        return self.decode(self.sample_prior(num_images, generator, temperature)).mean

    def sample_prior(
        self, num_examples: int, generator: Generator, temperature: float = 1.0
    ) -> Float[Tensor, "batch latent"]:
        """Draws z from the prior, its standard deviation scaled by `temperature`."""
        prior: Distribution = self.prior()
        # One draw for each call: the first ones are then the same however many follow.
        z = torch.cat([prior.sample(generator, 1) for _ in range(num_examples)])
        return prior.mean + temperature * (z - prior.mean)

    @torch.no_grad()
    def _check_shapes(self) -> None:
        """Let both networks see two examples of zeros; ConfigError where what they give does not fit."""
        start = next(self.parameters(), torch.zeros(()))
        was_training = self.training
        self.eval()
        for name, network, shape, wanted, by in (
            (
                "encoder",
                self.encoder,
                self.likelihood.feature_shape,
                (self.posterior.num_heads * self.latent_dim,),
                f"posterior {self.config.posterior!r} of {self.latent_dim} latents",
            ),
            (
                "decoder",
                self.decoder,
                (self.latent_dim,),
                self.likelihood.raw_shape,
                f"likelihood {self.config.likelihood!r}",
            ),
        ):
            try:
                came = tuple(network(start.new_zeros(2, *shape)).shape)
            except (RuntimeError, ValueError, TypeError) as error:
                reason = str(error).splitlines()[0]
                raise ConfigError(f"the {name} cannot read examples of shape {_times(shape)}: {reason}") from error
            if came != (2, *wanted):
                raise ConfigError(
                    f"the {name} turns 2 examples of shape {_times(shape)} into {_times(came)}; {by} needs "
                    f"{_times((2, *wanted))}."
                )
        self.train(was_training)

    def layers(self) -> tuple[list[Layer], list[Layer]]:
        """Layer tables of the encoder and the decoder."""
        parameter = next(self.parameters())
        x = parameter.new_zeros(1, *self.likelihood.feature_shape)
        z = parameter.new_zeros(1, self.latent_dim)
        return layer_table(self.encoder, x), layer_table(self.decoder, z)


def build_model(
    config: ModelConfig,
    event_shape: tuple[int, ...],
    generator: Generator,
    mean: Float[Tensor, " *event"] | None = None,
    deviation: Float[Tensor, " *event"] | None = None,
    columns: Sequence[Column] = (),
) -> VAE:
    """A new model with weights drawn from `generator`; `mean` and `deviation` are the training data's.

    `columns` are those of rows under the likelihood "table"; without them every column is numeric.

    A likelihood that has an origin and a unit takes them from there, and output_bias "mean" lets the decoder start at
    the mean. That start is Burda et al.'s, arXiv:1509.00519: means in [0, 1] are first moved into [0.001, 0.999].
    """
    if config.network == OWN:
        raise ConfigError("network 'own' is modules of your own: give them to VAE(encoder=..., decoder=...).")
    likelihood = build_likelihood(config, event_shape, columns)
    for shape in (likelihood.feature_shape, likelihood.raw_shape):
        if config.network in FOR_IMAGES and len(shape) != 3:
            came = f"rows of {event_shape[0]} values" if len(event_shape) == 1 else _times(event_shape)
            raise ConfigError(f"network {config.network!r} needs images, the data are {came}; use network 'dense'.")
    if mean is not None and deviation is not None:
        likelihood.standardise(mean, deviation)
    posterior = POSTERIORS[config.posterior]()
    construct_encoder, construct_decoder = NETWORKS[config.network]
    encoder = build(lambda: construct_encoder(config, likelihood.feature_shape, posterior.num_heads), generator)
    decoder = build(lambda: construct_decoder(config, likelihood.raw_shape), generator)
    if config.output_bias == "mean" and mean is not None:
        inner = mean.clamp(*MEAN_RANGE) if likelihood.is_within_unit_interval else mean
        decoder.start_at(likelihood.raw_of_mean(inner))
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


def _own_config(
    latent_dim: int, likelihood: Likelihood | str, posterior: Posterior | str, prior: Prior | str
) -> ModelConfig:
    """What can be said of a model whose networks are someone's own."""
    if latent_dim < 1:
        raise ConfigError(f"latent_dim is {latent_dim}; a model of your own networks needs its number of latents.")
    return ModelConfig(
        network=OWN,
        latent_dim=latent_dim,
        likelihood=_name_in(LIKELIHOODS, likelihood),
        posterior=_name_in(POSTERIORS, posterior),
        prior=_name_in(PRIORS, prior),
    )


def _name_in(table: Mapping[str, Any], part: Any) -> str:
    if isinstance(part, str):
        return part
    return next((name for name, kind in table.items() if isinstance(kind, type) and isinstance(part, kind)), "")


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def build_likelihood(config: ModelConfig, event_shape: tuple[int, ...], columns: Sequence[Column] = ()) -> Likelihood:
    """The likelihood of a configuration; a table's needs its columns."""
    if config.likelihood == "table":
        if len(event_shape) != 1:
            raise ConfigError(f"likelihood 'table' needs rows of cells, the data are {_times(event_shape)}.")
        return TableLikelihood(event_shape, tuple(columns))
    return LIKELIHOODS[config.likelihood](event_shape, **config.likelihood_options)


def likelihood_options(name: str) -> dict[str, Callable[[str, Any], None]]:
    """The options of a likelihood, each with a check of its value, read off its constructor."""
    likelihood = LIKELIHOODS[name]
    options = list(signature(likelihood.__init__).parameters.values())
    return {
        option.name: _value_check(option, likelihood.accepted_options.get(option.name, (-math.inf, math.inf)))
        for option in options
        if option.default is not Parameter.empty and option.name != "columns"
    }


def _value_check(option: Parameter, accepted: tuple[float, float]) -> Callable[[str, Any], None]:
    choices = getattr(option.annotation, "__args__", None)

    def check(key: str, value: Any) -> None:
        if choices is not None:
            if value not in choices:
                raise UnknownName(f"value of {key}", str(value), choices)
        elif option.annotation is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{key} needs true or false, got {value!r}.")
        elif isinstance(value, bool) or not isinstance(value, int if option.annotation is int else int | float):
            what = "a whole number" if option.annotation is int else "a number"
            raise ConfigError(f"{key} needs {what}, got {value!r}.")
        else:
            check_option(key, value, *accepted)

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


def _residual_encoder(config: ModelConfig, event_shape: tuple[int, ...], num_heads: int) -> nn.Module:
    return ResidualEncoder(
        event_shape,
        config.channels,
        config.num_blocks,
        config.hidden,
        num_heads,
        config.latent_dim,
        config.activation,
    )


def _residual_decoder(config: ModelConfig, raw_shape: tuple[int, ...]) -> ResidualDecoder:
    return ResidualDecoder(
        config.latent_dim, config.channels, config.num_blocks, config.hidden, raw_shape, config.activation
    )


EncoderFactory = Callable[[ModelConfig, tuple[int, ...], int], nn.Module]
DecoderFactory = Callable[[ModelConfig, tuple[int, ...]], DenseDecoder | ImageDecoder]

NETWORKS: dict[str, tuple[EncoderFactory, DecoderFactory]] = {
    "dense": (_dense_encoder, _dense_decoder),
    "conv": (_conv_encoder, _conv_decoder),
    "resnet": (_residual_encoder, _residual_decoder),
}

FOR_IMAGES = ("conv", "resnet")
"""Networks whose examples have channels, height and width."""

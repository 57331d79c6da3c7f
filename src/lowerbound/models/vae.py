"""VAE: the variational autoencoder: encode, decode, sample, generate, reconstruct, log p(x, z), context.

    x -> encoder -> posterior q(z|x) -> z -> decoder -> likelihood p(x|z),   with a prior p(z)

Images are N x C x H x W floats in [0, 1]; latents are N x latent. All random draws take a generator.
"""

from collections.abc import Mapping
from copy import copy
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Generator, Tensor, nn

from lowerbound.foundation import forks, html_view  # noqa: F401 forks: for the processes that use a model
from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.errors import ConfigError, DataError, UnknownName
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import Chance
from lowerbound.foundation.text import pluralise, shortened
from lowerbound.models.config import PARTS, ModelConfig
from lowerbound.models.context import ContextEncoding
from lowerbound.models.part_checks import check_network, check_own_parts, times
from lowerbound.networks.architectures import NETWORKS
from lowerbound.networks.layers import Layer, count_parameters, layer_table, layers_view
from lowerbound.probability.distributions import Distribution, Draws
from lowerbound.probability.hierarchical_parts import sample_prior
from lowerbound.probability.kl import has_closed_form_kl
from lowerbound.probability.likelihoods import LIKELIHOODS, Likelihood
from lowerbound.probability.parts import AUTO, OWN, Part, name_of, plain_options
from lowerbound.probability.posterior import Posterior
from lowerbound.probability.posteriors import POSTERIORS, PointMassPosterior
from lowerbound.probability.prior import Prior, Temperature
from lowerbound.probability.priors import PRIORS
from lowerbound.probability.samples import PosteriorSamples
from lowerbound.probability.spaces import REAL, Space, check_same_space
from lowerbound.probability.table_likelihood import TableLikelihood

DEFAULT_PRIOR = REAL.prior
"""The prior of a configuration that names none; training a plain autoencoder does not use it."""

Context = Shaped[Tensor, "batch *covariate"]
"""Labels or covariates, one for each example: positions of levels, and numbers."""


@named_arguments
class VAE(nn.Module):
    """A variational autoencoder over examples of shape `event_shape`.

    Encoder and decoder may be your own modules: the encoder maps a batch of examples to the posterior's raw shape (for
    "diagonal-normal" means, then log-variances), the decoder a batch of latents to the likelihood's raw shape, without
    any output map. ConfigError if an output has another shape. If the encoder has `takes_context = True`, both are
    called with a second argument, the context of each example: labels or covariates (see `given`), or their features
    if there is an `encoding`.
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
        prior: Prior | str = AUTO,
        config: ModelConfig | None = None,
        encoding: ContextEncoding | None = None,
    ) -> None:
        super().__init__()
        self.context: Context | None = None
        self.encoding = encoding
        self.classifier: nn.Module | None = None  # q(y|x), of a semi-supervised model; see build_model
        if config is None and latent_dim < 1:
            raise ConfigError(
                f"latent_dim is {latent_dim}; a model with your own networks needs the number of latents."
            )
        num_latents = config.latent_dim if config else latent_dim
        self.event_shape = tuple(event_shape)
        self.encoder = encoder
        self.posterior: Posterior = part_of("posterior", POSTERIORS, Posterior, posterior, num_latents)
        space = self.posterior.space
        chosen = PRIORS[space.prior](num_latents, **space.prior_options) if prior == AUTO else prior
        self.prior: Prior = part_of("prior", PRIORS, Prior, chosen, num_latents)
        self.decoder = decoder
        self.likelihood: Likelihood = part_of("likelihood", LIKELIHOODS, Likelihood, likelihood, self.event_shape)
        self.config = config or own_config(num_latents, self.likelihood, self.prior, self.posterior)
        check_same_space(self.config.posterior, space, self.config.prior, self.prior.space)
        check_own_parts(self.likelihood, self.posterior, self.prior)
        self.prior.bind(self)
        if config is None and not self.takes_context:  # the shape of a context is not known here
            num = pluralise(self.latent_dim, "latent")
            by = f"posterior {self.config.posterior!r} of {num}"
            check_network("encoder", encoder, self.likelihood.feature_shape, self.posterior.raw_shape, by)
            by = f"likelihood {self.config.likelihood!r}"
            check_network("decoder", decoder, (self.latent_dim,), self.likelihood.raw_shape, by)
        elif self.takes_context and encoding is None and not _accepts_context(decoder):
            raise ConfigError("the encoder takes a context and the decoder does not: its forward needs (z, context).")

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the data if the likelihood is that of a table; else empty."""
        return self.likelihood.columns if isinstance(self.likelihood, TableLikelihood) else ()

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.config.latent_dim

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Height, width and channels if the latents are a map, in this order; else their number alone."""
        network = NETWORKS.get(self.config.network)
        return network.latent_shape(self.config, self.event_shape) if network else (self.latent_dim,)

    @property
    def level_names(self) -> tuple[str, ...]:
        """Names of the levels of latents, from the one nearest x: "level 1", ...; empty without levels."""
        sizes = self.config.levels if self.config.is_hierarchical else ()
        return tuple(f"level {number}" for number in range(1, len(sizes) + 1))

    @property
    def levels_in_words(self) -> str:
        """Sizes of the levels of latents and the form of inference; empty without levels."""
        return f" in levels {list(self.config.levels)} ({self.config.hierarchy})" if self.level_names else ""

    @property
    def latents_in_words(self) -> str:
        """The number of latents, and their levels."""
        return pluralise(self.latent_dim, "latent") + self.levels_in_words

    @property
    def space(self) -> Space:
        """The space that the latents lie in."""
        return self.posterior.space

    @property
    def why_not_real(self) -> str:
        """Why methods that need latents in R^D do not apply; empty if they do."""
        if self.space == REAL:
            return ""
        return f"needs real latents, but those of posterior {self.config.posterior!r} are {self.space.about}"

    @property
    def takes_context(self) -> bool:
        """Whether the model is conditional: networks also take labels or covariates."""
        return self.encoding is not None or bool(getattr(self.encoder, "takes_context", False))

    def given(self, context: Context | None) -> "VAE":
        """The model with the context of a batch, sharing all weights; the model itself if it takes none.

        Several draws, [sample, batch, latent], use the context of their example. DataError for anything but a tensor
        with an axis of examples.
        """
        if context is not None and not (isinstance(context, Tensor) and context.ndim):
            came = "a single number" if isinstance(context, Tensor) else f"{shortened(repr(context), 100)}"
            raise DataError(
                f"the context is {came}; give a tensor of labels or covariates, one for each example, such as "
                "torch.full((5,), 3)."
            )
        if not self.takes_context:
            return self
        if context is not None and self.encoding is not None:
            self.encoding.check(context)
            return self.given_features(self.encoding(context))
        conditioned = copy(self)
        conditioned.context = context
        return conditioned

    def given_one(self, context: Shaped[Tensor, "1 *covariate"]) -> "VAE":
        """The model with the context of one example, which is that of all: its prior is a single distribution."""
        conditioned = self.given(context)
        conditioned._modules = {**conditioned._modules, "prior": conditioned.prior.standalone()}
        return conditioned

    def at_rows(self, rows: Int64[Tensor, " row"]) -> "VAE":
        """A model that was given a context, with some of its rows, in this order; others are returned unchanged."""
        return self if self.context is None else self.given_features(self.context[rows])

    def given_features(self, features: Shaped[Tensor, "batch *feature"]) -> "VAE":
        """The model with the features of a context, as networks and prior take them, sharing all weights."""
        conditioned = copy(self)
        conditioned.context = features
        if self.prior.takes_context:
            conditioned._modules = {**self._modules, "prior": self.prior.given(features)}
        return conditioned

    @property
    def conditions(self) -> tuple[Column, ...]:
        """What a conditional model is given, by name; empty for others, and for networks of your own."""
        return () if self.encoding is None else self.encoding.columns

    @property
    def num_context_features(self) -> int:
        """Number of features that networks and prior get of a context; 0 without an encoding."""
        return 0 if self.encoding is None else self.encoding.num_features

    def with_networks(self, encoder: nn.Module, decoder: nn.Module) -> "VAE":
        """The model with other networks for the same outputs, sharing all other parts; the prior keeps its encoder."""
        changed = copy(self)
        changed._modules = {**self._modules, "encoder": encoder, "decoder": decoder}
        return changed

    def _context_of(self, num: int) -> Shaped[Tensor, "num *covariate"]:
        if self.context is None:
            raise DataError(
                "the model is conditional: its networks need the labels or covariates of each example; use "
                "model.given(context)."
            )
        rows = self.context.shape[0]  # not len(), which would fix the size of a traced batch
        if rows == num:
            return self.context
        if not rows or num % rows:
            raise DataError(
                f"the context has {pluralise(rows, 'example')}, the batch {pluralise(num, 'example')} or draws; give a "
                "context for each example."
            )
        return self.context.repeat(num // rows, *[1] * (self.context.ndim - 1))

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether KL(q(z|x) || p(z)) has a closed form for this posterior and prior."""
        return has_closed_form_kl(self.posterior_of_zeros(), self.prior.family())

    def posterior_of_zeros(self) -> Distribution:
        """The posterior of one raw encoder output of zeros: which family it is, without an example."""
        raw = next(self.parameters(), torch.zeros(())).new_zeros(1, *self.posterior.raw_shape)
        distribution: Distribution = self.posterior(raw)
        return distribution

    @property
    def is_deterministic(self) -> bool:
        """Whether the posterior is a point mass: a plain autoencoder, which has no ELBO."""
        return isinstance(self.posterior, PointMassPosterior)

    @property
    def has_prior(self) -> bool:
        """Whether samples can be drawn: a plain autoencoder has a prior only if one was fitted to its codes."""
        return not self.is_deterministic or self.config.prior != DEFAULT_PRIOR

    def encode(self, x: Float[Tensor, "batch *event"]) -> Distribution:
        """The posterior q(z|x), of batch shape [batch]; DataError for examples of another shape."""
        # A dense encoder would silently flatten channels-last images.
        if tuple(x.shape[1:]) != self.event_shape:
            raise DataError(f"expected examples N×{times(self.event_shape)}, got {times(x.shape)}.")
        return self.posterior_of_features(self.likelihood.features(x))

    def posterior_of_features(self, features: Float[Tensor, "batch *features"]) -> Distribution:
        """The posterior at the encoder's input, which the likelihood computes from x; of batch shape [batch]."""
        distribution: Distribution = self.posterior(self._raw(features))
        return distribution

    def raw_posterior(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *raw"]:
        """The encoder's output for examples, from which the posterior is made."""
        return self._raw(self.likelihood.features(x))

    def _raw(self, features: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch *raw"]:
        raw = (
            self.encoder(features, self._context_of(features.shape[0]))
            if self.takes_context
            else self.encoder(features)
        )
        # Densities are computed in the precision of the input, even if the layers used another one.
        return raw.to(features.dtype)

    def decode(self, z: Float[Tensor, "*batch latent"]) -> Distribution:
        """The likelihood p(x|z), of batch shape [*batch]; DataError for codes of another length."""
        if z.shape[-1] != self.latent_dim:
            raise DataError(f"expected codes of {pluralise(self.latent_dim, 'latent')}, got {times(z.shape)}.")
        raw = self.raw_likelihood(z.reshape(-1, z.shape[-1]))
        distribution: Distribution = self.likelihood(raw.reshape(*z.shape[:-1], *raw.shape[1:]))
        return distribution

    def raw_likelihood(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *raw"]:
        """The decoder's output for latents, from which the likelihood is made."""
        raw: Tensor = self.decoder(z, self._context_of(z.shape[0])) if self.takes_context else self.decoder(z)
        return raw.to(z.dtype)

    def check_codes(self, z: Float[Tensor, "n latent"]) -> None:
        """DataError for codes that do not lie in the model's space, such as one on a sphere that has not length 1."""
        if problem := self.space.problem(z) or self.posterior.problem(z):
            raise DataError(f"{problem}, as have those that encoding gives (a posterior's centre, not its mean).")

    def sample_posterior(
        self, x: Float[Tensor, "batch *event"], generator: Chance, num_samples: int = 1, through_draws: bool = True
    ) -> PosteriorSamples:
        """`num_samples` draws z ~ q(z|x) for each example, with their log densities.

        Gradients pass through the draws to the posterior's parameters, unless `through_draws` is false.
        """
        posterior = self.encode(x)
        draws = posterior.draw(generator, num_samples)
        # A log-density that came with the draw is differentiated through it.
        draws = draws if through_draws else Draws(draws.value.detach())
        return PosteriorSamples.of_one_group(draws, self.decode(draws.value).log_prob(x), posterior, self.prior())

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
        """The mean of p(x|z) at the posterior's centre or, with a generator, at one draw from the posterior."""
        posterior = self.encode(x)
        z = posterior.centre if generator is None else posterior.draw(generator, 1).value[0]
        return self.decode(z).mean

    def generate(
        self, num_images: int, generator: Generator, temperature: Temperature = 1.0
    ) -> Float[Tensor, "batch *event"]:
        """Decoded means of draws from the prior; the prior defines `temperature`."""
        return self.decode(self.sample_prior(num_images, generator, temperature)).mean

    def sample_prior(
        self, num_examples: int, generator: Generator, temperature: Temperature = 1.0
    ) -> Float[Tensor, "batch latent"]:
        """Draws z from the prior, which defines `temperature`; ConfigError if it does not support one."""
        return sample_prior(self.prior, generator, num_examples, temperature)

    def layers(self) -> tuple[list[Layer], list[Layer]]:
        """Layer tables of the encoder and the decoder."""
        parameter = next(self.parameters())
        x = parameter.new_zeros(1, *self.likelihood.feature_shape)
        z = parameter.new_zeros(1, self.latent_dim)
        features = [parameter.new_zeros(1, self.num_context_features)] if self.encoding is not None else []
        return layer_table(self.encoder, x, *features), layer_table(self.decoder, z, *features)

    def __repr__(self) -> str:
        parts = ", ".join(f"{kind} {getattr(self.config, kind)!r}" for kind in ("posterior", "prior", "likelihood"))
        number = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"VAE of examples of shape {times(self.event_shape)} with {self.latents_in_words}: "
            f"network {self.config.network!r}, {parts}; {pluralise(number, 'parameter')}"
        )

    def _repr_html_(self) -> str:
        return html_view.view(self.kind, *self.html_parts({"examples": times(self.event_shape)}))

    @property
    def kind(self) -> str:
        """What the model is, as a title."""
        return "Plain autoencoder" if self.is_deterministic else "Variational autoencoder"

    def html_parts(self, about: Mapping[str, str]) -> list[html_view.Html]:
        """What a notebook shows of the model: `about` and its parts by name, and its layers on a click."""
        parts = {kind: getattr(self.config, kind) for kind in ("network", "likelihood", "posterior", "prior")}
        sizes = {"latents": f"{self.latent_dim}{self.levels_in_words}", "parameters": f"{count_parameters(self):,}"}
        shown = [html_view.facts({**about, **parts, **sizes})]
        if not self.takes_context:  # whose shape is not known here
            encoder, decoder = self.layers()
            shown.append(html_view.folded("layers", layers_view("encoder", encoder), layers_view("decoder", decoder)))
        return shown


def part_of(kind: str, table: Mapping[str, type[Part]], base: type[Part], part: Any, shape: Any) -> Any:
    """A part given by its name in a table, or as an instance of `base`; UnknownName or ConfigError otherwise."""
    if isinstance(part, str):
        if part not in table:
            raise UnknownName(kind, part, table)
        return table[part](shape)
    if not isinstance(part, base):
        raise ConfigError(f"the {kind} needs a name or an instance of {base.__name__}, got {part!r}.")
    return part


def _accepts_context(decoder: nn.Module) -> bool:
    parameters = signature(decoder.forward).parameters.values()
    return len(parameters) > 1 or any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)


def own_config(latent_dim: int, likelihood: Likelihood, prior: Prior, posterior: Posterior) -> ModelConfig:
    """The configuration of a model with your own networks: names and options of its other parts."""
    latent: dict[str, Prior | Posterior] = {"prior": prior, "posterior": posterior}
    for kind, of_latents in latent.items():
        if of_latents.latent_dim != latent_dim:
            raise ConfigError(
                f"the {kind} has {pluralise(of_latents.latent_dim, 'latent')}, but the model has {latent_dim}."
            )
    settings: dict[str, Any] = {}
    parts: dict[str, Part] = {"likelihood": likelihood, "prior": prior, "posterior": posterior}
    for kind, part in parts.items():
        name = name_of(PARTS[kind], part)
        settings |= {kind: name, f"{kind}_options": {} if name == OWN else plain_options(part)}
    return ModelConfig(network=OWN, latent_dim=latent_dim, **settings)

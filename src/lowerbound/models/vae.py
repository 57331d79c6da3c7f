"""VAE: the variational autoencoder: encode, decode, sample, generate, reconstruct, log p(x, z), context.

    x -> encoder -> posterior q(z|x) -> z -> decoder -> likelihood p(x|z),   with a prior p(z)

Images are N x C x H x W floats in [0, 1]; latents are N x latent. All random draws take a generator.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor, nn

from lowerbound.foundation import forks, html_view  # noqa: F401 forks: for the processes that use a model
from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.errors import ConfigError, DataError, UnknownName
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import Chance
from lowerbound.foundation.text import pluralise, shortened
from lowerbound.models.config import PARTS, ModelConfig
from lowerbound.models.part_checks import check_own_parts
from lowerbound.networks.layers import Layer, count_parameters, layer_table, layers_view
from lowerbound.probability.distributions import Distribution, Draws
from lowerbound.probability.kl import has_closed_form_kl
from lowerbound.probability.likelihoods import LIKELIHOODS, Likelihood
from lowerbound.probability.parts import AUTO, OWN, Part, name_of, plain_options
from lowerbound.probability.posterior import Posterior
from lowerbound.probability.posteriors import POSTERIORS, PointMassPosterior
from lowerbound.probability.prior import Prior
from lowerbound.probability.priors import PRIORS
from lowerbound.probability.samples import PosteriorSamples
from lowerbound.probability.spaces import REAL, Space, check_same_space
from lowerbound.probability.table_likelihood import TableLikelihood

DEFAULT_PRIOR = REAL.prior
"""The prior of a configuration that names none; training a plain autoencoder does not use it."""

Context = Shaped[Tensor, "batch *covariate"]
"""Labels or covariates, one for each example."""


@named_arguments
class VAE(nn.Module):
    """A variational autoencoder over examples of shape `event_shape`.

    Encoder and decoder may be your own modules: the encoder maps a batch of examples to the posterior's raw shape (for
    "diagonal-normal" means, then log-variances), the decoder a batch of latents to the likelihood's raw shape, without
    any output map. ConfigError if an output has another shape. If the encoder has `takes_context = True`, both are
    called with a second argument, the context of each example: labels or covariates (see `given`).
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
    ) -> None:
        super().__init__()
        self.context: Context | None = None
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
            self._check_shapes()
        elif self.takes_context and not _accepts_context(decoder):
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
        return bool(getattr(self.encoder, "takes_context", False))

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
        conditioned = copy(self)
        conditioned.context = context
        return conditioned

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
        if not len(self.context) or num % len(self.context):
            raise DataError(
                f"the context has {pluralise(len(self.context), 'example')}, the batch {pluralise(num, 'example')} or "
                "draws; give a context for each example."
            )
        return self.context.repeat(num // len(self.context), *[1] * (self.context.ndim - 1))

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
        raw = self.encoder(features, self._context_of(len(features))) if self.takes_context else self.encoder(features)
        # Densities are computed in the precision of the input, even if the layers used another one.
        distribution: Distribution = self.posterior(raw.to(features.dtype))
        return distribution

    def decode(self, z: Float[Tensor, "*batch latent"]) -> Distribution:
        """The likelihood p(x|z), of batch shape [*batch]; DataError for codes of another length."""
        if z.shape[-1] != self.latent_dim:
            raise DataError(f"expected codes of {pluralise(self.latent_dim, 'latent')}, got {times(z.shape)}.")
        flat = z.reshape(-1, z.shape[-1])
        raw = self.decoder(flat, self._context_of(len(flat))) if self.takes_context else self.decoder(flat)
        raw = raw.to(z.dtype)
        distribution: Distribution = self.likelihood(raw.reshape(*z.shape[:-1], *raw.shape[1:]))
        return distribution

    def check_codes(self, z: Float[Tensor, "n latent"]) -> None:
        """DataError for codes that do not lie in the model's space, such as one on a sphere that has not length 1."""
        if problem := self.space.problem(z):
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
        self, num_images: int, generator: Generator, temperature: float = 1.0
    ) -> Float[Tensor, "batch *event"]:
        """Decoded means of draws from the prior; the prior defines `temperature`."""
        return self.decode(self.sample_prior(num_images, generator, temperature)).mean

    def sample_prior(
        self, num_examples: int, generator: Generator, temperature: float = 1.0
    ) -> Float[Tensor, "batch latent"]:
        """Draws z from the prior, which defines `temperature`; ConfigError if it does not support one."""
        return self.prior.sample(generator, num_examples, temperature)

    @torch.no_grad()
    def _check_shapes(self) -> None:
        """Run both networks on two examples of zeros; ConfigError if an output has the wrong shape."""
        start = next(self.parameters(), torch.zeros(()))
        was_training = self.training
        self.eval()
        for name, network, shape, wanted, by in (
            (
                "encoder",
                self.encoder,
                self.likelihood.feature_shape,
                self.posterior.raw_shape,
                f"posterior {self.config.posterior!r} of {pluralise(self.latent_dim, 'latent')}",
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
                raise ConfigError(f"the {name} fails on inputs of shape {times(shape)}: {reason}") from error
            if came != (2, *wanted):
                raise ConfigError(
                    f"the {name} maps 2 inputs of shape {times(shape)} to {times(came)}; {by} needs "
                    f"{times((2, *wanted))}."
                )
        self.train(was_training)

    def layers(self) -> tuple[list[Layer], list[Layer]]:
        """Layer tables of the encoder and the decoder."""
        parameter = next(self.parameters())
        x = parameter.new_zeros(1, *self.likelihood.feature_shape)
        z = parameter.new_zeros(1, self.latent_dim)
        return layer_table(self.encoder, x), layer_table(self.decoder, z)

    def __repr__(self) -> str:
        parts = ", ".join(f"{kind} {getattr(self.config, kind)!r}" for kind in ("posterior", "prior", "likelihood"))
        number = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"VAE of examples of shape {times(self.event_shape)} with {pluralise(self.latent_dim, 'latent')}: "
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
        sizes = {"latents": str(self.latent_dim), "parameters": f"{count_parameters(self):,}"}
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


def times(shape: Sequence[int]) -> str:
    """A shape as text, for example 28×28×1."""
    return "×".join(map(str, shape))

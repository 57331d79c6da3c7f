"""ModelConfig: the `model` section of a configuration: parts by name with options, and sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.keywords import meaning
from lowerbound.foundation.settings import check_fields, setting
from lowerbound.networks.architectures import FOR_IMAGES, NETWORKS
from lowerbound.networks.dense import ACTIVATIONS
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.probability.parts import AUTO, OWN, Option, Part, check_options
from lowerbound.probability.posteriors import POSTERIORS
from lowerbound.probability.priors import PRIORS
from lowerbound.probability.spaces import REAL, Space, check_same_space

PARTS: dict[str, Mapping[str, type[Part]]] = {
    "likelihood": LIKELIHOODS,
    "prior": PRIORS,
    "posterior": POSTERIORS,
}
"""Tables of the parts of a model other than its networks, by kind."""


@named_arguments
@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Settings of a model: its parts by name, their options, and sizes.

    Examples:
        >>> lb.ModelConfig(latent_dim=8, posterior="low-rank-normal", posterior_options={"rank": 2}).prior
        'standard-normal'
        >>> lb.ModelConfig(latent_dim=0)
        Traceback (most recent call last):
        lowerbound.foundation.errors.ConfigError: model.latent_dim needs at least 1, got 0.
    """

    network: str = setting("dense", "Architecture of encoder and decoder.", names=NETWORKS, also=(OWN,))
    hidden: tuple[int, ...] = setting(
        (512,), "Widths of dense layers; 'conv' has them only in the encoder, maps of latents have none.", at_least=1
    )
    channels: tuple[int, ...] = setting(
        (32, 64),
        "Filters of each stage that halves the image; 'resnet' stops at 4 pixels, 'autoencoder-kl' before the last.",
        at_least=1,
    )
    num_blocks: int = setting(1, "Residual blocks per stage of 'resnet' and 'autoencoder-kl'.", at_least=0)
    activation: str = setting("relu", "Activation of hidden layers.", names=ACTIVATIONS)
    output_bias: Literal["zero", "mean"] = setting(
        "zero", 'Initial output of the decoder: "mean" is the mean training example.'
    )
    latent_dim: int = setting(2, meaning("latent_dim"), at_least=1)
    levels: tuple[int, ...] = setting(
        (), "Latents of each level, from the one nearest x to the top; empty for a single level.", at_least=1
    )
    hierarchy: Literal["ladder", "residual", "bottom-up"] = setting(
        "ladder", "Inference of several levels: down a ladder, as residuals to the prior, or from x upwards."
    )
    level_hidden: tuple[int, ...] = setting((256,), "Widths of the dense layers between levels.", at_least=1)
    posterior: str = setting("diagonal-normal", "Posterior q(z|x), by name.", names=POSTERIORS, also=(OWN,))
    posterior_options: dict[str, Option] = setting(default_factory=dict, meaning="Options of the posterior.")
    prior: str = setting(
        AUTO, 'Prior p(z), by name; "auto" is that of the posterior\'s space.', names=PRIORS, also=(AUTO, OWN)
    )
    prior_options: dict[str, Option] = setting(default_factory=dict, meaning="Options of the prior.")
    condition_on: tuple[str, ...] = setting(
        (), 'What a conditional model is given: "label", or columns of a table, which are not part of x.'
    )
    classifier: bool = setting(
        False, "A classifier q(y|x) infers the label where it is missing, for data of which only a part has labels."
    )
    likelihood: str = setting("bernoulli", meaning("likelihood"), names=LIKELIHOODS, also=(OWN,))
    likelihood_options: dict[str, Option] = setting(default_factory=dict, meaning="Options of the likelihood.")

    def __post_init__(self) -> None:
        check_fields(self, "model")
        if self.network in FOR_IMAGES and not self.channels:
            raise ConfigError(f"model.channels is empty; network {self.network!r} needs at least one stage.")
        if self.network == "autoencoder-kl" and not self.num_blocks:
            raise ConfigError("model.num_blocks is 0; network 'autoencoder-kl' needs at least one block per stage.")
        self._check_part("likelihood")
        self._check_part("posterior")
        self._choose_prior()
        self._check_part("prior")
        self._count_latents()
        self._check_latents()
        self._check_conditions()

    @property
    def is_hierarchical(self) -> bool:
        """Whether there are several levels of latents; a single one is a model without levels."""
        return len(self.levels) > 1

    def _count_latents(self) -> None:
        """Set latent_dim to the sum over levels; ConfigError for another one, and for parts that have no levels."""
        if not self.levels:
            return
        total, default = sum(self.levels), type(self).__dataclass_fields__["latent_dim"].default
        if self.latent_dim not in (total, default):
            raise ConfigError(
                f"model.latent_dim is {self.latent_dim}, but model.levels {list(self.levels)} add up to {total}; leave "
                "out model.latent_dim."
            )
        object.__setattr__(self, "latent_dim", total)
        for kind, name in (("posterior", "diagonal-normal"), ("prior", "standard-normal")):
            if self.is_hierarchical and getattr(self, kind) != name:
                raise ConfigError(
                    f"model.{kind} is {getattr(self, kind)!r}, but several levels (model.levels) are normal given "
                    f"those above, and at the top; use {name!r}, or one level."
                )
        if self.is_hierarchical and (self.network == OWN or NETWORKS[self.network].map_size):
            raise ConfigError(
                f"model.levels needs a network whose latents are a vector, but model.network is {self.network!r}; use "
                "'dense', 'conv' or 'resnet'."
            )

    def _check_part(self, kind: str) -> None:
        """Refuse an unknown name or option of a part."""
        table, name, options = PARTS[kind], getattr(self, kind), getattr(self, f"{kind}_options")
        if not isinstance(options, Mapping):
            raise ConfigError(f"model.{kind}_options needs a table of options, got {options!r}.")
        if name != OWN:
            check_options(kind, name, table[name], options)

    def _choose_prior(self) -> None:
        """Replace prior "auto" by that of the posterior's space, with the options that they share."""
        if self.prior == AUTO:
            space = self._space("posterior") or REAL
            object.__setattr__(self, "prior", space.prior)
            object.__setattr__(self, "prior_options", {**space.prior_options, **self.prior_options})

    def _check_latents(self) -> None:
        """ConfigError for a posterior and a prior of different spaces, or a number of latents that it cannot have."""
        posterior, prior = self._space("posterior"), self._space("prior")
        if posterior is None or prior is None:  # VAE compares the parts themselves
            return
        check_same_space(self.posterior, posterior, self.prior, prior)
        posterior.check_size(self.latent_dim)

    def _check_conditions(self) -> None:
        """ConfigError for conditions that are named twice, and for a prior p(z|y) without any."""
        if len(set(self.condition_on)) < len(self.condition_on) or "" in self.condition_on:
            raise ConfigError(f"model.condition_on is {list(self.condition_on)}; name each condition once.")
        if self.classifier and (len(self.condition_on) != 1 or self.network == OWN):
            came = "'own' networks" if self.network == OWN else f"model.condition_on={list(self.condition_on)}"
            raise ConfigError(
                f"model.classifier infers one condition, and the model has {came}; set model.condition_on to one "
                "condition with levels, such as label."
            )
        if self.classifier and (self.is_hierarchical or NETWORKS[self.network].map_size):
            came = f"levels={list(self.levels)}" if self.is_hierarchical else f"network={self.network}"
            raise ConfigError(f"model.classifier does not fit model.{came}; use one level of latents, and no maps.")
        posterior: Any = POSTERIORS.get(self.posterior)
        if self.classifier and posterior is not None and posterior.is_updated:
            raise ConfigError(f"model.classifier does not fit model.posterior {self.posterior!r}, which keeps a state.")
        if not self.condition_on and self.network != OWN and self.prior in PRIORS and PRIORS[self.prior].takes_context:
            raise ConfigError(
                f"model.prior {self.prior!r} is p(z|y), and the model is given no y; set model.condition_on."
            )

    def _space(self, kind: Literal["posterior", "prior"]) -> Space | None:
        """The space of a part; None if it is not registered."""
        name = getattr(self, kind)
        if name == OWN:
            return None
        table: Mapping[str, Any] = PARTS[kind]
        space: Space = table[name].space_with(getattr(self, f"{kind}_options"))
        return space

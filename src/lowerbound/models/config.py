"""ModelConfig: the `model` section of a configuration: parts by name with options, and sizes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lowerbound.foundation.errors import ConfigError, UnknownName
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


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Settings of a model: its parts by name, their options, and sizes."""

    network: str = "dense"
    hidden: tuple[int, ...] = (512,)  # widths of dense layers; `conv` has them only in the encoder
    # Filters of each stage that halves the image; `resnet` stops at 4 pixels.
    channels: tuple[int, ...] = (32, 64)
    num_blocks: int = 1  # residual blocks per stage of `resnet`
    activation: str = "relu"
    output_bias: Literal["zero", "mean"] = "zero"  # initial output of the decoder: "mean" is the mean training image
    latent_dim: int = 2
    posterior: str = "diagonal-normal"
    posterior_options: dict[str, Option] = field(default_factory=dict)
    prior: str = AUTO  # "auto" is the prior of the posterior's space, a standard normal for most
    prior_options: dict[str, Option] = field(default_factory=dict)
    likelihood: str = "bernoulli"
    likelihood_options: dict[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.network != OWN:  # which is not offered: only a model of given networks has it
            check_name("model.network", self.network, NETWORKS)
        check_name("model.activation", self.activation, ACTIVATIONS)
        for key, sizes in (("hidden", self.hidden), ("channels", self.channels), ("latent_dim", (self.latent_dim,))):
            if any(size < 1 for size in sizes):
                raise ConfigError(f"model.{key} needs sizes of at least 1, got {list(sizes)}.")
        if self.network in FOR_IMAGES and not self.channels:
            raise ConfigError(f"model.channels is empty; network {self.network!r} needs at least one stage.")
        if self.num_blocks < 0:
            raise ConfigError(f"model.num_blocks needs at least 0, got {self.num_blocks}.")
        self._check_part("likelihood")
        self._check_part("posterior")
        self._choose_prior()
        self._check_part("prior")
        self._check_latents()

    def _check_part(self, kind: str) -> None:
        """Refuse an unknown name or option of a part."""
        table, name, options = PARTS[kind], getattr(self, kind), getattr(self, f"{kind}_options")
        if name != OWN:
            check_name(f"model.{kind}", name, table)
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

    def _space(self, kind: Literal["posterior", "prior"]) -> Space | None:
        """The space of a part; None if it is not registered."""
        name = getattr(self, kind)
        if name == OWN:
            return None
        table: Mapping[str, Any] = PARTS[kind]
        space: Space = table[name].space_with(getattr(self, f"{kind}_options"))
        return space


def check_name(kind: str, name: str, table: Iterable[str]) -> None:
    """UnknownName for a name that is not in the table."""
    if name not in table:
        raise UnknownName(kind, name, table)

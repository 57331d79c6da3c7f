"""Families: the distributions of a model's posterior and prior, known before there is an example."""

from dataclasses import dataclass

import torch

from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_part
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.kl import has_closed_form_kl, has_elementwise_kl
from lowerbound.probability.parts import OWN
from lowerbound.probability.posterior import Posterior
from lowerbound.probability.prior import Prior


@dataclass(frozen=True, eq=False)
class Families:
    """Posterior and prior of a model."""

    posterior_name: str
    prior_name: str
    posterior: Posterior
    of_posterior: Distribution  # of one example, as in evaluation
    of_prior: Distribution

    @classmethod
    def of_config(cls, config: ModelConfig) -> "Families | None":
        """Those of a configuration; None if it names parts of your own, which only their model knows."""
        if OWN in (config.posterior, config.prior):
            return None
        posterior: Posterior = build_part("posterior", config).eval()
        prior: Prior = build_part("prior", config)
        raw = torch.zeros(1, *posterior.raw_shape)
        return cls(config.posterior, config.prior, posterior, posterior(raw), prior.family())

    @classmethod
    def of_model(cls, model: VAE) -> "Families":
        """Those of a model."""
        return cls(
            model.config.posterior,
            model.config.prior,
            model.posterior,
            model.posterior_of_zeros(),
            model.prior.family(),
        )

    @property
    def in_words(self) -> str:
        """Both by their names in settings."""
        return f"posterior {self.posterior_name!r} and prior {self.prior_name!r}"

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether KL(q(z|x) || p(z)) has a closed form."""
        return has_closed_form_kl(self.of_posterior, self.of_prior)

    @property
    def has_elementwise_kl(self) -> bool:
        """Whether the KL is a sum over latents."""
        return has_elementwise_kl(self.of_posterior, self.of_prior)

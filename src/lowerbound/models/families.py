"""Families: the distributions of a model's posterior and prior, known before there is an example."""

from dataclasses import dataclass

import torch

from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_part
from lowerbound.models.levels import latent_parts
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.hierarchy import has_kl_by_level
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
    has_classifier: bool = False  # which infers labels that are missing

    @classmethod
    def of_config(cls, config: ModelConfig) -> "Families | None":
        """Those of a configuration; None if it names parts of your own, which only their model knows."""
        if OWN in (config.posterior, config.prior):
            return None
        if config.is_hierarchical:
            parts = latent_parts(config, generator(0, "families"))
            posterior: Posterior = parts.posterior.eval()
            prior: Prior = parts.prior
        else:
            posterior, prior = build_part("posterior", config).eval(), build_part("prior", config)
        raw = torch.zeros(1, *posterior.raw_shape)
        name = posterior_in_words(config)
        return cls(name, config.prior, posterior, posterior(raw), prior.family(), config.classifier)

    @classmethod
    def of_model(cls, model: VAE) -> "Families":
        """Those of a model."""
        return cls(
            posterior_in_words(model.config),
            model.config.prior,
            model.posterior,
            model.posterior_of_zeros(),
            model.prior.family(),
            model.classifier is not None,
        )

    @property
    def in_words(self) -> str:
        """Both by their names in settings."""
        return f"posterior {self.posterior_name!r} and prior {self.prior_name!r}"

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether KL(q(z|x) || p(z)) has a closed form; of several levels, that of each given those above."""
        posterior, prior = self.of_posterior, self.of_prior
        return has_closed_form_kl(posterior, prior) or has_kl_by_level(posterior, prior)

    @property
    def has_elementwise_kl(self) -> bool:
        """Whether the KL is a sum over latents; of several levels, given the draws of those above."""
        posterior, prior = self.of_posterior, self.of_prior
        return has_elementwise_kl(posterior, prior) or has_kl_by_level(posterior, prior)


def posterior_in_words(config: ModelConfig) -> str:
    """The name of a posterior, with the form of inference if there are several levels of latents."""
    return f"{config.posterior} by {config.hierarchy}" if config.is_hierarchical else config.posterior

"""Bidirectional Monte Carlo: lower and upper bounds on log p(x) of examples sampled from the model.

Run backwards, from an exact draw of p(z|x) at β = 1 down to the base, the path of `annealing.py` gives weights with
expectation 1/p(x), and from them a stochastic upper bound. If z ~ p(z) and then x ~ p(x|z), z is such an exact draw.
For given examples none is known, so this module only evaluates examples that it samples from the model.

Source: Grosse, Ghahramani and Adams, "Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo",
arXiv:1511.02543.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.evaluation.annealing import AnnealedEvidence, Annealing, AnnealingConfig, Chains, advance
from lowerbound.foundation.errors import ConfigError
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution


@dataclass(frozen=True, eq=False)
class EvidenceBracket:
    """Stochastic lower and upper bounds on log p(x), in nats, of examples sampled from the model."""

    x: Float[Tensor, "batch *event"]
    forward: AnnealedEvidence  # weights of expectation p(x)
    reverse: AnnealedEvidence  # weights of expectation 1/p(x)

    @property
    def lower(self) -> Float[Tensor, " batch"]:
        """Log of the mean forward weight; its expectation is at most log p(x)."""
        return self.forward.log_evidence

    @property
    def upper(self) -> Float[Tensor, " batch"]:
        """Minus the log of the mean reverse weight; its expectation is at least log p(x).

        The reverse chains of one example share their start, the only exact draw. Each weight has expectation 1/p(x), so
        their mean has too, even though they are dependent, and Jensen's inequality needs nothing else.
        """
        return -self.reverse.log_evidence

    @property
    def gap(self) -> Float[Tensor, " batch"]:
        """upper - lower: at least 0 in expectation; bounds the expected error of either."""
        return self.upper - self.lower


def bidirectional(
    model: VAE,
    num_examples: int,
    config: AnnealingConfig,
    generator: Generator,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvidenceBracket:
    """Stochastic lower and upper bounds on log p(x), in nats, of examples x drawn from the model.

    Both directions have the same path and step sizes. `progress` receives the number of completed and of all
    temperatures.
    ConfigError for a deterministic autoencoder.

    Source: Grosse, Ghahramani and Adams, arXiv:1511.02543, Section 3.
    """
    z, x = _simulated(model, num_examples, generator)
    run = Annealing.start(model, x, config, generator)
    num_stages = 3 if config.num_pilot_chains else 2
    total, done = num_stages * config.num_temperatures, 0
    while not run.is_finished:
        run.advance()
        done += 1
        progress(done, total)
    ladder = run.ladder.reversed()
    reverse = Chains.at(run.path.at(z.expand(config.num_chains, *z.shape)))
    while reverse.temperature < ladder.num_temperatures:
        advance(reverse, run.path, ladder, generator)
        done += 1
        progress(done, total)
    return EvidenceBracket(x, run.chains.evidence(), reverse.evidence())


@torch.no_grad()
def _simulated(model: VAE, num_examples: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """z ~ p(z) and x ~ p(x|z), so that z is an exact draw from p(z|x)."""
    if model.is_deterministic:
        raise ConfigError("a deterministic autoencoder (posterior 'point-mass') has no prior to simulate from.")
    prior: Distribution = model.prior()
    z = prior.sample(generator, 1)[0] if model.prior.takes_context else prior.sample(generator, num_examples)
    return z, model.decode(z).sample(generator, 1)[0]

"""Latent statistics: mutual information and aggregate KL (rate decomposition), active units, KL per dimension.

    rate = KL(q(z|x) || p(z)) averaged over x = I_q(x; z) + KL(q(z) || p(z)),   q(z) = the mean over x of q(z|x)

The mutual information is the information that the latents carry about the example; the second part is the distance of
the aggregate posterior q(z), the latents of all examples together, from the prior that samples are drawn from.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.data.batches import Batches, context_of_all
from lowerbound.data.sources import Examples
from lowerbound.foundation.numerics import Estimate, mean_and_standard_error
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import DiagonalNormal, Distribution
from lowerbound.probability.kl import elementwise_kl

BATCH_SIZE = 500

ACTIVE_VARIANCE = 0.01
"""Variance of the posterior mean over examples above which a unit is active: Burda et al., arXiv:1509.00519."""

MAX_PAIRS = 2**21
"""Log-densities of pairs of draw and posterior computed at once: 16 MB in float64."""

MAX_PASSES = 2**25
"""Passes through the networks of a flow for one aggregate posterior: about a minute on one core."""

RESOLUTION_MARGIN = 2.0
"""Nats below its upper bound log n that the mutual information must be to count as resolved."""


@dataclass(frozen=True)
class RateDecomposition:
    """The mean rate and its two parts, in nats, from the same draws, so that the parts add up to the rate.

    For the empirical distribution of the n examples each part is unbiased. For the population both are biased: the
    mutual information of n examples is at most log n nats, so it is too low, and the aggregate KL too high.
    """

    rate: Estimate
    mutual_information: Estimate
    aggregate_kl: Estimate
    num_examples: int

    @property
    def is_resolved(self) -> bool:
        """Whether there are enough examples: the mutual information is well below log n."""
        return self.mutual_information.value < math.log(self.num_examples) - RESOLUTION_MARGIN


@dataclass(frozen=True, eq=False)
class ActiveUnits:
    """Which latent dimensions respond to x."""

    variance: Float[Tensor, " latent"]  # of the posterior mean, over examples

    @property
    def is_active(self) -> tuple[bool, ...]:
        """Whether each dimension is active."""
        return tuple((self.variance > ACTIVE_VARIANCE).tolist())

    @property
    def count(self) -> int:
        """Number of active dimensions."""
        return sum(self.is_active)


@torch.no_grad()
def encode_examples(model: VAE, examples: Examples, device: torch.device | str = "cpu") -> Distribution:
    """The posteriors of all examples as one distribution with batch shape [n]."""
    precision = next(model.parameters()).dtype
    posteriors = [
        model.given(batch.context).encode(batch.x.to(precision)) for batch in Batches(examples, BATCH_SIZE, device)
    ]
    parameters = {field.name: getattr(posteriors[0], field.name) for field in fields(posteriors[0])}  # type: ignore[arg-type]
    names = [name for name, value in parameters.items() if isinstance(value, Tensor)]
    joined = {name: torch.cat([getattr(posterior, name) for posterior in posteriors]) for name in names}
    # A flow's parameters are not among its tensors, and its moments are computed when they are asked for.
    together: Distribution = replace(posteriors[0], **joined)  # type: ignore[type-var]
    return together.detach()


@torch.no_grad()
def prior_of_examples(model: VAE, examples: Examples, device: torch.device | str = "cpu") -> Distribution:
    """p(z), or p(z|y) of all examples as one distribution with batch shape [n], if the prior is conditional."""
    if model.prior.takes_context:
        model = model.given(context_of_all(examples, device))
    prior: Distribution = model.prior()
    return prior


@torch.no_grad()
def decompose_rate(
    posterior: Distribution,
    prior: Distribution,
    generator: Generator,
    num_draws: int = 1,
    max_passes: int = MAX_PASSES,
) -> RateDecomposition:
    """The rate of n posteriors as mutual information plus the KL from aggregate posterior to prior, in nats.

    The aggregate is the mixture of all n posteriors, including the one a draw comes from. Standard errors are over
    examples.

    For a flow, whose densities take passes through networks, of the first posteriors only, for at most `max_passes`
    passes of one draw: see `num_examples`.

    Source: Hoffman and Johnson, "ELBO surgery: yet another way to carve up the variational evidence lower bound", 2016.
    """
    posterior = _affordable(posterior, max_passes)
    draws = posterior.draw(generator, num_draws)
    z = draws.value
    log_posterior = posterior.log_prob(z) if draws.log_density is None else draws.log_density
    log_prior = prior.log_prob(z)
    log_aggregate = log_aggregate_posterior(z.flatten(0, 1), posterior).reshape(log_posterior.shape)
    return RateDecomposition(
        rate=mean_and_standard_error((log_posterior - log_prior).mean(0)),
        mutual_information=mean_and_standard_error((log_posterior - log_aggregate).mean(0)),
        aggregate_kl=mean_and_standard_error((log_aggregate - log_prior).mean(0)),
        num_examples=z.shape[1],
    )


def _affordable(posterior: Distribution, max_passes: int) -> Distribution:
    """The first posteriors of a batch, as many as can be scored under one another; all, where densities are closed
    forms."""
    if not posterior.density_passes:
        return posterior
    number = math.isqrt(max_passes // posterior.density_passes)
    tensors = {field.name: getattr(posterior, field.name) for field in fields(posterior)}  # type: ignore[arg-type]
    kept = {name: value[:number] for name, value in tensors.items() if isinstance(value, Tensor)}
    return replace(posterior, **kept)  # type: ignore[type-var]


def log_aggregate_posterior(z: Float[Tensor, "draw latent"], posterior: Distribution) -> Float[Tensor, " draw"]:
    """log q(z), the log of the mean of q(z|x) over the n posteriors, in nats."""
    num_examples = len(posterior.centre)
    # In chunks, because every draw is scored under every posterior.
    parts = [posterior.log_prob_table(part).logsumexp(1) for part in z.split(max(1, MAX_PAIRS // num_examples))]
    return torch.cat(parts) - math.log(num_examples)


def moment_kl(posterior: Distribution, prior: DiagonalNormal) -> float:
    """The smallest KL(q(z) || p(z)), in nats, of a distribution with the aggregate's means and variances.

    A lower bound that is exact in any dimension, because it does not evaluate the mixture: among all distributions with
    these moments, the independent normal is nearest to an independent normal prior.
    """
    mean, total = posterior.mean.double(), posterior.variance.double().mean(0)
    variance = (total + mean.var(0, correction=0)) / prior.variance
    squared = (mean.mean(0) - prior.mean) ** 2 / prior.variance
    return float(0.5 * (variance + squared - 1 - variance.log()).sum())


def active_units(posterior: Distribution) -> ActiveUnits:
    """The variance over examples of each dimension's posterior mean; above ACTIVE_VARIANCE a dimension is active.

    Source: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", arXiv:1509.00519.
    """
    return ActiveUnits(posterior.mean.double().var(0, correction=0))


def rate_per_dimension(posterior: Distribution, prior: Distribution) -> Float[Tensor, " latent"]:
    """Mean over examples of the KL of each dimension, in nats; ConfigError if it has no closed form."""
    return elementwise_kl(posterior, prior).double().mean(0)

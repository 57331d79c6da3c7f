"""Priors fitted after training to codes of the training examples: draws from their posteriors, not means.

A fit to posterior means would be too narrow. A mixture is fitted by expectation maximisation, a flow by gradient steps
on its log-density, with the weights that were best on codes of held-out examples.

Source: Dai and Wipf, "Diagnosing and Enhancing VAE Models", arXiv:1903.05789, Section 4; for plain autoencoders, Ghosh
et al., "From Variational to Deterministic Autoencoders", arXiv:1903.12436, Section 4.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor

from lowerbound.data.batches import Batches
from lowerbound.data.sources import Examples
from lowerbound.foundation.errors import ConfigError, DataError, Interrupted
from lowerbound.foundation.schedules import cosine
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.probability.autoregressive_prior import AutoregressivePrior
from lowerbound.probability.codes import ChosenCodes
from lowerbound.probability.distributions import DiagonalNormal, Distribution
from lowerbound.probability.flow_prior import FlowPrior
from lowerbound.probability.mixture_prior import MixtureOfNormalsPrior
from lowerbound.probability.normals import MixtureOfNormals
from lowerbound.probability.prior import Prior

NUM_CODES = 50_000
"""Codes are drawn from every posterior until there are at least this many; a point mass has one code."""

MAX_EXAMPLES = 200_000
"""Examples that codes are drawn for, spread over the training split: the fit holds them in memory."""

ENCODER_BATCH = 500
MAX_ITERATIONS = 300  # of expectation maximisation
MIN_VARIANCE = 1e-6  # added to the variances of components, in the codes' unit

NUM_STEPS = 3000  # of a flow or an autoregressive prior
BATCH_SIZE = 512
CODES_BATCH_SIZE = 128  # of discrete codes, each of which has many indices to predict
LEARNING_RATE = 2e-3  # Adam's initial one, which decays to 0
MAX_GRADIENT_NORM = 5.0
STEPS_BETWEEN_CHECKS = 100


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of training examples to fit, and of held-out examples to choose the best fit by."""

    train: Float[Tensor, "code latent"]
    held_out: Float[Tensor, "held latent"]


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """What is fitted."""

    kind: str = "mixture-of-normals"
    num_components: int = 10  # of a mixture
    seed: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)  # the sizes of discrete codes, for kind 'autoregressive'

    @property
    def options(self) -> dict[str, int]:
        """Options of the fitted prior."""
        return {"num_components": self.num_components} if self.kind == "mixture-of-normals" else dict(self.codes)


@dataclass(frozen=True, eq=False)
class FitProgress:
    """Callbacks of a fit: steps done and all steps, and whether to stop."""

    progress: Callable[[int, int], None] = lambda done, total: None
    should_stop: Callable[[], bool] = lambda: False


@torch.no_grad()
def draw_codes(
    model: VAE, examples: Examples, stream: Generator, device: torch.device | str = "cpu"
) -> Float[Tensor, "code latent"]:
    """Draws z ~ q(z|x) of all examples, on the CPU in float64; DataError for one that is not finite.

    Of a model of discrete codes, their indices, which are exact in float64.
    """
    chosen = examples.subsample(MAX_EXAMPLES)
    is_one_code = model.is_deterministic or model.posterior.is_deterministic
    num_draws = 1 if is_one_code else math.ceil(NUM_CODES / len(chosen))
    parts = []
    for batch in Batches(chosen, ENCODER_BATCH, device):
        posterior: Distribution = model.given(batch.context).encode(batch.x)
        if isinstance(posterior, ChosenCodes):
            parts.append(posterior.indices.double().cpu())
        else:
            parts.append(posterior.draw(stream, num_draws).value.flatten(0, 1).double().cpu())
    codes = torch.cat(parts)
    if not codes.isfinite().all():
        raise DataError("the encoder's codes contain NaN or infinity; no prior can be fitted to them.")
    return codes


def fit_mixture(codes: Codes, latent_dim: int, config: FitConfig, callbacks: FitProgress) -> Prior:
    """A mixture of diagonal normals of maximum likelihood, by expectation maximisation from k-means++ starts."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    fit = GaussianMixture(
        config.num_components,
        covariance_type="diag",
        reg_covar=MIN_VARIANCE,
        max_iter=MAX_ITERATIONS,
        init_params="k-means++",  # k-means itself adds up in an order that depends on its threads
        random_state=np.random.RandomState(generator(config.seed, "fit prior/start").initial_seed() % 2**32),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # such a fit is worse, and as valid
        fit.fit(codes.train.numpy())
    weights, means, variances = (torch.from_numpy(part) for part in (fit.weights_, fit.means_, fit.covariances_))
    return MixtureOfNormalsPrior.of(MixtureOfNormals(weights.log(), DiagonalNormal(means, variances.log()))).float()


def fit_flow(codes: Codes, latent_dim: int, config: FitConfig, callbacks: FitProgress) -> Prior:
    """A flow of maximum likelihood; Interrupted if it is asked to stop."""
    prior = FlowPrior(latent_dim)
    return _ascended(prior, prior.log_prob, codes.train.float(), codes.held_out.float(), BATCH_SIZE, config, callbacks)


def fit_autoregressive(codes: Codes, latent_dim: int, config: FitConfig, callbacks: FitProgress) -> Prior:
    """A causal transformer over the indices of codes, of maximum likelihood; Interrupted if it is asked to stop."""
    prior = AutoregressivePrior(latent_dim, **config.options)
    train, held_out = codes.train.long(), codes.held_out.long()
    return _ascended(prior, prior.log_prob_of_indices, train, held_out, CODES_BATCH_SIZE, config, callbacks)


def _ascended(
    prior: Prior,
    log_prob: Callable[[Tensor], Tensor],
    train: Shaped[Tensor, "code number"],
    held_out: Shaped[Tensor, "held number"],
    batch_size: int,
    config: FitConfig,
    callbacks: FitProgress,
) -> Prior:
    """The prior after gradient steps, with the weights that gave held-out codes the highest log-density."""
    prior.initialise(generator(config.seed, "fit prior/weights"))
    order = generator(config.seed, "fit prior/order")
    optimiser = torch.optim.Adam(prior.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, NUM_STEPS))
    best, best_density = deepcopy(prior.state_dict()), _mean_density(log_prob, held_out)
    for step in range(1, NUM_STEPS + 1):
        if callbacks.should_stop():
            raise Interrupted("interrupted; no prior was fitted and nothing was written.")
        chosen = torch.randint(len(train), (batch_size,), generator=order)
        optimiser.zero_grad()
        (-log_prob(train[chosen]).mean()).backward()
        torch.nn.utils.clip_grad_norm_(prior.parameters(), MAX_GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        if step % STEPS_BETWEEN_CHECKS == 0:
            callbacks.progress(step, NUM_STEPS)
            if (density := _mean_density(log_prob, held_out)) > best_density:
                best, best_density = deepcopy(prior.state_dict()), density
    prior.load_state_dict(best)
    return prior


@torch.no_grad()
def _mean_density(log_prob: Callable[[Tensor], Tensor], codes: Shaped[Tensor, "code number"]) -> float:
    return float(torch.cat([log_prob(part) for part in codes.split(10_000)]).mean())


def check_fit(config: FitConfig, num_examples: int) -> None:
    """ConfigError for more components than training examples."""
    if config.kind == "mixture-of-normals" and config.num_components > num_examples:
        raise ConfigError(
            f"{config.num_components:,} components cannot be fitted to {num_examples:,} training examples; choose "
            "fewer components."
        )


FITS: dict[str, Callable[[Codes, int, FitConfig, FitProgress], Prior]] = {
    "mixture-of-normals": fit_mixture,
    "flow": fit_flow,
    "autoregressive": fit_autoregressive,
}
"""Functions that fit a prior, by its name in PRIORS."""

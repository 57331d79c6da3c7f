"""measure_health(): ELBOs, gain from z, clamped variances, learned σ, gaps and support, for the diagnosis."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.data.batches import Batches
from lowerbound.data.sources import Examples, Splits
from lowerbound.evaluation.code_metrics import measure_code_use
from lowerbound.evaluation.expected_terms import BATCH_SIZE, expected_terms
from lowerbound.evaluation.health import UNKNOWN, HealthMetrics, TrainedWith
from lowerbound.evaluation.inference_gap import GapConfig, inference_gaps
from lowerbound.evaluation.latent_statistics import (
    MAX_PASSES,
    active_units,
    decompose_rate,
    encode_examples,
    moment_kl,
    prior_of_examples,
    rate_per_dimension,
)
from lowerbound.evaluation.local_posteriors import LOCAL_FAMILIES
from lowerbound.evaluation.reference_levels import z_free_distortion
from lowerbound.evaluation.thresholds import PARETO_K_BOUND
from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.numerics import mean_and_standard_error
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import DiagonalNormal, Distribution
from lowerbound.probability.kl import has_elementwise_kl
from lowerbound.probability.likelihoods import GaussianLikelihood, convention_for
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND


@dataclass(frozen=True, kw_only=True)
class HealthConfig:
    """Numbers of examples and draws for the diagnosis."""

    num_examples: int = 1000  # of training and test split each, evenly spaced, for ELBO, distortion and rate
    num_draws: int = 2  # from the posterior, for each example
    num_coded: int = 5000  # training examples, evenly spaced, for the aggregate posterior
    max_passes: int = MAX_PASSES  # of draws through a flow, for the aggregate posterior
    num_gap_examples: int = 100  # first test examples, for inference gaps
    gaps: GapConfig = field(default_factory=lambda: GapConfig(num_steps=25, num_draws=4, num_judging_draws=16))

    def __post_init__(self) -> None:
        # A standard error needs at least two examples.
        for key, least in (("num_examples", 2), ("num_draws", 1), ("num_coded", 2), ("num_gap_examples", 2)):
            if getattr(self, key) < least:
                raise ConfigError(f"{key} needs at least {least}, got {getattr(self, key)}.")


STANDARD = HealthConfig()
NOTHING: Mapping[str, np.ndarray] = {}


def measure_health(
    model: VAE,
    splits: Splits,
    *,
    known: Mapping[str, np.ndarray] = NOTHING,
    config: HealthConfig = STANDARD,
    seed: int = 0,
    device: torch.device | str = "cpu",
    trained_with: TrainedWith = UNKNOWN,
    is_quick: bool = False,
) -> HealthMetrics:
    """Measure the quantities that `diagnose` checks; if it is to be quick, without searches and weights of draws.

    `known` contains arrays of results for the first test examples, by name, which are not measured again: exact
    log p(x), both gaps, Pareto-k and effective sample size. `trained_with` is what is known of the training.
    If the likelihood cannot score the data, nothing else is measured.
    """
    model.eval()
    found = HealthMetrics(
        latent_dim=model.latent_dim,
        is_deterministic=model.is_deterministic,
        has_real_latents=not model.why_not_real,
        monitored=splits.monitored,
        allowed_distortion=trained_with.allowed_distortion,
        settings=trained_with.settings,
        learned_sigma=_learned_sigma(model),
    )
    refusals = list(_refusals(model, splits))
    if refusals:
        num_examples = sum(len(part) for part in _parts(splits))
        return replace(found, outside_share=len(refusals) / num_examples, refusal=refusals[0])
    found = _add_terms(replace(found, outside_share=0.0), model, splits, config, seed, device)
    if model.is_deterministic:
        return found
    coded = splits.train.subsample(config.num_coded)
    posterior, prior = encode_examples(model, coded, device), prior_of_examples(model, coded, device)
    if (use := measure_code_use(model, coded, device)) is not None:
        found = replace(found, code_use=use.share)
    found = _add_latent_statistics(found, model, posterior, prior, seed, config.max_passes)
    if is_quick:
        return found
    tensors = {name: torch.as_tensor(array) for name, array in known.items() if name.endswith("_per_image")}
    if len(tensors.get("log_evidence_per_image", ())) < len(tensors.get("pareto_k_per_image", ())):
        tensors.pop("log_evidence_per_image", None)  # it covers only some of the examples
    if "amortisation_gap_per_image" in tensors:
        found = _add_known_gaps(found, tensors)
    elif type(posterior) in LOCAL_FAMILIES and not model.takes_context:
        found = _add_inference_gaps(found, model, splits, tensors.get("log_evidence_per_image"), config, seed, device)
    return _add_weight_reliability(found, tensors)


def _add_terms(
    found: HealthMetrics, model: VAE, splits: Splits, config: HealthConfig, seed: int, device: torch.device | str
) -> HealthMetrics:
    """Add the ELBO on both splits and, on training examples, rate, distortion and z-free distortion."""
    train_examples, test_examples = (part.subsample(config.num_examples) for part in (splits.train, splits.test))
    train = expected_terms(model, train_examples, config.num_draws, seed, device)
    z_free = z_free_distortion(model, splits.train, train_examples, device)
    found = replace(
        found,
        distortion=mean_and_standard_error(train.distortion),
        z_free_distortion=mean_and_standard_error(z_free),
        distortion_gain=mean_and_standard_error(z_free - train.distortion),
        swap_loss=mean_and_standard_error(_swap_losses(model, train_examples, device)),
    )
    if model.is_deterministic:
        return found
    test = expected_terms(model, test_examples, config.num_draws, seed, device)
    return replace(
        found,
        rate=mean_and_standard_error(train.rate),
        rates_by_level=tuple(mean_and_standard_error(rate) for rate in train.rates_by_level.T),
        train_elbo=mean_and_standard_error(train.elbo),
        test_elbo=mean_and_standard_error(test.elbo),
    )


@torch.no_grad()
def _swap_losses(model: VAE, examples: Examples, device: torch.device | str) -> Float[Tensor, " n"]:
    """Rise of each example's distortion, in nats, if the centre of its posterior is replaced by that of another one."""
    losses = []
    for batch in Batches(examples, BATCH_SIZE, device):
        conditioned = model.given(batch.context)
        centre = conditioned.encode(batch.x).centre
        own, swapped = (conditioned.decode(z).log_prob(batch.x) for z in (centre, centre.roll(1, 0)))
        losses.append(own - swapped)
    return torch.cat(losses).cpu()


def _add_latent_statistics(
    found: HealthMetrics, model: VAE, posterior: Distribution, prior: Distribution, seed: int, max_passes: int
) -> HealthMetrics:
    """Add active units, the KL per dimension and, unless the prior is p(z|y), the rate decomposition."""
    is_sum = has_elementwise_kl(posterior, prior)
    found = replace(
        found,
        active_units=None if model.why_not_real else active_units(posterior).count,
        rate_per_dimension=tuple(rate_per_dimension(posterior, prior).tolist()) if is_sum else None,
        clamped_share=_clamped_share(posterior) if isinstance(posterior, DiagonalNormal) else None,
    )
    if model.prior.takes_context:
        return found
    stream = generator(seed, "check-up/aggregate", posterior.centre.device)
    split = decompose_rate(posterior, prior, stream, max_passes=max_passes)
    return replace(
        found,
        mutual_information=split.mutual_information if split.is_resolved else None,
        aggregate_kl=split.aggregate_kl if split.is_resolved else None,
        moment_kl=moment_kl(posterior, prior) if isinstance(prior, DiagonalNormal) else None,
    )


def _add_inference_gaps(
    found: HealthMetrics,
    model: VAE,
    splits: Splits,
    log_evidence: Float[Tensor, " known"] | None,
    config: HealthConfig,
    seed: int,
    device: torch.device | str,
) -> HealthMetrics:
    num_examples = min(config.num_gap_examples, len(splits.test))
    if log_evidence is not None:
        num_examples = min(num_examples, len(log_evidence))
        log_evidence = log_evidence[:num_examples]
    examples = splits.test.subset(np.arange(num_examples))
    gaps = inference_gaps(model, examples, log_evidence, config.gaps, seed, device)
    return replace(
        found,
        amortisation_gap=gaps.mean_amortisation_gap,
        approximation_gap=gaps.mean_approximation_gap,
        log_evidence=None if log_evidence is None else mean_and_standard_error(log_evidence),
    )


def _add_known_gaps(found: HealthMetrics, known: Mapping[str, Tensor]) -> HealthMetrics:
    gaps = (known.get(f"{name}_per_image") for name in ("amortisation_gap", "approximation_gap", "log_evidence"))
    amortisation, approximation, log_evidence = (None if gap is None else mean_and_standard_error(gap) for gap in gaps)
    return replace(found, amortisation_gap=amortisation, approximation_gap=approximation, log_evidence=log_evidence)


def _add_weight_reliability(found: HealthMetrics, known: Mapping[str, Tensor]) -> HealthMetrics:
    pareto_k, effective_sample_size = (known.get(f"{name}_per_image") for name in ("pareto_k", "effective_sample_size"))
    # With too few draws Pareto-k is NaN, and the weights are not judged.
    if pareto_k is not None and len(shape := pareto_k[~pareto_k.isnan()]):
        share = float((shape > PARETO_K_BOUND).double().mean())
        found = replace(found, pareto_k=float(shape.median()), unreliable_share=share)
    if effective_sample_size is not None:
        found = replace(found, effective_sample_size=float(effective_sample_size.median()))
    return found


def _refusals(model: VAE, splits: Splits) -> Iterator[str]:
    """The likelihood's message for each example that it cannot score."""
    for part in _parts(splits):
        # Example by example only if the split as a whole is refused, which is rare.
        if _refusal(model, part) is not None:
            refusals = (_refusal(model, part.subset(np.array([index]))) for index in range(len(part)))
            yield from (refusal for refusal in refusals if refusal is not None)


def _refusal(model: VAE, examples: Examples) -> str | None:
    support = examples.support
    try:
        convention_for(model.likelihood, replace(support, is_binary=support.is_binary or examples.is_redrawn))
    except DataError as error:
        return str(error)
    return None


def _parts(splits: Splits) -> tuple[Examples, Examples, Examples]:
    return splits.train, splits.validation, splits.test


def _learned_sigma(model: VAE) -> float | None:
    likelihood = model.likelihood
    if isinstance(likelihood, GaussianLikelihood) and isinstance(likelihood.log_sigma, nn.Parameter):
        return likelihood.sigma
    return None


def _clamped_share(posterior: DiagonalNormal) -> float:
    return float((posterior.log_variance.abs() >= LOG_VARIANCE_BOUND).double().mean())

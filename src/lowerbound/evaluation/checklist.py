"""checked(): the outcome of every check of the diagnosis, of those that a model passes as well.

A row of CHECKLIST says what a check measures, in which unit, and what a healthy model shows. Whether it passes is
decided by the check of the same name in `diagnosis.CHECKS` alone, by `diagnose`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from lowerbound.evaluation import diagnosis, thresholds
from lowerbound.evaluation.health import HealthMetrics
from lowerbound.evaluation.results import Checked, Finding
from lowerbound.foundation.numerics import Estimate

Value = float | Estimate | str | None
"""A measured number; None if it was not measured, a reason if another finding makes it meaningless."""

NOT_APPLICABLE = "does not apply"
NOT_FINITE = "the number is not finite"


@dataclass(frozen=True)
class Row:
    """What a check shows in the checklist."""

    passes: str  # what a healthy model shows
    value: Callable[[HealthMetrics], Value]
    threshold: Callable[[HealthMetrics], float | None]
    unit: str
    is_lower_bound: bool = False  # whether a healthy model's number is above the threshold
    is_slow: bool = False  # whether only the full evaluation measures it


def checked(health: HealthMetrics) -> tuple[Checked, ...]:
    """The outcome of every check, in the order of the table."""
    findings = {finding.name: finding for finding in diagnosis.diagnose(health)}
    return tuple(_outcome(name, row, health, findings.get(name)) for name, row in CHECKLIST.items())


def _outcome(name: str, row: Row, health: HealthMetrics, finding: Finding | None) -> Checked:
    value, threshold = row.value(health), row.threshold(health)
    if value is None or threshold is None or isinstance(value, str):
        reason = value if isinstance(value, str) else "" if row.is_slow else NOT_APPLICABLE
        return Checked(name=name, passes=row.passes, reason=reason, finding=finding)
    number, error = (value.value, value.standard_error) if isinstance(value, Estimate) else (float(value), None)
    if not (math.isfinite(number) and math.isfinite(threshold)):
        return Checked(name=name, passes=row.passes, reason=NOT_FINITE, finding=finding)
    if error is not None and not math.isfinite(error):  # of a single example
        error = None
    return Checked(
        name=name,
        passes=row.passes,
        number=number,
        standard_error=error,
        threshold=threshold,
        is_lower_bound=row.is_lower_bound,
        unit=row.unit,
        finding=finding,
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _outside_prior(health: HealthMetrics) -> Value:
    return health.moment_kl if health.aggregate_kl is None else health.aggregate_kl


def _gain(health: HealthMetrics) -> Value:
    return "the decoder ignores z" if diagnosis.decoder_ignores_z(health) else health.distortion_gain


def _use_of_latents(health: HealthMetrics) -> Value:
    """What the latents of another example cost, which of an undertrained model does not say that it will ignore z."""
    swap = health.swap_loss
    is_small = swap is not None and swap.value <= thresholds.threshold_of_gain(swap)
    return "cannot be told before the model is trained" if is_small and diagnosis.undertrained(health) else swap


def _monitored_share(health: HealthMetrics) -> float | None:
    return None if health.monitored is None else 100.0 * (health.monitored == "test")


CHECKLIST: dict[str, Row] = {
    "data outside the support": Row(
        "all data are within the likelihood's support",
        lambda health: _percent(health.outside_share),
        lambda health: 0.0,
        "% of the examples outside",
    ),
    "undertrained": Row(
        "the decoder is better than one distribution for all examples",
        _gain,
        lambda health: thresholds.threshold_of_gain(health.distortion_gain),
        "nats better",
        is_lower_bound=True,
    ),
    "decoder ignores z": Row(
        "the decoder uses the latents",
        _use_of_latents,
        lambda health: thresholds.threshold_of_gain(health.swap_loss),
        "nats lost with the latents of another example",
        is_lower_bound=True,
    ),
    "distortion above the allowed one": Row(
        "the distortion is at most the one that the objective allows",
        thresholds.excess_distortion,
        lambda health: None if health.allowed_distortion is None else thresholds.LEAST_GAIN,
        "nats above the allowed one",
    ),
    "posterior collapse": Row(
        "every latent dimension is used",
        lambda health: health.active_units,
        lambda health: None if health.latent_dim is None else float(health.latent_dim),
        "active dimensions",
        is_lower_bound=True,
    ),
    "unused codes": Row(
        "most codes of the codebook are used",
        lambda health: _percent(health.code_use),
        lambda health: 100 * thresholds.LEAST_CODE_USE,
        "% of the codes",
        is_lower_bound=True,
    ),
    "dead level": Row(
        "every level of latents is used",
        lambda health: min((rate.value for rate in health.rates_by_level), default=None),
        lambda health: thresholds.DEAD_LEVEL if health.rates_by_level else None,
        "nats of rate of the least used level",
        is_lower_bound=True,
    ),
    "log-variance at its bound": Row(
        "posterior log-variances are free",
        lambda health: _percent(health.clamped_share),
        lambda health: 100 * thresholds.CLAMPED_SHARE,
        "% at their bound",
    ),
    "σ at its bound": Row(
        "the learned σ is above its bound",
        lambda health: health.learned_sigma,
        thresholds.sigma_threshold,
        "(learned σ)",
        is_lower_bound=True,
    ),
    "overfitting": Row(
        "new examples are modelled as well as training examples",
        thresholds.generalisation_gap,
        thresholds.overfitting_threshold,
        "nats between the ELBOs of training and test examples",
    ),
    "holes in the latent space": Row(
        "the latents of the examples fill the prior",
        _outside_prior,
        lambda health: thresholds.FAR_FROM_PRIOR,
        "nats from the aggregate posterior to the prior",
    ),
    "model selected on the test split": Row(
        "the weights were not selected on test examples",
        _monitored_share,
        lambda health: 0.0,
        "% of the monitored examples are test examples",
    ),
    "encoder is the bottleneck": Row(
        "the encoder is close to the best posterior of its family",
        lambda health: health.amortisation_gap,
        thresholds.amortisation_threshold,
        "nats lost by the encoder",
        is_slow=True,
    ),
    "log-evidence estimate below a lower bound": Row(
        "log p(x) lies above its lower bounds",
        lambda health: health.approximation_gap,
        lambda health: 0.0,
        "nats between the best local ELBO and log p(x)",
        is_lower_bound=True,
        is_slow=True,
    ),
    "unreliable log-evidence estimate": Row(
        "importance weights are reliable",
        lambda health: _percent(health.unreliable_share),
        lambda health: 100 * thresholds.UNRELIABLE_SHARE,
        f"% of the examples have a Pareto-k above {thresholds.PARETO_K_BOUND}",
        is_slow=True,
    ),
}
"""The checks in the order of the checklist: those that take no time come first."""

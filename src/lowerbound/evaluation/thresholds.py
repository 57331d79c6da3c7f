"""Thresholds of the diagnosis, the reasons for them, and the numbers that are compared with them.

Chosen on reference models: `dense` and `conv` on the digits, `conv` on MNIST, with 2 latents each.
"""

import math

from lowerbound.evaluation.health import HealthMetrics
from lowerbound.foundation.numerics import Estimate

NOISE = 2.0
"""Standard errors within which a difference is noise."""

LEAST_GAIN = 0.1
"""Nats by which z must lower the distortion to count: with many examples, even less would be significant."""

CONVERGED_WITHIN = 1.0
"""Nats within which a converged decoder that ignores z is as good as one distribution: noise of its training costs it
some tenths."""

OVERFITTING_FRACTION = 0.1
"""Share of the gain from z on training examples that may be lost on new ones; reference models lose 3 to 9 %."""

DEAD_LEVEL = 0.01
"""Nats of rate below which a level of latents carries nothing: a level that is used has tenths or more."""

CLAMPED_SHARE = 1e-3
"""Share of log-variances that may be at their bound, where the gradient is 0: a few may be unusual examples."""

LEAST_CODE_USE = 0.5
"""Share of discrete codes that are used: below it, half of the codebook, one bit of each index, is lost."""

FAR_FROM_PRIOR = 1.0
"""KL from the aggregate posterior to the prior, in nats: 1 is as if codes filled e⁻¹ = 37 % of the prior. Reference
models: 0.1 to 0.5."""

LEAST_AMORTISATION_GAP = 1.0
"""Nats that a better encoder must gain; smaller gains are comparable to the noise of the search."""

AMORTISATION_FRACTION = 0.05
"""Share of the gain from z that the encoder may lose: half of what overfitting may lose."""

PARETO_K_BOUND = 0.7
"""Pareto-k of the weights above which importance sampling fails for any practical number of draws."""

UNRELIABLE_SHARE = 0.2
"""Share of examples that may be above that bound. Reference models, with 200 draws: 9 % on the digits, where the
estimate is within a tenth of a nat; 50 % on MNIST, where it is 3 nats too low."""

AT_SIGMA_BOUND = 1.01
"""How close to its bound a learned σ counts as being there, as a factor: training steps cross it in both directions."""


def at_least(estimate: Estimate) -> float:
    """Lower end of the noise interval."""
    return estimate.value - NOISE * estimate.standard_error


def at_most(estimate: Estimate) -> float:
    """Upper end of the noise interval."""
    return estimate.value + NOISE * estimate.standard_error


def threshold_of_gain(gain: Estimate | None) -> float:
    """Nats up to which a gain is none."""
    return LEAST_GAIN if gain is None else max(LEAST_GAIN, NOISE * gain.standard_error)


def amortisation_threshold(evidence: HealthMetrics) -> float | None:
    """Nats that the encoder may lose; None if they cannot be compared with the gain from z."""
    if evidence.gain is None:
        return None
    floor, family = max(LEAST_AMORTISATION_GAP, AMORTISATION_FRACTION * evidence.gain), evidence.approximation_gap
    return floor if family is None else max(floor, family.value)


def sigma_threshold(evidence: HealthMetrics) -> float:
    """The learned σ below which it is at its bound."""
    return AT_SIGMA_BOUND * evidence.sigma_bound


def overfitting_threshold(evidence: HealthMetrics) -> float | None:
    """Nats that training examples may be better by; None if the latents gain nothing, or it was not measured."""
    return OVERFITTING_FRACTION * evidence.gain if evidence.gain else None


def generalisation_gap(evidence: HealthMetrics) -> Estimate | None:
    """The ELBO of training examples minus that of test examples, in nats."""
    if evidence.train_elbo is None or evidence.test_elbo is None:
        return None
    return difference(evidence.train_elbo, evidence.test_elbo)


def excess_distortion(evidence: HealthMetrics) -> Estimate | None:
    """Nats of distortion above the allowed one; None if the objective allows any."""
    allowed, distortion = evidence.allowed_distortion, evidence.distortion
    if allowed is None or distortion is None:
        return None
    return Estimate(distortion.value - allowed, distortion.standard_error)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Difference of two independent estimates, with its standard error."""
    return Estimate(first.value - second.value, math.hypot(first.standard_error, second.standard_error))

"""Diagnosis: checks on a model's HealthMetrics, and the findings: problems of a model, with settings that fix them.

`diagnose` is a pure function of the numbers that `health_metrics.measure_health` measures. Every check is an entry in
CHECKS, states its threshold and the reason for it, and returns None if a number that it needs was not measured. A
difference within noise (two standard errors) is not a finding. A healthy model has no findings. The remedies of all
findings are chosen together (remedies.py), so that they do not contradict one another.
"""

import math
from collections.abc import Callable

from lowerbound.evaluation.health import HealthMetrics
from lowerbound.evaluation.remedies import with_remedies
from lowerbound.evaluation.results import NOTE, SERIOUS, WARNING, Finding
from lowerbound.evaluation.thresholds import (
    AMORTISATION_FRACTION,
    CLAMPED_SHARE,
    CONVERGED_WITHIN,
    DEAD_LEVEL,
    FAR_FROM_PRIOR,
    LEAST_AMORTISATION_GAP,
    LEAST_CODE_USE,
    LEAST_GAIN,
    NOISE,
    OVERFITTING_FRACTION,
    PARETO_K_BOUND,
    UNRELIABLE_SHARE,
    amortisation_threshold,
    at_least,
    at_most,
    excess_distortion,
    generalisation_gap,
    overfitting_threshold,
    sigma_threshold,
    threshold_of_gain,
)
from lowerbound.foundation.number_format import format_measured
from lowerbound.foundation.numerics import Estimate
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND

Check = Callable[[HealthMetrics], Finding | None]


def diagnose(evidence: HealthMetrics) -> tuple[Finding, ...]:
    """Findings of all checks, most serious first; empty for a healthy model."""
    findings = [finding for check in CHECKS.values() if (finding := check(evidence))]
    return with_remedies(sorted(findings, key=lambda finding: finding.severity), evidence)


def data_outside_support(evidence: HealthMetrics) -> Finding | None:
    """Check for values outside the likelihood's support. Grey pixels under a Bernoulli are accepted."""
    if not evidence.outside_share:
        return None
    return Finding(
        name="data outside the support",
        severity=SERIOUS,
        sentence=f"Some examples lie outside the likelihood's support, which makes all other numbers meaningless: "
        f"{evidence.refusal}",
        number=100 * evidence.outside_share,
        threshold=0.0,
        unit="% of the examples",
        remedy="",
        source="a log-density is defined only on the support (Kingma and Welling, arXiv:1312.6114, Appendix C)",
    )


def decoder_ignores_z(evidence: HealthMetrics) -> Finding | None:
    """Check whether the decoder is as good as one distribution for all examples, and no worse with other latents."""
    if not _has_no_gain(evidence) or _is_undertrained(evidence):
        return None
    gain = evidence.distortion_gain
    assert gain is not None
    return Finding(
        name="decoder ignores z",
        severity=SERIOUS,
        sentence="The decoder reconstructs training examples no better than one distribution for all examples, fitted "
        f"to them, which ignores the latents{_within_noise(gain)}{_about_swapped(evidence.swap_loss)}.",
        number=gain.value,
        threshold=threshold_of_gain(gain),
        unit="nats by which z lowers the distortion",
        remedy="",
        source="the auto-decoding limit of Alemi et al., arXiv:1711.00464; threshold: noise",
    )


def distortion_above_allowed(evidence: HealthMetrics) -> Finding | None:
    """Check whether a distortion that the objective asks for was reached."""
    allowed, excess = evidence.allowed_distortion, excess_distortion(evidence)
    if allowed is None or excess is None or not at_least(excess) > LEAST_GAIN:
        return None
    return Finding(
        name="distortion above the allowed one",
        severity=WARNING,
        sentence=f"The objective allows a distortion of {allowed:g} nats, and training examples have "
        f"{excess.value:.3g} nats more: the rate was weighted less and less, without reaching it.",
        number=excess.value,
        threshold=LEAST_GAIN,
        unit="nats of distortion above the allowed one",
        remedy="",
        source="Rezende and Viola, Taming VAEs, arXiv:1810.00597: the multiplier grows until the constraint holds",
    )


def undertrained(evidence: HealthMetrics) -> Finding | None:
    """Check whether a decoder that is no better than one distribution for all examples has not learned that much yet,
    or does use the latents: whether it will ignore them cannot be known.
    """
    if not _has_no_gain(evidence) or not _is_undertrained(evidence):
        return None
    gain, swap = evidence.distortion_gain, evidence.swap_loss
    assert gain is not None
    level = "is no better" if gain.value > -threshold_of_gain(gain) else f"is {-gain.value:.1f} nats worse"
    uses_z = swap is not None and swap.value > threshold_of_gain(swap)
    use = (
        f"the latents of another example cost {swap.value:.2g} nats more, so it uses them"
        if uses_z and swap
        else ("whether it would ignore the latents cannot be told yet")
    )
    return Finding(
        name="undertrained",
        severity=SERIOUS,
        sentence=f"The decoder {level} than one distribution for all examples, which training soon surpasses; {use}.",
        number=gain.value,
        threshold=threshold_of_gain(gain),
        unit="nats by which the decoder surpasses one distribution for all examples",
        remedy="",
        source="a decoder that ignores z can reach the level of one distribution, so a worse one is not converged",
    )


def posterior_collapse(evidence: HealthMetrics) -> Finding | None:
    """Check for latent dimensions whose posterior does not depend on the example."""
    active, total = evidence.active_units, evidence.latent_dim
    if active is None or total is None or active >= total:
        return None
    return Finding(
        name="posterior collapse",
        severity=SERIOUS if active == 0 else WARNING if 2 * active < total else NOTE,
        sentence=f"Of {total} latent dimensions, {total - active} carry no information about the example: their "
        f"posterior is the same for all examples{_weakest_rate(evidence)}.",
        number=float(active),
        threshold=float(total),
        unit="active dimensions",
        remedy="",
        source="active units: Burda et al., arXiv:1509.00519; warm-up: Sønderby et al., arXiv:1602.02282",
    )


def unused_codes(evidence: HealthMetrics) -> Finding | None:
    """Check for a codebook of which training examples use only a part."""
    share = evidence.code_use
    if share is None or not share < LEAST_CODE_USE:
        return None
    return Finding(
        name="unused codes",
        severity=WARNING,
        sentence=f"Training examples use only {share:.0%} of the codes: the others cost rate under a uniform prior, "
        "and carry nothing.",
        number=100 * share,
        threshold=100 * LEAST_CODE_USE,
        unit="% of the codes",
        remedy="",
        source="codebook collapse: Dhariwal et al., Jukebox, arXiv:2005.00341, Section 3.1; Mentzer et al., "
        "arXiv:2309.15505, Figure 3",
    )


def dead_level(evidence: HealthMetrics) -> Finding | None:
    """Check for levels of latents that carry no information: their posterior is their prior."""
    rates = evidence.rates_by_level
    dead = [number for number, rate in enumerate(rates, 1) if at_most(rate) < DEAD_LEVEL]
    if not dead:
        return None
    numbers = " and ".join(map(str, dead))
    which = f"Levels {numbers} of the latents carry" if len(dead) > 1 else f"Level {numbers} of the latents carries"
    return Finding(
        name="dead level",
        severity=SERIOUS if len(dead) == len(rates) else WARNING,
        sentence=f"{which} no information about the example: the posterior there is the prior (level 1 is nearest x).",
        number=min(rate.value for rate in rates),
        threshold=DEAD_LEVEL,
        unit="nats of rate of the least used level",
        remedy="",
        source="upper levels without warm-up: Sønderby et al., arXiv:1602.02282",
    )


def log_variance_at_clamp(evidence: HealthMetrics) -> Finding | None:
    """Check for posterior log-variances clamped at the bound that numerical stability needs."""
    share = evidence.clamped_share
    if share is None or not share > CLAMPED_SHARE:
        return None
    return Finding(
        name="log-variance at its bound",
        severity=SERIOUS,
        sentence=f"Some posterior log-variances are clamped at ±{LOG_VARIANCE_BOUND:g}, where their gradient is zero.",
        number=100 * share,
        threshold=100 * CLAMPED_SHARE,
        unit="% of the log-variances",
        remedy="",
        source="a clamped value has gradient 0; one in a thousand may be an unusual example",
    )


def sigma_at_bound(evidence: HealthMetrics) -> Finding | None:
    """Check for a learned σ at its lower bound."""
    sigma = evidence.learned_sigma
    if sigma is None or not sigma <= sigma_threshold(evidence):
        return None
    return Finding(
        name="σ at its bound",
        severity=SERIOUS,
        sentence="The likelihood's learned standard deviation has shrunk to its lower bound: the density of some "
        "values grows without limit, so nats reflect the bound instead of the model.",
        number=sigma,
        threshold=evidence.sigma_bound,
        unit="(learned σ)",
        remedy="",
        source="unbounded likelihood: Mattei and Frellsen, arXiv:1802.04826",
    )


def evidence_below_bound(evidence: HealthMetrics) -> Finding | None:
    """Check for an estimate of log p(x) below a lower bound on it."""
    gap = evidence.approximation_gap
    if gap is None or not at_most(gap) < 0:
        return None
    return Finding(
        name="log-evidence estimate below a lower bound",
        severity=WARNING,
        sentence="The estimate of log p(x) lies below a lower bound for the same examples, so it is too low.",
        number=gap.value,
        threshold=0.0,
        unit="nats of log-evidence above the best local ELBO",
        remedy="",
        source="log p(x) − ELBO = KL(q ‖ p(z|x)) ≥ 0 (Kingma and Welling, arXiv:1312.6114, Equation 1)",
    )


def unreliable_evidence(evidence: HealthMetrics) -> Finding | None:
    """Check for importance weights with a tail too heavy to estimate their mean."""
    share = evidence.unreliable_share
    if share is None or not share > UNRELIABLE_SHARE:
        return None
    size = evidence.effective_sample_size
    effective = f" (median effective sample size: {size:,.0f} draws)" if size is not None else ""
    is_exact = evidence.log_evidence is not None
    return Finding(
        name="unreliable log-evidence estimate",
        severity=NOTE if is_exact else WARNING,
        sentence=f"For {share:.0%} of the examples the importance weights are so heavy-tailed that their mean may not "
        f"converge{effective}: the importance-weighted estimate of log p(x) and its error are unreliable, and the "
        f"estimate may be too low{'; the exact evidence is not affected' if is_exact else ''}.",
        number=100 * share,
        threshold=100 * UNRELIABLE_SHARE,
        unit=f"% of the examples have a Pareto-k above {PARETO_K_BOUND}",
        remedy="",
        source="Vehtari et al., Pareto Smoothed Importance Sampling, arXiv:1507.02646",
    )


def overfitting(evidence: HealthMetrics) -> Finding | None:
    """Check whether training examples have a higher ELBO than new ones."""
    gap, threshold = generalisation_gap(evidence), overfitting_threshold(evidence)
    if gap is None or threshold is None or evidence.gain is None or not at_least(gap) > threshold:
        return None
    return Finding(
        name="overfitting",
        severity=WARNING,
        sentence=f"The ELBO of training examples is {gap.value:.1f} nats higher than that of test examples: "
        f"{gap.value / evidence.gain:.0%} of the gain from the latents does not generalise.",
        number=gap.value,
        threshold=threshold,
        unit="nats",
        remedy="",
        source=f"reference models lose less than {OVERFITTING_FRACTION:.0%} of the gain; beyond two standard errors",
    )


def far_from_prior(evidence: HealthMetrics) -> Finding | None:
    """Check for regions of the prior where no example is encoded."""
    kl = evidence.aggregate_kl
    if kl is None and evidence.moment_kl is not None:
        kl = Estimate(evidence.moment_kl, 0.0)
    if kl is None or not at_least(kl) > FAR_FROM_PRIOR:
        return None
    return Finding(
        name="holes in the latent space",
        severity=WARNING,
        sentence="The aggregate posterior does not match the prior: it is as if the latents of all examples filled "
        f"only {math.exp(-kl.value):.1%} of it. Samples are drawn from the whole prior, so they look worse than "
        "reconstructions.",
        number=kl.value,
        threshold=FAR_FROM_PRIOR,
        unit="nats from the aggregate posterior to the prior",
        remedy="",
        source="Hoffman and Johnson, ELBO surgery, 2016; Rosca et al., arXiv:1802.06847",
    )


def encoder_bottleneck(evidence: HealthMetrics) -> Finding | None:
    """Check for an encoder far from the best posterior of its family."""
    gap, family, gain = evidence.amortisation_gap, evidence.approximation_gap, evidence.gain
    if gap is None or gain is None:
        return None
    threshold = amortisation_threshold(evidence)
    if threshold is None or not at_least(gap) > threshold:
        return None
    others = "" if family is None or family.value < 0 else f"; the limits of its family cost {family.value:.1f} nats"
    return Finding(
        name="encoder is the bottleneck",
        severity=WARNING if gap.value > gain / 2 else NOTE,
        sentence=f"With this decoder, the best posterior of each example, optimised for it alone, has an ELBO "
        f"{gap.value:.1f} nats higher than the encoder's{others}.",
        number=gap.value,
        threshold=threshold,
        unit="nats",
        remedy="",
        source=f"Cremer et al., arXiv:1801.03558; threshold: {AMORTISATION_FRACTION:.0%} of the gain from z, at least "
        f"{LEAST_AMORTISATION_GAP:g} nat, and the approximation gap",
    )


def selected_on_test_split(evidence: HealthMetrics) -> Finding | None:
    """Check whether the weights were selected on the test examples."""
    if evidence.monitored != "test":
        return None
    return Finding(
        name="model selected on the test split",
        severity=NOTE,
        sentence="Training selected its best weights on the test split, so test scores are not on unseen examples.",
        number=100.0,
        threshold=0.0,
        unit="% of the monitored examples are test examples",
        remedy="",
        source="selecting the best epoch on a split biases its scores upwards",
    )


def _has_no_gain(evidence: HealthMetrics) -> bool:
    """Whether the decoder is at most as good as one distribution for all examples, up to noise."""
    gain = evidence.distortion_gain
    return gain is not None and gain.value <= threshold_of_gain(gain)


def _is_undertrained(evidence: HealthMetrics) -> bool:
    """Whether a decoder without gain is worse than it would be if it ignored the latents, or does not ignore them."""
    gain, swap = evidence.distortion_gain, evidence.swap_loss
    is_worse = gain is not None and gain.value < -max(CONVERGED_WITHIN, NOISE * gain.standard_error)
    return is_worse or (swap is not None and swap.value > threshold_of_gain(swap))


def _within_noise(gain: Estimate) -> str:
    if NOISE * gain.standard_error <= LEAST_GAIN:
        return ""
    return f" (a gain of {format_measured(gain)} nats is within noise)"


def _about_swapped(swap: Estimate | None) -> str:
    """What the latents of another example cost: nothing, or a number that noise does not let tell from nothing."""
    if swap is None:
        return ""
    if abs(swap.value) + NOISE * swap.standard_error <= LEAST_GAIN:
        return f", and the latents of another example do as well as its own, to within {LEAST_GAIN:g} nats"
    count = "too few to count" if swap.value > NOISE * swap.standard_error else "which is not more than noise"
    return f"; the latents of another example cost {format_measured(swap)} nats, {count}"


def _weakest_rate(evidence: HealthMetrics) -> str:
    rates = evidence.rate_per_dimension
    return f" (the least used has a rate of {min(rates):.2g} nats)" if rates else ""


CHECKS: dict[str, Check] = {
    "data outside the support": data_outside_support,
    "decoder ignores z": decoder_ignores_z,
    "undertrained": undertrained,
    "distortion above the allowed one": distortion_above_allowed,
    "posterior collapse": posterior_collapse,
    "unused codes": unused_codes,
    "dead level": dead_level,
    "log-variance at its bound": log_variance_at_clamp,
    "σ at its bound": sigma_at_bound,
    "log-evidence estimate below a lower bound": evidence_below_bound,
    "unreliable log-evidence estimate": unreliable_evidence,
    "overfitting": overfitting,
    "holes in the latent space": far_from_prior,
    "encoder is the bottleneck": encoder_bottleneck,
    "model selected on the test split": selected_on_test_split,
}
"""Checks by the name of their finding, without its remedy; among equal severities, findings keep this order."""

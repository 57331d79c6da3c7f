"""The doctor: from measured numbers to what is wrong with a model, in plain words, and which setting to turn.

`diagnose` is a pure function, so that it can be asked about numbers from anywhere; `check_up` measures them. Every
check stands in CHECKS, names its threshold and the reason for it, and says nothing where what it needs was not
measured. What lies within noise, two standard errors, is no finding. A healthy model has none.

Thresholds were set beside the reference models: `dense` and `conv` on the digits, `conv` on MNIST, 2 latents each.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from lowerbound.evaluation.results import NOTE, SERIOUS, WARNING, Finding
from lowerbound.foundation.numerics import Estimate
from lowerbound.probability.likelihoods import MIN_SIGMA
from lowerbound.probability.posteriors import LOG_VARIANCE_BOUND

NOISE = 2.0
"""Standard errors within which a difference is noise."""

LEAST_GAIN = 0.1
"""Nats by which z must lower the distortion to count at all: over many examples even less would be beyond noise."""

OVERFITTING_FRACTION = 0.1
"""Of what z gains on training examples, the share that may be lost on new ones; reference models lose 3 to 9 %."""

CLAMPED_SHARE = 1e-3
"""Of log-variances at their bound, where they have no gradient: one in a thousand may be an odd example."""

FAR_FROM_PRIOR = 1.0
"""Nats from the aggregate posterior to the prior: as if codes filled e⁻¹ = 37 % of it. Reference models: 0.1 to 0.5."""

LEAST_AMORTISATION_GAP = 1.0
"""Nats that a better encoder must promise; below, the search for the best posterior is not worth its noise."""

AMORTISATION_FRACTION = 0.05
"""Of what z gains, the share that an encoder may lose: half of what may be lost to overfitting."""

PARETO_K_BOUND = 0.7
"""Shape of the weights' tail above which importance sampling fails at any practical number of draws."""

UNTRUSTED_SHARE = 0.2
"""Of examples above that shape. Reference models, with 200 draws: 9 % on the digits, where the estimate is good to a
tenth of a nat; 50 % on MNIST, where it is 3 nats too low."""


@dataclass(frozen=True, kw_only=True)
class HealthMetrics:
    """What was measured of a model; None is what was not, or could not be. In nats per example, unless stated."""

    latent_dim: int | None = None
    active_units: int | None = None  # latent dimensions whose posterior mean varies
    rate: Estimate | None = None
    rate_per_dimension: tuple[float, ...] | None = None
    # Of training examples: whether a decoder uses z at all is another question than whether that holds for new ones.
    distortion: Estimate | None = None
    z_free_distortion: Estimate | None = None  # of the best decoder that ignores z
    distortion_gain: Estimate | None = None  # the second less the first, example by example
    train_elbo: Estimate | None = None
    test_elbo: Estimate | None = None
    learned_sigma: float | None = None  # in units of the data; None where σ is fixed
    sigma_bound: float = MIN_SIGMA
    clamped_share: float | None = None  # of log-variances at their bound
    mutual_information: Estimate | None = None  # between x and z; None where there are too few examples to tell
    aggregate_kl: Estimate | None = None  # from the aggregate posterior to the prior; None as above
    moment_kl: float | None = None  # a lower bound on it, from means and variances alone
    outside_share: float | None = None  # of examples outside the likelihood's support
    refusal: str = ""  # what the likelihood says of the first of them
    amortisation_gap: Estimate | None = None
    approximation_gap: Estimate | None = None
    log_evidence: Estimate | None = None  # exact
    pareto_k: float | None = None  # median over examples
    untrusted_share: float | None = None  # of examples whose Pareto-k is above PARETO_K_BOUND
    effective_sample_size: float | None = None  # median over examples
    monitored: str | None = None  # the split that training monitored

    @property
    def gain(self) -> float | None:
        """Nats by which the ELBO of training examples exceeds that of a model that ignores z, 0 if it does not."""
        if self.train_elbo is None or self.z_free_distortion is None:
            return None
        return max(0.0, self.train_elbo.value + self.z_free_distortion.value)


Check = Callable[[HealthMetrics], Finding | None]


def diagnose(evidence: HealthMetrics) -> tuple[Finding, ...]:
    """What the numbers say is wrong, most serious first; empty for a healthy model."""
    findings = [finding for check in CHECKS.values() if (finding := check(evidence))]
    return tuple(sorted(findings, key=lambda finding: finding.severity))


def data_outside_support(evidence: HealthMetrics) -> Finding | None:
    """Values to which the likelihood gives no probability. Grey pixels under a Bernoulli are admitted."""
    if not evidence.outside_share:
        return None
    return Finding(
        name="data outside the support",
        severity=SERIOUS,
        sentence=f"The likelihood gives some examples no probability, so no other number means anything: "
        f"{evidence.refusal}",
        number=evidence.outside_share,
        threshold=0.0,
        unit="of examples",
        remedy="rescale the data to [0, 1], or --set model.likelihood=gaussian",
        source="a log-density is defined on the support alone (Kingma and Welling, arXiv:1312.6114, Appendix C)",
    )


def decoder_ignores_z(evidence: HealthMetrics) -> Finding | None:
    """A distortion that one distribution for all examples reaches, too."""
    gain = evidence.distortion_gain
    if gain is None or not gain.value <= max(LEAST_GAIN, NOISE * gain.standard_error):
        return None
    return Finding(
        name="decoder ignores z",
        severity=SERIOUS,
        sentence="The decoder reconstructs training examples no better than if it knew nothing of the code: one "
        "distribution for all of them, fitted to them, does as well.",
        number=gain.value,
        threshold=max(LEAST_GAIN, NOISE * gain.standard_error),
        unit="nats of distortion gained from z",
        remedy="--set objective.rate_warm_up=5, which charges for the code only once the decoder uses it; "
        "or a smaller --set training.learning_rate=0.0003",
        source="the auto-decoding limit of Alemi et al., arXiv:1711.00464; threshold: the noise",
    )


def posterior_collapse(evidence: HealthMetrics) -> Finding | None:
    """Dimensions whose posterior is the prior's, whatever the example."""
    active, total = evidence.active_units, evidence.latent_dim
    if active is None or total is None or active >= total:
        return None
    return Finding(
        name="posterior collapse",
        severity=SERIOUS if active == 0 else WARNING if 2 * active < total else NOTE,
        sentence=f"Of {total} latent dimensions {total - active} say nothing of the example: their posterior is the "
        f"same for all{_weakest_rate(evidence)}.",
        number=float(active),
        threshold=float(total),
        unit="active dimensions",
        remedy=f"--set objective.rate_warm_up=5 to use more of them, or --set model.latent_dim={max(1, active)} for no more "
        "than are used",
        source="active units: Burda et al., arXiv:1509.00519; warm-up: Sønderby et al., arXiv:1602.02282",
    )


def log_variance_at_clamp(evidence: HealthMetrics) -> Finding | None:
    """Posterior variances pressed against the bound that numerics needs."""
    share = evidence.clamped_share
    if share is None or not share > CLAMPED_SHARE:
        return None
    return Finding(
        name="log-variance at its bound",
        severity=SERIOUS,
        sentence=f"Some posterior log-variances lie at ±{LOG_VARIANCE_BOUND:g}, where no gradient can move them.",
        number=share,
        threshold=CLAMPED_SHARE,
        unit="of log-variances",
        remedy="--set training.max_gradient_norm=1000 against a jump in training, and --set objective.rate_weight=1 if "
        "the code was not charged",
        source="a clamped value has gradient 0; one in a thousand may be an odd example",
    )


def sigma_at_bound(evidence: HealthMetrics) -> Finding | None:
    """A learned σ that would shrink further if it might."""
    sigma = evidence.learned_sigma
    # Within a hundredth, for training steps across the bound and back.
    if sigma is None or not sigma <= 1.01 * evidence.sigma_bound:
        return None
    return Finding(
        name="σ at its bound",
        severity=SERIOUS,
        sentence="The likelihood's learned standard deviation has shrunk to the least that is allowed: the density "
        "of some values grows without limit, and nats measure that bound, not the model.",
        number=sigma,
        threshold=evidence.sigma_bound,
        unit="standard deviation of a value",
        remedy="--set model.likelihood_options.learn_sigma=false --set model.likelihood_options.sigma=0.1",
        source="unbounded likelihood: Mattei and Frellsen, arXiv:1802.04826",
    )


def evidence_below_bound(evidence: HealthMetrics) -> Finding | None:
    """An estimate of log p(x) below a lower bound of it."""
    gap = evidence.approximation_gap
    if gap is None or not _at_most(gap) < 0:
        return None
    return Finding(
        name="evidence below its bound",
        severity=WARNING,
        sentence="The estimate of log p(x) lies below a lower bound of the same examples, so it is too low.",
        number=gap.value,
        threshold=0.0,
        unit="nats of evidence above the best local ELBO",
        remedy="estimate log p(x) anew with more draws; for training, --set objective.preset=iwae widens the posterior",
        source="log p(x) − ELBO = KL(q ‖ p(z|x)) ≥ 0 (Kingma and Welling, arXiv:1312.6114, Equation 1)",
    )


def untrusted_evidence(evidence: HealthMetrics) -> Finding | None:
    """Importance weights whose tail is too heavy for their mean to be estimated."""
    share = evidence.untrusted_share
    if share is None or not share > UNTRUSTED_SHARE:
        return None
    size = evidence.effective_sample_size
    effective = f" (median effective sample size: {size:,.0f} draws)" if size is not None else ""
    is_exact = evidence.log_evidence is not None
    return Finding(
        name="untrusted evidence",
        severity=NOTE if is_exact else WARNING,
        sentence=f"For {share:.0%} of the examples the weights' tail is so heavy that their mean may not settle"
        f"{effective}: the importance-weighted estimate of log p(x) and its error cannot be trusted; it may be too low"
        f"{'; the exact one is not touched by that' if is_exact else ''}.",
        number=share,
        threshold=UNTRUSTED_SHARE,
        unit=f"of examples with a Pareto-k above {PARETO_K_BOUND}",
        remedy="lowerbound evaluate RUN --anneal estimates log p(x) by annealing instead; for training, "
        "--set objective.preset=iwae widens the posterior",
        source="Vehtari et al., Pareto Smoothed Importance Sampling, arXiv:1507.02646",
    )


def overfitting(evidence: HealthMetrics) -> Finding | None:
    """Training examples that are worth more nats than new ones."""
    if evidence.train_elbo is None or evidence.test_elbo is None or not evidence.gain:
        return None
    gap = _difference(evidence.train_elbo, evidence.test_elbo)
    threshold = OVERFITTING_FRACTION * evidence.gain
    if not _at_least(gap) > threshold:
        return None
    return Finding(
        name="overfitting",
        severity=WARNING,
        sentence=f"Examples that it was trained on score {gap.value:.1f} nats better than new ones: "
        f"{gap.value / evidence.gain:.0%} of what the code gains does not carry over.",
        number=gap.value,
        threshold=threshold,
        unit="nats",
        remedy="--set training.patience=3 to stop when new examples get no better, fewer --set training.num_epochs=10, "
        "or a smaller --set model.hidden=[128]",
        source=f"reason: reference models lose less than {OVERFITTING_FRACTION:.0%} of the gain; beyond two standard "
        "errors",
    )


def far_from_prior(evidence: HealthMetrics) -> Finding | None:
    """Draws from the prior that fall where no example is encoded."""
    kl = evidence.aggregate_kl
    if kl is None and evidence.moment_kl is not None:
        kl = Estimate(evidence.moment_kl, 0.0)
    if kl is None or not _at_least(kl) > FAR_FROM_PRIOR:
        return None
    return Finding(
        name="holes in the prior",
        severity=WARNING,
        sentence="The codes of all examples together do not look like the prior: it is as if they filled only "
        f"{math.exp(-kl.value):.2g} of it, and samples come from the rest as well, so they look worse than "
        "reconstructions.",
        number=kl.value,
        threshold=FAR_FROM_PRIOR,
        unit="nats from the aggregate posterior to the prior",
        remedy="a higher --set objective.rate_weight=2 (at least 1), or fewer --set model.latent_dim=2",
        source="Hoffman and Johnson, ELBO surgery, 2016; Rosca et al., arXiv:1802.06847",
    )


def encoder_bottleneck(evidence: HealthMetrics) -> Finding | None:
    """An encoder that misses much of what its own family could reach."""
    gap, family, gain = evidence.amortisation_gap, evidence.approximation_gap, evidence.gain
    if gap is None or gain is None:
        return None
    floor = max(LEAST_AMORTISATION_GAP, AMORTISATION_FRACTION * gain)
    threshold = floor if family is None else max(floor, family.value)
    if not _at_least(gap) > threshold:
        return None
    beside = "" if family is None or family.value < 0 else f"; what its family cannot express costs {family.value:.1f}"
    return Finding(
        name="encoder is the bottleneck",
        severity=WARNING if gap.value > gain / 2 else NOTE,
        sentence=f"With the decoder as it is, the best posterior of each example, searched for one by one, is worth "
        f"{gap.value:.1f} nats more than the encoder's{beside}.",
        number=gap.value,
        threshold=threshold,
        unit="nats",
        remedy="a wider --set model.hidden=[512] (of `conv`, the encoder alone), or more --set training.num_epochs=30",
        source=f"Cremer et al., arXiv:1801.03558; threshold: {AMORTISATION_FRACTION:.0%} of what z gains, at least "
        f"{LEAST_AMORTISATION_GAP:g} nat, and the approximation gap",
    )


def monitored_test_examples(evidence: HealthMetrics) -> Finding | None:
    """Test examples that took part in choosing the weights."""
    if evidence.monitored != "test":
        return None
    return Finding(
        name="monitored test examples",
        severity=NOTE,
        sentence="Training chose its best weights by the test examples, so test numbers are not of unseen ones.",
        number=1.0,
        threshold=0.0,
        unit="of the monitored examples are test examples",
        remedy="--set data.validation=held-out",
        source="reason: a minimum over epochs on a split leans towards that split",
    )


def _at_least(estimate: Estimate) -> float:
    """What it is beyond noise, from below."""
    return estimate.value - NOISE * estimate.standard_error


def _at_most(estimate: Estimate) -> float:
    """What it is beyond noise, from above."""
    return estimate.value + NOISE * estimate.standard_error


def _difference(first: Estimate, second: Estimate) -> Estimate:
    """Of two independent estimates."""
    return Estimate(first.value - second.value, math.hypot(first.standard_error, second.standard_error))


def _weakest_rate(evidence: HealthMetrics) -> str:
    rates = evidence.rate_per_dimension
    return f" (the least used has a rate of {min(rates):.2g} nats)" if rates else ""


CHECKS: dict[str, Check] = {
    "data outside the support": data_outside_support,
    "decoder ignores z": decoder_ignores_z,
    "posterior collapse": posterior_collapse,
    "log-variance at its bound": log_variance_at_clamp,
    "σ at its bound": sigma_at_bound,
    "evidence below its bound": evidence_below_bound,
    "untrusted evidence": untrusted_evidence,
    "overfitting": overfitting,
    "holes in the prior": far_from_prior,
    "encoder is the bottleneck": encoder_bottleneck,
    "monitored test examples": monitored_test_examples,
}
"""What is looked for, by the name of its finding; of equal severity the first is told first."""

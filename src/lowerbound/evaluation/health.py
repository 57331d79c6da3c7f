"""HealthMetrics: the measured quantities of a model that the diagnosis checks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lowerbound.foundation.numerics import Estimate
from lowerbound.probability.likelihoods import MIN_SIGMA


@dataclass(frozen=True, kw_only=True)
class TrainedWith:
    """What a model was trained with, as far as it is known: that of a run is, that of a model alone is not."""

    allowed_distortion: float | None = None  # of the objective, in nats
    settings: Mapping[str, Any] = field(default_factory=dict)  # by their names, such as training.num_epochs


UNKNOWN = TrainedWith()


@dataclass(frozen=True, kw_only=True)
class HealthMetrics:
    """Measured quantities of a model, in nats per example unless stated; None if not measured or not available."""

    latent_dim: int | None = None
    is_deterministic: bool = False  # a plain autoencoder, which has no rate
    has_real_latents: bool = True  # not on a sphere, a simplex or of codes
    active_units: int | None = None  # latent dimensions whose posterior mean varies between examples
    rate: Estimate | None = None
    rate_per_dimension: tuple[float, ...] | None = None
    rates_by_level: tuple[Estimate, ...] = ()  # from the level nearest x; empty without levels
    # On training examples: whether the decoder uses z at all is separate from whether that generalises.
    distortion: Estimate | None = None
    allowed_distortion: float | None = None  # by the rate 'geco'
    z_free_distortion: Estimate | None = None  # of the best decoder that ignores z
    distortion_gain: Estimate | None = None  # the second minus the first, paired by example
    swap_loss: Estimate | None = None  # rise of the distortion if the latents are those of another example
    train_elbo: Estimate | None = None
    test_elbo: Estimate | None = None
    learned_sigma: float | None = None  # in units of the data; None if σ is fixed
    sigma_bound: float = MIN_SIGMA
    clamped_share: float | None = None  # of log-variances at their bound
    mutual_information: Estimate | None = None  # between x and z; None if there are too few examples
    aggregate_kl: Estimate | None = None  # from the aggregate posterior to the prior; None if too few
    moment_kl: float | None = None  # a lower bound on it, from means and variances only
    outside_share: float | None = None  # of examples outside the likelihood's support
    refusal: str = ""  # the likelihood's message for the first of them
    code_use: float | None = None  # share of the discrete codes that training examples use
    amortisation_gap: Estimate | None = None
    approximation_gap: Estimate | None = None
    log_evidence: Estimate | None = None  # exact
    pareto_k: float | None = None  # median over examples
    unreliable_share: float | None = None  # of examples with a Pareto-k above PARETO_K_BOUND
    effective_sample_size: float | None = None  # median over examples
    monitored: str | None = None  # split that training monitored
    settings: Mapping[str, Any] = field(default_factory=dict)  # of training, by their names; empty if unknown

    @property
    def gain(self) -> float | None:
        """Nats by which the training ELBO exceeds that of the best model that ignores z; at least 0."""
        if self.train_elbo is None or self.z_free_distortion is None:
            return None
        return max(0.0, self.train_elbo.value + self.z_free_distortion.value)

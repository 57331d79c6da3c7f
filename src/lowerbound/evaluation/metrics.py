"""run_metrics, Metric and Subject: runs a table of metrics, each with the condition for which it applies.

A metric that does not apply is left out, with the reason; a failure of one does not affect the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.data.batches import Batch
from lowerbound.data.sources import Splits
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.health import UNKNOWN, TrainedWith
from lowerbound.evaluation.results import FAILED, Measurements, ProgressCallback, Results, Scorer
from lowerbound.foundation.errors import Interrupted, in_one_line
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution

CAUGHT: tuple[type[Exception], ...] = (Exception,)
"""Exceptions that fail only the metric or plot that raises them. Tests empty this, so that bugs are not hidden."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with its data, settings, and the measurements so far."""

    model: VAE
    splits: Splits
    config: EvaluationConfig
    convention: str  # meaning of log p(x|z) for these data, such as "grey" or "density"
    device: torch.device | str = "cpu"
    checkpoints: Path | None = None  # where long metrics save their progress
    progress: ProgressCallback = lambda stage, done, total: None
    trained_with: TrainedWith = UNKNOWN
    known: Measurements = field(default_factory=lambda: Measurements((), {}))

    def scorer(self, split: str = "test") -> Scorer:
        """A Scorer for a split."""
        return Scorer(split, self.convention)

    def encode(self, batch: Batch) -> Distribution:
        """q(z|x) of a batch, given its context."""
        return self.model.given(batch.context).encode(batch.x)

    def array(self, name: str) -> Tensor | None:
        """The measured array of that name as a tensor; None if not measured."""
        array = self.known.arrays.get(name)
        return None if array is None else torch.from_numpy(array)


def always(subject: Subject) -> str:
    """No condition."""
    return ""


def needs_a_density(subject: Subject) -> str:
    """Reason why quantities with log q(z|x) do not apply; empty if they do."""
    return "a deterministic autoencoder has no log p(x) and no rate" if subject.model.is_deterministic else ""


def needs_different_draws(subject: Subject) -> str:
    """Reason why importance weights do not apply; empty if they do."""
    if subject.model.posterior.is_deterministic:
        return (
            f"posterior {subject.model.config.posterior!r} chooses one code for each example, so every "
            "importance-weighted bound is the ELBO"
        )
    return needs_a_density(subject)


def needs_a_prior(subject: Subject) -> str:
    """Reason why samples from the prior do not apply; empty if they do."""
    return "" if subject.model.has_prior else "a deterministic autoencoder has no prior"


def needs_an_unconditional_model(subject: Subject) -> str:
    """Reason why quantities that decode a latent without context do not apply; empty if they do."""
    return (
        "the model is conditional, so a latent cannot be decoded without its context"
        if subject.model.takes_context
        else ""
    )


def needs_real_latents(subject: Subject) -> str:
    """Reason why integrals, gradients and moments in R^D do not apply; empty if they do."""
    return subject.model.why_not_real


def needs_latents(accepts: Callable[[int], bool], wanted: str) -> Callable[[Subject], str]:
    """Why a metric does not apply to the number of latents, of which it needs `wanted`; empty if it does."""

    def applies(subject: Subject) -> str:
        num = subject.model.latent_dim
        return "" if accepts(num) else f"needs {wanted} latents, but the model has {num}"

    return applies


def first_reason(*conditions: Callable[[Subject], str]) -> Callable[[Subject], str]:
    """The first reason of several conditions, checked in order."""

    def applies(subject: Subject) -> str:
        return next((reason for condition in conditions if (reason := condition(subject))), "")

    return applies


needs_decoded_latents = first_reason(needs_a_density, needs_an_unconditional_model)
"""Why quantities that sample latents without an example do not apply; empty if they do."""

needs_real_density = first_reason(needs_a_density, needs_real_latents)
"""Why log p(x), or log p(x|y), is not integrated over latents in R^D; empty if it is."""

needs_integrable_latents = first_reason(needs_decoded_latents, needs_real_latents)
"""Why integrals and Markov chains over latents do not apply; empty if they do."""


@dataclass(frozen=True)
class Metric:
    """A measurement, and a condition: the reason why it does not apply to a subject, empty if it does."""

    measure: Callable[[Subject], Measurements]
    applies: Callable[[Subject], str] = always


def run_metrics(metrics: Mapping[str, Metric], subject: Subject) -> Results:
    """Run a table of metrics in order; later ones can use the measurements of earlier ones."""
    left_out: dict[str, str] = {}
    for name, metric in metrics.items():
        reason = metric.applies(subject)
        if not reason:
            subject.progress(name, 0, 1)
            try:
                subject = replace(subject, known=subject.known | metric.measure(subject))
            except Interrupted:
                raise
            except CAUGHT as error:
                reason = FAILED + in_one_line(error)
        if reason:
            left_out[name] = reason
    known = subject.known
    return Results(
        known.scores, known.arrays, context={}, findings=known.findings, checks=known.checks, left_out=left_out
    )

"""evaluate_full(): all metrics, on the complete test split where that is fast enough, and the diagnosis."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lowerbound.data.batches import scaled
from lowerbound.data.sources import Splits
from lowerbound.evaluation.annealing_metrics import annealing_metrics, bracket_metrics
from lowerbound.evaluation.bound_metrics import (
    MAX_EXACT_LATENTS,
    exact_metrics,
    gap_metrics,
    importance_metrics,
    needs_few_contexts,
)
from lowerbound.evaluation.checklist import checked
from lowerbound.evaluation.coded_rate import coded_rate_metrics, why_not_coded
from lowerbound.evaluation.condition_metrics import condition_metrics, why_no_condition_probes
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.diagnosis import diagnose
from lowerbound.evaluation.disentanglement import disentanglement_metrics, why_no_factors
from lowerbound.evaluation.generation import to_images
from lowerbound.evaluation.health import UNKNOWN, TrainedWith
from lowerbound.evaluation.health_metrics import measure_health
from lowerbound.evaluation.inference_gap import GapConfig, local_posteriors
from lowerbound.evaluation.latent_metrics import latent_metrics
from lowerbound.evaluation.lattice import MAX_LATENTS
from lowerbound.evaluation.local_posteriors import LOCAL_FAMILIES
from lowerbound.evaluation.metrics import (
    Metric,
    Subject,
    first_reason,
    needs_different_draws,
    needs_integrable_latents,
    needs_latents,
    needs_real_density,
    run_metrics,
)
from lowerbound.evaluation.quick_evaluation import CHECKLIST, QUICK, data_convention, test_scores, training_scores
from lowerbound.evaluation.results import Measurements, ProgressCallback, Results
from lowerbound.evaluation.true_posteriors import select_by_gap, true_posteriors
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE

NUM_THREE_DIMENSIONAL = 100
"""Test examples whose log p(x) is integrated over three latents, where the cost is cubic in the cells per axis."""


@kept_memory()
def evaluate_full(
    model: VAE,
    splits: Splits,
    config: EvaluationConfig,
    device: torch.device | str = "cpu",
    *,
    checkpoints: Path | None = None,
    progress: ProgressCallback = lambda stage, done, total: None,
    trained_with: TrainedWith = UNKNOWN,
) -> Results:
    """Every metric of `FULL`, the exact evidence on the whole test split, and the findings of the diagnosis.

    With a `checkpoints` folder annealing continues from files found there. `progress` is called with each metric's
    name. `trained_with` is what is known of the model's training, for the diagnosis. ConfigError if annealing is
    requested for a deterministic autoencoder.
    """
    if config.num_annealed and model.is_deterministic:
        raise ConfigError(
            "a deterministic autoencoder (posterior 'point-mass') has no log p(x) to estimate; set "
            "evaluation.num_annealed to 0.",
            hint="anneal",
        )
    if config.num_annealed and model.why_not_real:
        raise ConfigError(f"annealing {model.why_not_real}; set evaluation.num_annealed to 0.", hint="anneal")
    model.eval()
    config = replace(config, num_exact=max(2, len(splits.test)))
    convention = data_convention(model, splits)
    subject = Subject(model, splits, config, convention, device, checkpoints, progress, trained_with)
    return run_metrics(FULL, subject)


def _exact(subject: Subject) -> Measurements:
    is_slow = subject.model.latent_dim > MAX_EXACT_LATENTS
    return exact_metrics(subject, NUM_THREE_DIMENSIONAL if is_slow else subject.config.num_exact)


def _true_posteriors(subject: Subject) -> Measurements:
    """The true posteriors of selected examples and the encoder's normals, for a figure."""
    model, test, device = subject.model, subject.splits.test, subject.device
    evidence, elbo = subject.known.arrays["log_evidence_per_image"], subject.known.arrays["elbo_per_image"]
    gap = torch.from_numpy(evidence - elbo[: len(evidence)])
    shown = select_by_gap(gap)
    x = scaled(test.subset(np.array(shown))).to(device)
    local = local_posteriors(model, x, GapConfig(), generator(0, "true posteriors", device))
    arrays = true_posteriors(model, x, local=local, gap=gap[shown]) | {"true_posterior_positions": np.array(shown)}
    if test.layout == "image":
        arrays["true_posterior_images"] = to_images(x)
    return Measurements((), arrays)


def _diagnosis(subject: Subject) -> Measurements:
    health = measure_health(
        subject.model,
        subject.splits,
        known=subject.known.arrays,
        seed=subject.config.seed,
        device=subject.device,
        trained_with=subject.trained_with,
    )
    return Measurements((), {}, findings=diagnose(health), checks=checked(health))


def _needs_a_local_family(subject: Subject) -> str:
    if type(subject.model.posterior_of_zeros()) in LOCAL_FAMILIES:
        return ""
    return f"no search for the best member of the family of posterior {subject.model.config.posterior!r}"


def _needs_a_request(subject: Subject) -> str:
    return "" if subject.config.num_annealed else "on request (evaluation.num_annealed)"


def _needs_exact_evidence(subject: Subject) -> str:
    return "" if "log_evidence_per_image" in subject.known.arrays else "needs the log-evidence by quadrature"


_why_not_exact = first_reason(
    needs_real_density, needs_few_contexts, needs_latents(lambda num: num <= MAX_LATENTS, f"at most {MAX_LATENTS}")
)
_why_no_gaps = first_reason(needs_integrable_latents, _needs_a_local_family)
_why_no_annealing = first_reason(needs_real_density, _needs_a_request)
_why_no_true_posteriors = first_reason(_why_no_gaps, needs_latents(lambda num: num == 2, "2"), _needs_exact_evidence)

FULL: dict[str, Metric] = {
    **{name: metric for name, metric in QUICK.items() if name != CHECKLIST},
    "test scores": Metric(test_scores),
    "training scores": Metric(training_scores),
    "log-evidence by quadrature": Metric(_exact, _why_not_exact),
    "latents and probes": Metric(latent_metrics),
    "probes of conditions": Metric(condition_metrics, why_no_condition_probes),
    "disentanglement": Metric(disentanglement_metrics, why_no_factors),
    "coded rate": Metric(coded_rate_metrics, why_not_coded),
    "importance-weighted bounds": Metric(importance_metrics, needs_different_draws),
    "inference gaps": Metric(gap_metrics, _why_no_gaps),
    "annealing test examples": Metric(annealing_metrics, _why_no_annealing),
    "annealing simulated examples": Metric(bracket_metrics, _why_no_annealing),
    "true posteriors": Metric(_true_posteriors, _why_no_true_posteriors),
    "diagnosis": Metric(_diagnosis),
}

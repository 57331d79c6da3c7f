"""evaluate_full(): all that is known how to measure of a model, and what the doctor says of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.data.batches import scaled
from lowerbound.data.sources import Examples, Splits
from lowerbound.evaluation.annealing_metrics import annealed_quality, bracket_quality
from lowerbound.evaluation.bound_metrics import BoundConfig, bound_quality, exact_quality
from lowerbound.evaluation.diagnosis import diagnose
from lowerbound.evaluation.generation import to_images
from lowerbound.evaluation.health_metrics import measure_health
from lowerbound.evaluation.inference_gap import GapConfig, local_posteriors
from lowerbound.evaluation.latent_metrics import code_quality
from lowerbound.evaluation.quick_evaluation import EvaluationConfig, data_convention, evaluate
from lowerbound.evaluation.results import Measurements, ProgressCallback, Results, Scorer
from lowerbound.evaluation.true_posteriors import telling_examples, true_posteriors
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE

NUM_THREE_DIMENSIONAL = 100
"""Test examples whose log p(x) is integrated over three latents: its cost grows as cells per axis to that power."""


@kept_memory()
def evaluate_full(
    model: VAE,
    splits: Splits,
    config: EvaluationConfig,
    device: torch.device | str = "cpu",
    *,
    checkpoints: Path | None = None,
    progress: ProgressCallback = lambda stage, done, total: None,
) -> Results:
    """All that `evaluate` measures, exactly on the whole test split, and what the code knows; for the first test
    examples also tighter bounds, the inference gap taken apart and, if asked for, annealing; last, the doctor's
    findings.

    With a `checkpoints` folder annealing continues from what it finds there. `progress` hears how far each stage is.
    ConfigError where annealing is asked for and the autoencoder is deterministic.
    """
    if config.num_annealed and model.is_deterministic:
        raise ConfigError(
            "a deterministic autoencoder (posterior 'point-mass') has no log p(x) to estimate; set "
            "evaluation.num_annealed to 0.",
            hint="anneal",
        )
    progress("scores and evidence by quadrature", 0, 1)
    results = evaluate(model, splits, replace(config, num_exact=max(2, len(splits.test))), device)
    scorer = Scorer("test", data_convention(model, splits))
    progress("codes and probes", 0, 1)
    found = code_quality(model, splits, config.seed, scorer, device)
    if not model.is_deterministic:
        found |= _bounds(model, splits.test, results, config, scorer, device, checkpoints, progress)
    arrays = results.arrays | found.arrays
    progress("the doctor's check-up", 0, 1)
    findings = diagnose(measure_health(model, splits, known=arrays, seed=config.seed, device=device))
    return replace(results, scores=results.scores + found.scores, arrays=arrays, findings=findings)


def _bounds(
    model: VAE,
    test: Examples,
    results: Results,
    config: EvaluationConfig,
    scorer: Scorer,
    device: torch.device | str,
    checkpoints: Path | None,
    progress: ProgressCallback,
) -> Measurements:
    """What stands beside the bound, each of the first test examples."""
    found = Measurements((), {})
    if model.latent_dim == 3:
        progress("evidence over three latents", 0, 1)
        elbo = torch.from_numpy(results.arrays["elbo_per_image"])
        found |= exact_quality(model, test, elbo, NUM_THREE_DIMENSIONAL, scorer, device)
    known = (results.arrays | found.arrays).get("log_evidence_per_image")
    evidence = None if known is None else torch.from_numpy(known)
    progress("importance-weighted bounds", 0, 1)
    extent = BoundConfig(
        num_draws=config.importance_draws, num_examples=config.num_bounded, num_gaps=config.num_gaps, seed=config.seed
    )
    found |= bound_quality(model, test, evidence, extent, scorer, device, progress)
    if config.num_annealed:
        first = test.subset(np.arange(min(config.num_annealed, len(test))))
        found |= annealed_quality(
            model,
            first,
            evidence,
            config.annealing,
            config.seed,
            scorer,
            device,
            checkpoints=checkpoints,
            progress=progress,
        )
        found |= bracket_quality(model, config.num_simulated, config.annealing, config.seed, device, progress)
    if model.latent_dim == 2 and known is not None:
        found |= _true_posteriors(model, test, results, known, device)
    return found


def _true_posteriors(
    model: VAE, test: Examples, results: Results, log_evidence: Float[np.ndarray, " n"], device: torch.device | str
) -> Measurements:
    """The posteriors of the most telling examples beside the encoder's Gaussians, for a figure."""
    elbo = results.arrays["elbo_per_image"]
    gap = torch.from_numpy(log_evidence - elbo[: len(log_evidence)])
    chosen = telling_examples(gap)
    x = scaled(test.subset(np.array(chosen))).to(device)
    local = local_posteriors(model, x, GapConfig(), generator(0, "true posteriors", device))
    arrays = true_posteriors(model, x, local=local, gap=gap[chosen]) | {"true_posterior_positions": np.array(chosen)}
    if test.layout == "image":
        arrays["true_posterior_images"] = to_images(x)
    return Measurements((), arrays)

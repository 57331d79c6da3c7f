"""How good is the bound? The exact evidence, ever tighter bounds, and what the encoder loses, on stated test examples.

All of it is about the first examples of the test split, in its order, so that what is paired is paired.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.sources import Examples
from lowerbound.evaluation.importance import importance_sweep
from lowerbound.evaluation.inference_gap import GapConfig, inference_gaps
from lowerbound.evaluation.metrics import Subject, needs_a_density, needs_an_unconditional_model
from lowerbound.evaluation.quadrature import QuadratureEvidence, exact_evidence
from lowerbound.evaluation.results import Measurements, Score, Scorer
from lowerbound.models.vae import VAE

MAX_EXACT_LATENTS = 2
"""Latents up to which the evidence is integrated in the quick evaluation; three are possible, and slow."""

GREY = ", of grey pixels: not to be set beside a binarised one"

SWEEP = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True, kw_only=True)
class BoundConfig:
    """How closely a bound is looked at."""

    num_draws: int = 5000  # of the tightest importance-weighted bound
    num_examples: int = 100  # the first of the test split
    num_gaps: int = 100  # of these, whose inference gap is taken apart
    seed: int = 0


def why_not_exact(subject: Subject) -> str:
    """Why log p(x) is not integrated in the quick evaluation; empty where it is."""
    if reason := needs_a_density(subject) or needs_an_unconditional_model(subject):
        return reason
    num = subject.model.latent_dim
    return "" if num <= MAX_EXACT_LATENTS else f"needs at most {MAX_EXACT_LATENTS} latents, the model has {num}"


def measure_exact(subject: Subject, num_examples: int) -> Measurements:
    """The exact evidence of the first test examples of a subject whose ELBO is known."""
    elbo = torch.from_numpy(subject.known.arrays["elbo_per_image"])
    return exact_metrics(subject.model, subject.splits.test, elbo, num_examples, subject.scorer(), subject.device)


def exact_metrics(
    model: VAE, test: Examples, elbo: Float[Tensor, " n"], num_examples: int, score: Scorer, device: torch.device | str
) -> Measurements:
    """The exact evidence of the first test examples, and how far their ELBO lies below it.

    Where the integral of an example has not converged within the budget, the sums go by another name, which ends in
    "not-converged", and nothing is derived from them; what is kept example by example ends before the first such one.
    """
    examples = _first(test, num_examples)
    found = exact_evidence(model, examples, device=device)
    num_exact = len(examples) if found.num_not_converged == 0 else int(found.has_converged.int().argmin())
    exact = {"log_evidence_per_image": found.log_evidence[:num_exact].numpy()} if num_exact > 1 else {}
    name, of_what = ("grey-evidence", GREY) if score.convention == "grey" else ("log-evidence", "")
    if found.num_not_converged:
        about = f"log p(x) by quadrature{of_what}, to be held for no more than an estimate: for {found.shortfall}"
        estimate = score(f"{name}-not-converged", found.log_evidence, about, None)
        return Measurements((_with_error(estimate, found),), exact)
    gap = found.log_evidence - elbo[: len(examples)].to(found.log_evidence)
    evidence = score(name, found.log_evidence, f"log p(x) by quadrature{of_what}", None)
    about = "log p(x) minus the ELBO of the same examples: KL(q(z|x) ‖ p(z|x))"
    scores = [
        _with_error(evidence, found),
        _with_error(score("evidence-gap", gap, about, None), found),
        *score.bits("evidence-bits", found.log_evidence, torch.from_numpy(examples.num_known), "−log2 p(x)", None),
    ]
    return Measurements(tuple(scores), exact)


def _with_error(score: Score, found: QuadratureEvidence) -> Score:
    """The score of a mean over examples with the most that quadrature may have put it off."""
    error = float(found.discretisation_error.mean())
    return replace(
        score,
        discretisation_error=error if math.isfinite(error) else None,
        num_not_converged=found.num_not_converged,
    )


def importance_metrics(
    model: VAE,
    test: Examples,
    log_evidence: Float[Tensor, " n"] | None,
    config: BoundConfig,
    score: Scorer,
    device: torch.device | str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Measurements:
    """Importance-weighted bounds for growing K, and what the tightest of them misses of the exact evidence."""
    ks = [*(k for k in SWEEP if k < config.num_draws), config.num_draws]
    sweep = importance_sweep(model, _first(test, config.num_examples), ks, config.seed, device, progress)
    about = f"importance-weighted bound of {config.num_draws:,} draws"
    if score.convention == "grey":
        about += ", of grey pixels"
    scores = [score("importance-bound", sweep.log_evidence, about, config.num_draws)]
    if log_evidence is not None and len(log_evidence) >= len(sweep.log_evidence):
        missed = log_evidence[: len(sweep.log_evidence)].cpu() - sweep.log_evidence
        about = "exact log p(x) minus that bound of the same examples; a mode that q misses is bias, not noise"
        scores.append(score("importance-error", missed, about, config.num_draws))
    size, shape = float(sweep.effective_sample_size.median()), float(sweep.pareto_k.median())
    arrays = {
        "sweep_ks": np.array(ks),
        "sweep_bounds": sweep.bounds.float().numpy(),
        "pareto_k_per_image": sweep.pareto_k.float().numpy(),
        "effective_sample_size_per_image": sweep.effective_sample_size.float().numpy(),
    }
    return Measurements(tuple(replace(one, effective_sample_size=size, pareto_k=shape) for one in scores), arrays)


def gap_metrics(
    model: VAE,
    test: Examples,
    log_evidence: Float[Tensor, " n"] | None,
    config: BoundConfig,
    score: Scorer,
    device: torch.device | str,
) -> Measurements:
    """The inference gap of the first test examples, split into what the family and what the encoder costs."""
    examples = _first(test, config.num_gaps)
    known = None if log_evidence is None or len(log_evidence) < len(examples) else log_evidence[: len(examples)]
    gaps = inference_gaps(model, examples, known, GapConfig(), config.seed, device)
    draws = GapConfig().num_judging_draws
    scores = [
        score(
            "amortisation-gap",
            gaps.amortisation_gap,
            "what the encoder loses to the best Gaussian of each example",
            draws,
        )
    ]
    arrays = {"amortisation_gap_per_image": gaps.amortisation_gap.float().numpy()}
    if (approximation := gaps.approximation_gap) is not None:
        about = "what the best Gaussian of each example loses to the exact posterior"
        scores.append(score("approximation-gap", approximation, about, draws))
        arrays["approximation_gap_per_image"] = approximation.float().numpy()
    return Measurements(tuple(scores), arrays)


def _first(examples: Examples, number: int) -> Examples:
    return examples.subset(np.arange(min(number, len(examples))))

"""Bound metrics: exact evidence, importance-weighted bounds for growing K, amortisation and approximation gaps.

All use the first examples of the test split, in its order, so that differences are paired by example.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.batches import context_of_all
from lowerbound.data.sources import Examples
from lowerbound.evaluation.importance import importance_sweep
from lowerbound.evaluation.inference_gap import GapConfig, inference_gaps
from lowerbound.evaluation.metrics import Subject, first_reason, needs_latents, needs_real_density
from lowerbound.evaluation.quadrature import QuadratureEvidence, exact_evidence
from lowerbound.evaluation.results import Measurements, Score
from lowerbound.foundation.text import pluralise

MAX_EXACT_LATENTS = 2
"""Number of latents up to which the quick evaluation integrates the evidence; three are possible, but slow."""

GREY = ", of grey pixels: not comparable with binarised data"

SWEEP = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


MAX_CONTEXTS = 50
"""Different contexts up to which log p(x|y) is integrated, which takes one integration for each."""


def needs_few_contexts(subject: Subject) -> str:
    """Why log p(x|y) is not integrated for every context among the test examples; empty if it is."""
    if not subject.model.takes_context:
        return ""
    context = context_of_all(subject.splits.test.first(subject.config.num_exact))
    number = 0 if context is None else len(context.unique(dim=0))
    return "" if number <= MAX_CONTEXTS else f"the examples have {number:,} different conditions, too many to integrate"


why_not_exact = first_reason(
    needs_real_density,
    needs_few_contexts,
    needs_latents(lambda num: num <= MAX_EXACT_LATENTS, f"at most {MAX_EXACT_LATENTS}"),
)
"""Why log p(x) is not integrated in the quick evaluation; empty where it is."""


def exact_metrics(subject: Subject, num_examples: int, elbo: Float[Tensor, " n"] | None = None) -> Measurements:
    """The exact evidence of the first test examples, and the gap between it and their ELBO: `elbo`, or the known one.

    If the integral of any example has not converged within the budget, the name of the score ends in "-not-converged"
    and no other score is derived from it; the array per example ends before the first such example.
    """
    examples, score = _first(subject, num_examples), subject.scorer()
    found = exact_evidence(subject.model, examples, device=subject.device)
    num_exact = len(examples) if found.num_not_converged == 0 else int(found.has_converged.int().argmin())
    exact = {"log_evidence_per_image": found.log_evidence[:num_exact].numpy()} if num_exact > 1 else {}
    name, of_what = ("grey-evidence", GREY) if score.convention == "grey" else ("log-evidence", "")
    if found.num_not_converged:
        about = f"log p(x) by quadrature{of_what}, only an estimate: {found.shortfall}"
        estimate = score(f"{name}-not-converged", found.log_evidence, about, None)
        return Measurements((_with_error(estimate, found),), exact)
    elbo = torch.from_numpy(subject.known.arrays["elbo_per_image"]) if elbo is None else elbo
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
    """The score with the upper bound on its discretisation error."""
    error = float(found.discretisation_error.mean())
    return replace(
        score,
        discretisation_error=error if math.isfinite(error) else None,
        num_not_converged=found.num_not_converged,
    )


def importance_metrics(subject: Subject) -> Measurements:
    """Importance-weighted bounds for growing K, and the error of the tightest against the exact evidence."""
    config, score, log_evidence = subject.config, subject.scorer(), subject.array("log_evidence_per_image")
    num_draws = config.importance_draws
    ks = [*(k for k in SWEEP if k < num_draws), num_draws]
    sweep = importance_sweep(
        subject.model,
        _first(subject, config.num_bounded),
        ks,
        config.seed,
        subject.device,
        partial(subject.progress, "importance-weighted bounds"),
    )
    about = f"importance-weighted bound with {pluralise(num_draws, 'draw')}"
    if score.convention == "grey":
        about += ", for grey pixels"
    scores = [score("importance-bound", sweep.log_evidence, about, num_draws)]
    if log_evidence is not None and len(log_evidence) >= len(sweep.log_evidence):
        missed = log_evidence[: len(sweep.log_evidence)].cpu() - sweep.log_evidence
        about = "exact log p(x) minus that bound, for the same examples; a mode that q misses causes bias, not noise"
        scores.append(score("importance-error", missed, about, num_draws))
    size, shape = float(sweep.effective_sample_size.median()), float(sweep.pareto_k.median())
    arrays = {
        "sweep_ks": np.array(ks),
        "sweep_bounds": sweep.bounds.float().numpy(),
        "pareto_k_per_image": sweep.pareto_k.float().numpy(),
        "effective_sample_size_per_image": sweep.effective_sample_size.float().numpy(),
    }
    return Measurements(tuple(replace(one, effective_sample_size=size, pareto_k=shape) for one in scores), arrays)


def gap_metrics(subject: Subject) -> Measurements:
    """The inference gap of the first test examples, split into approximation and amortisation gap."""
    score, log_evidence = subject.scorer(), subject.array("log_evidence_per_image")
    examples = _first(subject, subject.config.num_gaps)
    known = None if log_evidence is None or len(log_evidence) < len(examples) else log_evidence[: len(examples)]
    gaps = inference_gaps(subject.model, examples, known, GapConfig(), subject.config.seed, subject.device)
    draws = GapConfig().num_judging_draws
    scores = [
        score(
            "amortisation-gap",
            gaps.amortisation_gap,
            "ELBO of the best Gaussian of each example minus ELBO of the encoder",
            draws,
        )
    ]
    arrays = {"amortisation_gap_per_image": gaps.amortisation_gap.float().numpy()}
    if (approximation := gaps.approximation_gap) is not None:
        about = "exact log p(x) minus ELBO of the best Gaussian of each example"
        scores.append(score("approximation-gap", approximation, about, draws))
        arrays["approximation_gap_per_image"] = approximation.float().numpy()
    return Measurements(tuple(scores), arrays)


def _first(subject: Subject, number: int) -> Examples:
    return subject.splits.test.first(number)

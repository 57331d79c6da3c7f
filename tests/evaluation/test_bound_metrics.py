from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data.sources import DataConfig, Examples, load
from lowerbound.evaluation import quadrature
from lowerbound.evaluation.bound_metrics import exact_metrics, gap_metrics, importance_metrics, why_not_exact
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.quadrature import TOLERANCE, exact_evidence
from lowerbound.evaluation.results import Measurements, Scorer
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

SCORER = Scorer("test", "density")
CONFIG = EvaluationConfig(importance_draws=50, num_bounded=8)


@pytest.fixture
def examples(linear_gaussian):
    # Two-pixel-high images in the layout of data, N×H×W×C; the model is in 64 bits, data are in 32.
    return Examples(linear_gaussian.x.permute(0, 2, 3, 1).float().numpy(), 1.0)


def subject(model, examples, **known):
    """The examples as all splits, and what is known of them by the names of arrays."""
    splits = replace(load(DataConfig()), train=examples, validation=examples, test=examples)
    arrays = {f"{name}_per_image": values.numpy() for name, values in known.items()}
    return Subject(model, splits, CONFIG, "density", known=Measurements((), arrays))


def by_name(findings):
    return {score.name: score for score in findings.scores}


def test_the_exact_evidence_and_the_gap_to_it_are_those_in_closed_form(linear_gaussian, examples):
    model = linear_gaussian.with_posterior_moved(0.2, 0.5).float()
    terms = expected_terms(model, examples, 2000, 0)
    scores = by_name(exact_metrics(subject(model, examples, elbo=terms.elbo), 8))
    assert scores["log-evidence"].value == pytest.approx(linear_gaussian.log_evidence.mean().item(), abs=1e-3)
    # KL(q_moved || exact posterior), the same for every image.
    variance = linear_gaussian.data.posterior_covariance().diagonal()
    kl = 0.5 * (np.exp(0.5) - 1 - 0.5 + 0.2**2 / variance).sum().item()
    assert scores["evidence-gap"].value == pytest.approx(kl, abs=4 * scores["evidence-gap"].standard_error + 0.02)


def test_the_gaps_add_up_to_the_gap_of_the_elbo(linear_gaussian, examples):
    model = linear_gaussian.with_posterior_moved(0.2, 0.5).float()
    known = subject(model, examples, log_evidence=linear_gaussian.log_evidence)
    scores = by_name(importance_metrics(known) | gap_metrics(known))
    # The family holds the exact posterior: all of the gap is amortisation.
    assert abs(scores["approximation-gap"].value) < 0.02
    assert scores["amortisation-gap"].value > 0.3
    assert scores["importance-bound"].num_draws == 50
    missed = linear_gaussian.log_evidence.mean().item() - scores["importance-bound"].value
    assert scores["importance-error"].value == pytest.approx(missed)
    assert scores["importance-error"].pareto_k == scores["importance-bound"].pareto_k
    assert 0 < scores["importance-bound"].effective_sample_size <= 50


def test_the_sweep_ends_at_the_requested_number_of_draws(linear_gaussian, examples):
    unknown = subject(linear_gaussian.model.float(), examples)
    found = importance_metrics(unknown)
    assert found.arrays["sweep_ks"].tolist() == [1, 2, 5, 10, 20, 50]
    # With the exact posterior every bound is the evidence.
    expected = linear_gaussian.log_evidence.numpy()
    np.testing.assert_allclose(found.arrays["sweep_bounds"], np.broadcast_to(expected, (6, 8)), atol=1e-3)
    assert "approximation-gap" not in by_name(gap_metrics(unknown))


@pytest.mark.parametrize(("latent_dim", "posterior", "expected"), [
    (2, "diagonal-normal", True), (3, "diagonal-normal", False), (2, "point-mass", False)
])  # fmt: skip
def test_the_evidence_is_integrated_without_a_request_for_up_to_two_latents(examples, latent_dim, posterior, expected):
    config = ModelConfig(hidden=(4,), latent_dim=latent_dim, posterior=posterior)
    model = build_model(config, (1, 2, 3), generator(0, "w"))
    assert (why_not_exact(subject(model, examples)) == "") == expected


def test_the_discretisation_error_stands_apart_from_the_error_over_examples(linear_gaussian, examples):
    scores = by_name(exact_metrics(subject(linear_gaussian.model.float(), examples, elbo=torch.zeros(8)), 8))
    for name in ("log-evidence", "evidence-gap"):
        assert 0 < scores[name].discretisation_error < TOLERANCE
        assert scores[name].num_not_converged == 0
    missed = scores["log-evidence"].value - linear_gaussian.log_evidence.mean().item()
    assert abs(missed) <= scores["log-evidence"].discretisation_error


def test_what_has_not_converged_goes_by_another_name_and_nothing_is_derived_from_it(
    linear_gaussian, examples, monkeypatch
):
    monkeypatch.setattr(quadrature, "MAX_LEVEL", -1)
    found = exact_metrics(subject(linear_gaussian.model.float(), examples, elbo=torch.zeros(8)), 8)
    (score,) = found.scores
    assert (score.name, score.num_not_converged, score.num_examples) == ("log-evidence-not-converged", 8, 8)
    assert score.discretisation_error is None  # level 0 alone says nothing of it
    assert "8 of 8 examples have not converged to 0.01 nats" in score.description
    assert "exact" not in " ".join([score.name, score.description, *score.quadrature_notes])
    assert found.arrays == {}


def test_the_evidence_of_the_examples_before_the_first_unsettled_one_is_kept(linear_gaussian, examples, monkeypatch):
    def all_but_the_fourth(*arguments, **options):
        found = exact_evidence(*arguments, **options)
        return replace(found, has_converged=torch.arange(8) != 3)

    monkeypatch.setattr("lowerbound.evaluation.bound_metrics.exact_evidence", all_but_the_fourth)
    found = exact_metrics(subject(linear_gaussian.model.float(), examples, elbo=torch.zeros(8)), 8)
    assert by_name(found).keys() == {"log-evidence-not-converged"}
    kept = found.arrays["log_evidence_per_image"]
    np.testing.assert_allclose(kept, linear_gaussian.log_evidence[:3], atol=1e-3)


@pytest.mark.parametrize(("error", "text"), [(0.0034, "0.0034"), (0.00341, "0.0035"), (9.99e-5, "0.0001"), (0.0, "0")])
def test_a_stated_bound_is_never_rounded_down(error, text):
    score = replace(SCORER("log-evidence", torch.ones(3), "", None), discretisation_error=error)
    assert score.quadrature_notes == [f"discretisation error at most {text} nats"]

import numpy as np
import pytest

from lowerbound.data.sources import Examples
from lowerbound.evaluation.bound_quality import BoundConfig, bound_quality, exact_quality, has_exact_evidence
from lowerbound.evaluation.evaluate import expected_terms
from lowerbound.evaluation.results import Scorer
from lowerbound.model import ModelConfig, build_model
from lowerbound.seeding import generator

SCORER = Scorer("test", "density")
EXTENT = BoundConfig(num_draws=50, num_examples=8)


@pytest.fixture
def examples(linear_gaussian):
    # Two-pixel-high images in the layout of data, N×H×W×C; the model is in 64 bits, data are in 32.
    return Examples(linear_gaussian.x.permute(0, 2, 3, 1).float().numpy(), 1.0)


def by_name(findings):
    return {score.name: score for score in findings.scores}


def test_the_exact_evidence_and_the_gap_to_it_are_those_in_closed_form(linear_gaussian, examples):
    model = linear_gaussian.with_posterior_moved(0.2, 0.5).float()
    terms = expected_terms(model, examples, 2000, 0)
    scores = by_name(exact_quality(model, examples, terms.elbo, 8, SCORER, "cpu"))
    assert scores["log-evidence"].value == pytest.approx(linear_gaussian.log_evidence.mean().item(), abs=1e-3)
    # KL(q_moved || exact posterior), the same for every image.
    variance = linear_gaussian.data.posterior_covariance().diagonal()
    kl = 0.5 * (np.exp(0.5) - 1 - 0.5 + 0.2**2 / variance).sum().item()
    assert scores["evidence-gap"].value == pytest.approx(kl, abs=4 * scores["evidence-gap"].standard_error + 0.02)


def test_the_gaps_add_up_to_the_gap_of_the_elbo(linear_gaussian, examples):
    model = linear_gaussian.with_posterior_moved(0.2, 0.5).float()
    found = bound_quality(model, examples, linear_gaussian.log_evidence, EXTENT, SCORER, "cpu")
    scores = by_name(found)
    # The family holds the exact posterior: all of the gap is amortisation.
    assert abs(scores["approximation-gap"].value) < 0.02
    assert scores["amortisation-gap"].value > 0.3
    assert scores["importance-bound"].num_draws == 50
    missed = linear_gaussian.log_evidence.mean().item() - scores["importance-bound"].value
    assert scores["importance-error"].value == pytest.approx(missed)
    assert scores["importance-error"].pareto_k == scores["importance-bound"].pareto_k
    assert 0 < scores["importance-bound"].effective_sample_size <= 50


def test_the_sweep_ends_at_the_number_of_draws_asked_for(linear_gaussian, examples):
    found = bound_quality(linear_gaussian.model.float(), examples, None, EXTENT, SCORER, "cpu")
    assert found.arrays["sweep_ks"].tolist() == [1, 2, 5, 10, 20, 50]
    # With the exact posterior every bound is the evidence.
    expected = linear_gaussian.log_evidence.numpy()
    np.testing.assert_allclose(found.arrays["sweep_bounds"], np.broadcast_to(expected, (6, 8)), atol=1e-3)
    assert "approximation-gap" not in by_name(found)


@pytest.mark.parametrize(("latent_dim", "posterior", "expected"), [
    (2, "diagonal-normal", True), (3, "diagonal-normal", False), (2, "point-mass", False)
])  # fmt: skip
def test_the_evidence_is_integrated_unasked_for_up_to_two_latents(latent_dim, posterior, expected):
    config = ModelConfig(hidden=(4,), latent_dim=latent_dim, posterior=posterior)
    assert has_exact_evidence(build_model(config, (1, 2, 2), generator(0, "w"))) == expected

"""The bound of one example agrees with what is known of it exactly, and with another estimate."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data.examples import Examples
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.kl import kl_divergence
from lowerbound.serving.explorer.scoring import NUM_DRAWS, Bound, estimate_bound, finite

pytestmark = pytest.mark.usefixtures("float64")


def within(estimate, exact, error, num_errors=4):
    return abs(estimate - exact) < num_errors * error


def test_the_elbo_of_an_exact_posterior_is_the_log_evidence(linear_gaussian):
    for number, evidence in enumerate(linear_gaussian.log_evidence.tolist()):
        x = linear_gaussian.x[number : number + 1]
        bound = estimate_bound(linear_gaussian.model, x, generator(number, "test"))
        assert within(bound.elbo, evidence, bound.elbo_standard_error)
        assert 0 < bound.elbo_standard_error < 1


def test_of_a_wrong_posterior_the_elbo_lies_below_by_the_divergence(linear_gaussian):
    wrong = linear_gaussian.with_posterior_moved(mean=0.7, log_variance=0.5)
    x = linear_gaussian.x[:1]
    right, moved = linear_gaussian.model.encode(x), wrong.encode(x)
    gap = float(kl_divergence(moved, right))
    bound = estimate_bound(wrong, x, generator(0, "test"))
    assert gap > 1
    assert within(bound.elbo, float(linear_gaussian.log_evidence[0]) - gap, bound.elbo_standard_error)


def test_rate_and_distortion_add_up_and_so_do_the_rates_of_the_latents(linear_gaussian):
    x = linear_gaussian.x[:1]
    bound = estimate_bound(linear_gaussian.model, x, generator(0, "test"))
    assert bound.elbo == pytest.approx(-(bound.rate + bound.distortion))
    assert bound.rate == pytest.approx(sum(bound.rate_per_dimension))
    posterior, prior = linear_gaussian.model.encode(x), linear_gaussian.model.prior()
    assert bound.rate == pytest.approx(float(kl_divergence(posterior, prior)))
    assert (bound.num_draws, bound.unit) == (NUM_DRAWS, "nats")


def test_the_standard_error_is_that_of_repeated_estimates(linear_gaussian):
    x = linear_gaussian.x[:1]
    bounds = [estimate_bound(linear_gaussian.model, x, generator(seed, "test")) for seed in range(200)]
    spread = np.std([bound.elbo for bound in bounds], ddof=1)
    assert spread == pytest.approx(np.mean([bound.elbo_standard_error for bound in bounds]), rel=0.2)


def test_without_a_closed_form_the_rate_is_estimated_from_the_same_draws(linear_gaussian, monkeypatch):
    monkeypatch.setattr("lowerbound.probability.samples.has_closed_form_kl", lambda *_: False)
    monkeypatch.setattr("lowerbound.serving.explorer.scoring.has_elementwise_kl", lambda *_: False)
    x = linear_gaussian.x[:1]
    bound = estimate_bound(linear_gaussian.model, x, generator(0, "test"))
    # With an exact posterior every log-weight is log p(x), and so is each draw's bound.
    assert bound.elbo == pytest.approx(float(linear_gaussian.log_evidence[0]))
    assert bound.elbo_standard_error == pytest.approx(0, abs=1e-9)
    assert bound.rate_per_dimension is None


def test_the_bound_agrees_with_that_of_an_evaluation():
    config = ModelConfig(hidden=(8,), latent_dim=3)
    model = build_model(config, (1, 4, 4), generator(0, "weights")).double().eval()
    images = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 1)).astype(np.uint8)
    terms = expected_terms(model.float(), Examples(images, 255.0), 1000, seed=1)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    bound = estimate_bound(model.double(), x, generator(0, "test"))
    error = bound.elbo_standard_error * (1 + NUM_DRAWS / 1000) ** 0.5
    assert within(bound.elbo, float(terms.elbo), error)
    assert bound.rate == pytest.approx(float(terms.rate), rel=1e-4)


def test_of_a_deterministic_code_the_reconstruction_error_alone_is_known():
    config = ModelConfig(hidden=(8,), latent_dim=3, posterior="point-mass")
    model = build_model(config, (1, 4, 4), generator(0, "weights")).double().eval()
    x = torch.rand(1, 1, 4, 4, generator=generator(0, "x"))
    bound = estimate_bound(model, x, generator(0, "test"))
    logits = model.decode(model.encode(x).mean).logits
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    assert bound == Bound(reconstruction_error=bound.reconstruction_error)
    assert bound.reconstruction_error == pytest.approx(float(expected))


def test_equal_seeds_give_equal_bounds_and_others_do_not(linear_gaussian):
    x = linear_gaussian.x[:1]
    first, again, other = (estimate_bound(linear_gaussian.model, x, generator(seed, "test")) for seed in (0, 0, 1))
    assert first == again
    assert first.elbo != other.elbo


def test_what_is_no_number_is_absent():
    bound = replace(Bound(elbo=float("nan"), distortion=float("inf")), rate_per_dimension=[1.0, float("nan")])
    assert bound.as_json() == {
        "elbo": None,
        "elbo_standard_error": None,
        "rate": None,
        "rate_per_dimension": [1.0, None],
        "distortion": None,
        "reconstruction_error": None,
        "num_draws": 0,
        "unit": "nats",
    }
    assert finite(-2.5) == -2.5

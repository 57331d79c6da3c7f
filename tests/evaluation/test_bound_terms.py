"""Terms of the bound against a linear Gaussian, whose evidence and posterior are known."""

import numpy as np
import pytest
import torch

from lowerbound.data.examples import Examples
from lowerbound.evaluation.bound_terms import EXACT, IMPORTANCE_WEIGHTED, bound_terms, kl_by_draws
from lowerbound.foundation.errors import ConfigError
from lowerbound.probability.distributions import DiagonalNormal
from small_models import small

pytestmark = pytest.mark.usefixtures("float64")


def examples_of(x):
    return Examples(x.movedim(1, -1).float().numpy(), max_value=1.0)


@pytest.fixture
def single(linear_gaussian):
    """The linear model, with examples in single precision as data are, and the exact evidence of those."""
    x = linear_gaussian.x.float()
    return linear_gaussian, examples_of(x), linear_gaussian.data.log_evidence(x.double().flatten(1)).numpy()


def moved_kl(linear_gaussian, model):
    """KL between the moved and the exact posterior, in closed form."""
    wrong, right = model.encode(linear_gaussian.x), linear_gaussian.model.encode(linear_gaussian.x)
    assert isinstance(wrong, DiagonalNormal)
    variance_ratio = (wrong.log_variance - right.log_variance).exp()
    squared = (wrong.mean - right.mean) ** 2 / right.variance
    return 0.5 * (variance_ratio + squared - 1 - variance_ratio.log()).sum(-1).detach().numpy()


def test_with_the_exact_posterior_the_bound_is_the_evidence(single):
    linear_gaussian, examples, log_evidence = single
    found = bound_terms(linear_gaussian.model.double(), examples, num_draws=64)
    assert found.method == EXACT
    assert found.is_exact.all()
    np.testing.assert_allclose(found.log_evidence, log_evidence, atol=1e-2)
    assert (abs(found.kl_to_posterior) < 4 * found.elbo_standard_error + 1e-2).all()
    np.testing.assert_allclose(found.elbo, -(found.distortion + found.rate), atol=1e-9)


def test_with_a_wrong_posterior_the_gap_is_its_kl_in_closed_form(single):
    linear_gaussian, examples, _ = single
    model = linear_gaussian.with_posterior_moved(mean=0.3, log_variance=0.5)
    found = bound_terms(model, examples, num_draws=2000)
    closed = moved_kl(linear_gaussian, model)
    assert (abs(found.kl_to_posterior - closed) < 4 * found.elbo_standard_error + 1e-2).all()
    value, error = kl_by_draws(model, linear_gaussian.x[:1], float(found.log_evidence[0]), 2000, seed=1)
    assert abs(value - closed[0]) < 4 * error + 1e-2


def test_the_terms_of_an_example_do_not_depend_on_the_others(single):
    linear_gaussian, examples, _ = single
    together = bound_terms(linear_gaussian.model, examples, num_draws=8)
    alone = bound_terms(linear_gaussian.model, examples.subset(np.array([3])), num_draws=8)
    assert alone.elbo[0] == pytest.approx(together.elbo[3], abs=1e-9)


def test_latents_that_cannot_be_integrated_get_the_importance_weighted_bound():
    model = small(posterior="gumbel-softmax").eval()
    x = torch.rand(2, 2, 5, 3)
    found = bound_terms(model, examples_of(x), num_draws=50)
    assert found.method == IMPORTANCE_WEIGHTED
    assert not found.is_exact.any()
    assert np.isfinite(found.log_evidence).all()


def test_an_autoencoder_and_a_single_draw_are_refused(single):
    linear_gaussian, examples, _ = single
    with pytest.raises(ConfigError, match="no ELBO"):
        bound_terms(small(posterior="point-mass"), examples_of(torch.rand(2, 2, 5, 3)))
    with pytest.raises(ConfigError, match="at least 2 draws"):
        bound_terms(linear_gaussian.model, examples, num_draws=1)

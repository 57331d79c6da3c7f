"""A worked example: its tensors and densities are those that the model gives when asked one by one."""

import math

import numpy as np
import pytest
from scipy import stats

from lowerbound.data.examples import Examples
from lowerbound.evaluation.worked_example import NUM_SHOWN, work_example
from lowerbound.foundation.errors import ConfigError
from small_models import small

pytestmark = pytest.mark.usefixtures("float64")

X = np.random.default_rng(0).random((2, 5, 3, 2)).astype(np.float32)


def one(number=0):
    return Examples(X, max_value=1.0).subset(np.array([number]))


@pytest.fixture(scope="module")
def worked(float64):
    return work_example(small().eval(), one(), num_draws=50)


def test_draws_are_the_reparameterisation_of_their_noise(worked):
    np.testing.assert_allclose(worked.draws.z, worked.centre + worked.standard_deviation * worked.draws.epsilon)
    assert worked.draws.z.shape == (NUM_SHOWN, 3)
    assert abs(worked.draws.epsilon).max() > 0.1


def test_densities_are_those_of_scipy(worked):
    normal = stats.norm(worked.centre, worked.standard_deviation)
    np.testing.assert_allclose(worked.draws.log_posterior, normal.logpdf(worked.draws.z).sum(-1))
    np.testing.assert_allclose(worked.draws.log_prior, stats.norm.logpdf(worked.draws.z).sum(-1))
    x, p = worked.x, worked.draws.decoded
    np.testing.assert_allclose(
        worked.draws.log_likelihood, (x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3)), rtol=1e-6
    )


def test_the_rate_is_the_sum_over_latents(worked):
    mu, variance = worked.centre, worked.standard_deviation**2
    np.testing.assert_allclose(worked.rate_per_latent, 0.5 * (mu**2 + variance - 1 - np.log(variance)))
    assert worked.terms.rate[0] == pytest.approx(worked.rate_per_latent.sum())


def test_a_gaussian_likelihood_is_split_into_error_and_normaliser():
    worked = work_example(small(likelihood="gaussian", sigma=0.7, learn_sigma=False).eval(), one(), num_draws=4)
    fit = worked.gaussian
    assert fit.c == pytest.approx(1 / (2 * 0.49), rel=1e-6)
    assert fit.normaliser == pytest.approx(15 * math.log(2 * math.pi * 0.49), rel=1e-6)
    found = -fit.c * fit.squared_error - fit.normaliser
    assert found == pytest.approx(worked.at_centre.log_likelihood[0], rel=1e-6)


def test_an_autoencoder_has_a_code_and_nothing_else():
    worked = work_example(small(posterior="point-mass").eval(), one())
    assert worked.terms is None
    assert worked.draws is None
    assert worked.centre.shape == (3,)


def test_several_examples_are_refused():
    with pytest.raises(ConfigError, match="one example"):
        work_example(small(), Examples(X, max_value=1.0))

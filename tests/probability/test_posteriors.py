"""From raw encoder outputs to distributions over latents."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.posteriors import (
    LOG_VARIANCE_BOUND,
    POSTERIORS,
    DiagonalNormalPosterior,
    FullNormalPosterior,
    PointMassPosterior,
)
from small_models import latents_for

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_posterior_has_one_latent_for_each_number_of_a_head(name):
    family = POSTERIORS[name](latents_for(name))
    posterior = family(torch.randn(5, *family.raw_shape, generator=generator(0, "raw")))
    assert posterior.centre.shape == (5, latents_for(name))
    assert posterior.sample(generator(0, "draws"), 4).shape == (4, 5, latents_for(name))
    assert sum(family.head_sizes) == math.prod(family.raw_shape)


def test_the_first_head_is_the_mean_and_the_second_the_log_variance():
    posterior = DiagonalNormalPosterior(2)(torch.tensor([[1.0, 2.0, 0.0, math.log(9)]]))
    assert isinstance(posterior, DiagonalNormal)
    assert_close(posterior.mean, torch.tensor([[1.0, 2.0]]))
    assert_close(posterior.variance, torch.tensor([[1.0, 9.0]]))
    assert_close(posterior.standard_deviation, torch.tensor([[1.0, 3.0]]))


def test_log_variances_are_kept_within_their_bound_and_means_are_not():
    posterior = DiagonalNormalPosterior(2)(torch.tensor([[1e4, -1e4, 1e4, -1e4]]))
    assert posterior.mean.tolist() == [[1e4, -1e4]]
    assert posterior.log_variance.tolist() == [[LOG_VARIANCE_BOUND, -LOG_VARIANCE_BOUND]]
    inside = torch.tensor([[0.0, 0.0, 14.9, -14.9]])
    assert DiagonalNormalPosterior(2)(inside).log_variance.tolist() == [[14.9, -14.9]]


def test_the_bounded_variance_and_its_inverse_are_finite_in_single_precision():
    posterior = DiagonalNormalPosterior(2)(torch.tensor([[0.0, 0.0, 1e30, -1e30]], dtype=torch.float32))
    assert posterior.variance.isfinite().all()
    assert posterior.log_prob(torch.ones(1, 2, dtype=torch.float32)).isfinite().all()


def test_a_point_mass_is_the_raw_output_itself():
    raw = torch.tensor([[1.0, -2.0]])
    posterior = PointMassPosterior(2)(raw)
    assert isinstance(posterior, PointMass)
    assert torch.equal(posterior.mean, raw)


def test_a_full_covariance_without_its_third_head_is_the_diagonal_normal():
    raw = torch.randn(4, 6, generator=generator(0, "raw"))
    z = torch.randn(4, 3, generator=generator(0, "z"))
    widened = FullNormalPosterior(3)(torch.cat([raw, torch.zeros(4, 3)], dim=-1))
    assert_close(widened.log_prob(z), DiagonalNormalPosterior(3)(raw).log_prob(z))

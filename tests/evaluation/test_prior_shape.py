"""Contours hold the probability that they claim, whatever the prior's shape."""

import math

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Outline

from densities import shifted_weights
from latent_priors import ALONE, prior_named
from lowerbound.evaluation.prior_shape import contour_arrays, contour_lines, density_contours
from lowerbound.foundation.seeding import generator
from lowerbound.probability.priors import PRIORS, MixtureOfNormalsPrior, Prior, StandardNormalPrior
from lowerbound.probability.spaces import REAL
from small_models import size_in


def share_inside(lines, z):
    inside = np.zeros(len(z), dtype=int)
    for line in lines:
        inside += Outline(line).contains_points(z)  # an outline within another one is a hole
    return (inside % 2).mean()


def test_two_of_three_latents_of_a_flow_have_no_contours_and_two_of_two_have():
    assert density_contours(prior_named("flow", 3), (0, 1)) is None
    flow = prior_named("flow", 2)
    (lines,) = density_contours(shifted_weights(flow, 0.1).requires_grad_(False), (0, 1), (0.9,))
    assert share_inside(lines, flow.sample(generator(1, "draws"), 20_000).numpy()) == pytest.approx(0.9, abs=0.015)


@pytest.mark.parametrize("name", [name for name in ALONE if PRIORS[name].space != REAL])
def test_latents_that_are_not_real_have_no_contours(name):
    assert density_contours(prior_named(name, size_in(PRIORS[name].space, 2)), (0, 1)) is None


@pytest.mark.parametrize("name", [name for name in ALONE if PRIORS[name].space == REAL and name != "flow"])
@pytest.mark.parametrize("dimensions", [(0, 1), (2, 0)])
def test_a_contour_holds_its_probability(name, dimensions):
    prior = prior_named(name, 3).requires_grad_(False)
    z = prior.sample(generator(1, "draws"), 20_000).numpy()[:, list(dimensions)]
    for probability, lines in zip((0.5, 0.95), density_contours(prior, dimensions, (0.5, 0.95)), strict=True):
        assert share_inside(lines, z) == pytest.approx(probability, abs=0.015)


def test_the_contours_of_a_standard_normal_are_circles():
    (lines,) = density_contours(StandardNormalPrior(2), (0, 1), (0.95,))
    radius = np.linalg.norm(np.concatenate(lines), axis=1)
    np.testing.assert_allclose(radius, math.sqrt(-2 * math.log(0.05)), rtol=2e-3)


def test_peaks_that_lie_apart_have_outlines_of_their_own():
    prior = MixtureOfNormalsPrior(2, num_components=2).requires_grad_(False)
    prior.means.copy_(torch.tensor([[-5.0, 0.0], [5.0, 0.0]]))
    (lines,) = density_contours(prior, (0, 1), (0.9,))
    assert sorted(round(float(line[:, 0].mean())) for line in lines) == [-5, 5]


def test_a_prior_without_marginals_has_contours_of_all_its_latents_alone():
    class Own(Prior):
        def forward(self):
            distribution = StandardNormalPrior(self.latent_dim)()
            object.__setattr__(distribution, "marginal", super(type(distribution), distribution).marginal)
            return distribution

    assert density_contours(Own(2), (0, 1)) is not None
    assert density_contours(Own(3), (0, 1)) is None


def test_outlines_are_stored_as_arrays_and_read_again():
    lines = [np.ones((3, 2), np.float32), np.zeros((5, 2), np.float32)]
    stored = list(contour_lines(contour_arrays(lines)))
    assert [line.tolist() for line in stored] == [line.tolist() for line in lines]
    assert list(contour_lines({})) == []

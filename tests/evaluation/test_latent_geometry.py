"""Traversals and grids stay in the space of the latents; charts are inverted by the codes at their coordinates."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lowerbound.evaluation.latent_geometry import categories, chart_of, traversal
from lowerbound.foundation.seeding import generator
from lowerbound.probability.spaces import OneHot
from small_models import small

pytestmark = pytest.mark.usefixtures("float64")

CURVED = ("power-spherical", "logistic-normal")


@pytest.mark.parametrize("posterior", CURVED)
@pytest.mark.parametrize("start", ["a draw", "a corner"])
def test_a_traversal_stays_in_the_space_and_moves_the_chosen_latent(posterior, start):
    model = small(posterior=posterior)
    z = model.sample_prior(1, generator(0, "z"))[0] if start == "a draw" else torch.eye(3)[1]
    steps = torch.linspace(0, 1, 7)
    codes = traversal(model, z, 1, steps)
    assert_close(codes[:, 1], steps)
    model.check_codes(codes)
    if start == "a draw":  # the others keep their proportions
        assert_close(codes[:-1, 0] / codes[:-1, 2], (z[0] / z[2]).expand(6))


def test_a_traversal_of_real_latents_leaves_the_others():
    codes = traversal(small(), torch.tensor([1.0, 2, 3]), 1, torch.tensor([-1.0, 5]))
    assert codes.tolist() == [[1, -1, 3], [1, 5, 3]]


def test_every_category_of_a_group_is_shown_once_with_the_other_groups_fixed():
    start = torch.eye(3)[[2, 0]].flatten()
    codes = categories(OneHot(3), start, 1)
    assert codes.tolist() == [[0, 0, 1, *row] for row in torch.eye(3).tolist()]


@pytest.mark.parametrize("posterior", CURVED)
def test_the_codes_on_a_grid_are_in_the_space(posterior):
    model = small(posterior=posterior)
    chart = chart_of(model)
    across, up = torch.from_numpy(chart.axes(9)).double()
    codes = chart.codes(torch.cartesian_prod(across, up))
    model.check_codes(codes[~codes.isnan().any(-1)])
    assert (len(codes) == 81) and int(codes.isnan().any(-1).sum()) == (36 if posterior == "logistic-normal" else 0)


def test_longitude_and_latitude_are_those_of_the_code_and_bands_have_equal_areas():
    chart = chart_of(small(posterior="power-spherical"))
    place = torch.tensor([[-150.0, 40.0], [10.0, -80.0]])
    assert_close(chart.coordinates(chart.codes(place)), place)
    heights = np.sin(np.radians(chart.axes(8)[1]))
    np.testing.assert_allclose(np.diff(heights), 0.25, rtol=1e-5)


def test_the_corners_of_the_simplex_are_those_of_an_equilateral_triangle():
    chart = chart_of(small(posterior="logistic-normal"))
    corners = chart.coordinates(torch.eye(3))
    assert_close(torch.pdist(corners), torch.ones(3))
    assert_close(corners[2], torch.tensor([0.5, math.sqrt(3) / 2]))


def test_real_latents_and_larger_spheres_have_no_chart():
    assert chart_of(small()) is None

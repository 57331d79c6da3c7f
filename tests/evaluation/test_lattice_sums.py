"""Running sums over one level of the lattice are those of all its cells."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.evaluation.lattice import Integrand, Tiles
from lowerbound.evaluation.lattice_sums import LevelSums, log_negligible

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def swept(linear_gaussian):
    """The integrand of a linear model, the tiles of level 0, and their sums."""
    integrand = Integrand(linear_gaussian.model, linear_gaussian.x)
    images = torch.arange(len(integrand.x))
    corner = integrand.covering_corners(images)
    tiles = Tiles(0, corner, images.repeat(len(corner)), torch.full_like(corner[:, 0], len(images)))
    nothing = torch.full((len(images),), -math.inf)
    sums = LevelSums(nothing, nothing.clone(), integrand, log_negligible(0, 1e-2))
    sums.sweep(tiles)
    return integrand, tiles, sums


def test_the_sum_of_a_level_is_that_of_all_its_cells(swept):
    integrand, tiles, sums = swept
    masses = [[] for _ in integrand.x]
    for table in integrand.tables(tiles):
        for image, mass in zip(table.image.tolist(), table.log_likelihood + table.log_prior_mass, strict=True):
            masses[image].append(mass)
    of_image = torch.stack([torch.cat(mass) for mass in masses])
    assert_close(sums.total, of_image.logsumexp(1), rtol=0, atol=1e-6)
    assert_close(sums.peak, of_image.amax(1))
    assert (sums.num_decoded, sums.num_evaluated) == (of_image.shape[1], of_image.numel())


def test_the_coarser_lattices_have_the_level_as_their_mean(swept):
    _, _, sums = swept
    assert_close(sums.coarser().logsumexp(0) - math.log(len(sums.parts)), sums.total)


def test_refining_settles_or_keeps_every_child_and_loses_no_mass(swept, linear_gaussian):
    integrand, tiles, sums = swept
    finer = sums.refined(tiles, torch.ones(len(integrand.x), dtype=torch.bool))
    assert finer.level == 1
    assert 0 < len(finer.image) < len(tiles.image) * tiles.num_children
    again = LevelSums(sums.settled, sums.settled_error, integrand, log_negligible(1, 1e-2))
    again.sweep(finer)
    assert_close(again.total, linear_gaussian.log_evidence[integrand.order], rtol=0, atol=1e-3)


def test_images_that_are_not_wanted_are_settled_whole(swept):
    integrand, tiles, sums = swept
    total = sums.total.clone()
    finer = sums.refined(tiles, torch.zeros(len(integrand.x), dtype=torch.bool))
    assert len(finer.corner) == 0
    assert_close(sums.settled, total)

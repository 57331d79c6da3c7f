"""Tiles and cells of the lattice on which the evidence is summed."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.evaluation.lattice import PRIOR_RADIUS, Integrand, Tiles, is_rim

pytestmark = pytest.mark.usefixtures("float64")


def first_level(integrand):
    """The tiles of level 0, each with all images."""
    images = torch.arange(len(integrand.x))
    corner = integrand.covering_corners(images)
    return Tiles(0, corner, images.repeat(len(corner)), torch.full_like(corner[:, 0], len(images)))


def test_the_children_of_a_tile_cover_it_once():
    tiles = Tiles(0, torch.tensor([[-1, 2]]), torch.tensor([0]), torch.tensor([1]))
    assert tiles.num_children == 4
    assert sorted(tiles.children(torch.tensor([0]))[0].tolist()) == [[-2, 4], [-2, 5], [-1, 4], [-1, 5]]


def test_tiles_of_chosen_images_keep_the_others_out():
    tiles = Tiles(1, torch.tensor([[0], [1], [2]]), torch.tensor([0, 1, 1, 0]), torch.tensor([2, 1, 1]))
    chosen = tiles.of(torch.tensor([False, True]))
    assert (chosen.corner.tolist(), chosen.image.tolist(), chosen.num_images.tolist()) == ([[0], [1]], [1, 1], [1, 1])
    assert tiles.pairs_of_each(3).tolist() == [2, 2, 0]


def test_the_rim_of_a_block_is_what_surrounds_its_inside():
    corner = torch.cartesian_prod(torch.arange(4), torch.arange(3))
    inside = {(1, 1), (2, 1)}
    assert is_rim(corner).tolist() == [tuple(place) not in inside for place in corner.tolist()]


def test_level_0_holds_all_of_the_prior_but_what_lies_beyond_its_radius(linear_gaussian):
    integrand = Integrand(linear_gaussian.model, linear_gaussian.x)
    tiles = first_level(integrand)
    outside = 1 - integrand.prior_mass(tiles)
    assert abs(outside) < math.exp(-(PRIOR_RADIUS**2) / 2)
    nearest = torch.where(tiles.corner < 0, -tiles.corner - 1, tiles.corner).double().norm(dim=1)
    assert (nearest.diff() >= 0).all()


def test_a_table_is_the_models_likelihood_and_the_priors_mass_cell_by_cell(linear_gaussian):
    model = linear_gaussian.model
    integrand = Integrand(model, linear_gaussian.x)
    tiles = first_level(integrand)
    num_pairs = 0
    for table in integrand.tables(tiles):
        num_pairs += len(table.image)
        pair = len(table.image) // 2
        z = tiles.corner[table.tile[pair]] + integrand.offsets
        x = integrand.x[table.image[pair]]
        assert_close(table.log_likelihood[pair], model.decode(z).log_prob(x))
        assert_close(table.log_prior_mass[pair], model.prior().log_prob(z) - math.log(len(integrand.offsets)))
    assert num_pairs == len(tiles.image)


def test_a_child_near_the_encoders_mean_is_marked(linear_gaussian):
    integrand = Integrand(linear_gaussian.model, linear_gaussian.x)
    image = torch.arange(len(integrand.x))
    children = (2 * integrand.encoded_mean).floor().long()
    assert integrand.holds_encoded_mean(children.unsqueeze(1), 0, image).all()
    assert not integrand.holds_encoded_mean(children.unsqueeze(1) + 2, 0, image).any()

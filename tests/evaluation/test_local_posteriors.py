"""Steps within a family of normals keep to their units and to the family."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.evaluation.local_posteriors import LOCAL_FAMILIES, select_normals, step_diagonal, step_full, with_mean
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.low_rank_normal import LowRankNormal
from lowerbound.probability.normals import FullNormal
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND

pytestmark = pytest.mark.usefixtures("float64")


def drawn(*shape, name="step"):
    return torch.randn(*shape, generator=generator(0, name))


def diagonal():
    return DiagonalNormal(drawn(4, 3, name="mean"), drawn(4, 3, name="log variance"))


def full():
    scale_tril = drawn(4, 3, 3, name="scale").tril(-1) + torch.diag_embed(drawn(4, 3, name="diagonal").exp())
    return FullNormal(drawn(4, 3, name="mean"), scale_tril)


def low_rank():
    return LowRankNormal(drawn(4, 3, name="mean"), drawn(4, 3, name="log variance"), drawn(4, 3, 2, name="factor"))


NORMALS = {DiagonalNormal: diagonal, LowRankNormal: low_rank, FullNormal: full}


def test_every_family_is_tested_here():
    assert NORMALS.keys() == LOCAL_FAMILIES.keys()


@pytest.mark.parametrize("kind", LOCAL_FAMILIES)
def test_no_step_leaves_a_normal_as_it_was(kind):
    family, normal = LOCAL_FAMILIES[kind], NORMALS[kind]()
    stepped = family.stepped(normal, torch.zeros(4, family.step_size(normal)))
    assert type(stepped) is kind
    assert_close(stepped.mean, normal.mean)
    assert_close(stepped.covariance, normal.covariance)


@pytest.mark.parametrize("kind", LOCAL_FAMILIES)
def test_a_step_of_the_mean_is_in_standard_deviations(kind):
    family, normal = LOCAL_FAMILIES[kind], NORMALS[kind]()
    step = torch.zeros(4, family.step_size(normal))
    step[:, :3] = of_mean = drawn(4, 3)
    moved = family.stepped(normal, step)
    distance = moved.mean - normal.mean
    mahalanobis = (distance.unsqueeze(-2) @ normal.covariance.inverse() @ distance.unsqueeze(-1)).flatten()
    assert_close(mahalanobis, of_mean.square().sum(-1))
    assert_close(moved.covariance, normal.covariance)


@pytest.mark.parametrize("kind", LOCAL_FAMILIES)
def test_a_step_of_the_covariance_adds_to_its_log_determinant_whatever_its_size(kind):
    family, normal = LOCAL_FAMILIES[kind], NORMALS[kind]()
    step = drawn(4, family.step_size(normal))
    step[:, :3] = 0
    stepped = family.stepped(normal, step)
    assert_close(stepped.covariance.logdet(), normal.covariance.logdet() + step[:, 3:6].sum(-1))


def test_variances_stay_within_the_bounds_of_a_posterior():
    far = torch.cat([torch.zeros(4, 3), torch.full((4, 3), 100.0)], dim=-1)
    assert (step_diagonal(diagonal(), far).log_variance == LOG_VARIANCE_BOUND).all()
    stepped = step_full(full(), torch.cat([far, torch.zeros(4, 3)], dim=-1))
    bound = torch.full((4, 3), LOG_VARIANCE_BOUND / 2)
    assert_close(stepped.scale_tril.diagonal(dim1=-2, dim2=-1).log(), bound)


@pytest.mark.parametrize("kind", LOCAL_FAMILIES)
def test_of_two_batches_each_example_has_the_normal_that_was_selected(kind):
    first = NORMALS[kind]()
    second = with_mean(first, first.mean + 1)
    chosen = select_normals(torch.tensor([True, False, True, False]), second, first)
    assert_close(chosen.mean - first.mean, torch.tensor([1.0, 0.0, 1.0, 0.0]).unsqueeze(-1).expand(4, 3))
    assert_close(chosen.covariance, first.covariance)

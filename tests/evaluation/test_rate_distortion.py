"""The frontier of rate and distortion, against definitions that try everything."""

import numpy as np
import pytest

from lowerbound.evaluation.rate_distortion import RatePoint, lower_hull, pareto_set

CLOUDS = {seed: np.random.default_rng(seed).normal(size=(12, 2)).round(1) for seed in range(8)}  # with ties


def beats(one, other):
    return (one <= other).all() and (one < other).any()


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_the_pareto_set_are_the_points_that_none_beats_by_increasing_rate(cloud):
    found = pareto_set([RatePoint(*point) for point in cloud.tolist()])
    assert sorted(found) == [
        index for index, point in enumerate(cloud) if not any(beats(other, point) for other in cloud)
    ]
    assert (np.diff(cloud[found, 0]) >= 0).all()


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_the_hull_are_the_places_that_are_best_for_some_beta(cloud):
    found = lower_hull([RatePoint(*point) for point in cloud.tolist()])
    betas = np.tan(np.linspace(1e-6, np.pi / 2 - 1e-6, 20_001))
    costs = cloud[:, 1] + betas[:, None] * cloud[:, 0]
    best = {tuple(cloud[index]) for index in costs.argmin(axis=1)}
    assert {tuple(cloud[index]) for index in found} == best


def test_a_single_point_is_its_own_frontier():
    assert (pareto_set([RatePoint(1, 2)]), lower_hull([RatePoint(1, 2)])) == ([0], [0])
    assert lower_hull([RatePoint(0, 2), RatePoint(1, 1), RatePoint(2, 0)]) == [0, 2]  # a straight line has two corners

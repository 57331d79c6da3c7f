"""Points of a sweep: their means over seeds, and the planes in which they can be compared."""

import json

import pytest

from sweep_points import point, results_of, sweep_of, without

BETA = "objective.rate_weight"


def test_a_point_has_the_mean_of_its_seeds_with_their_error_and_none_if_one_is_left(tmp_path):
    three = point(tmp_path, {BETA: 1}, results_of(1, 20), results_of(2, 21), results_of(3, 25))
    assert three.score("rate").value == 2
    assert three.score("rate").standard_error == pytest.approx(1 / 3**0.5)
    left = point(tmp_path, {BETA: 1}, results_of(1, 20), "the loss became nan")
    assert (left.score("rate").value, left.score("rate").standard_error) == (1, None)
    assert point(tmp_path, {BETA: 1}, results_of(1, 20)).score("rate").standard_error == 0.1
    assert point(tmp_path, {BETA: 1}, "the loss became nan").rate_point is None


def test_points_of_other_conventions_or_examples_lie_in_planes_of_their_own(tmp_path):
    points = [
        point(tmp_path, {"k": 0}, results_of(1, 20)),
        point(tmp_path, {"k": 1}, results_of(2, 19)),
        point(tmp_path, {"k": 2}, results_of(3, 22)),
        point(tmp_path, {"k": 3}, results_of(1, -300, convention="density")),
        point(tmp_path, {"k": 4}, results_of(1, 9, checksum="b")),
        point(tmp_path, {"k": 5}, without(results_of(1, 9), "rate", "elbo", "distortion")),
    ]
    planes = sweep_of(tmp_path, *points).planes()
    assert [(plane.convention, len(plane.points)) for plane in planes] == [("grey", 3), ("density", 1), ("grey", 1)]
    assert [one.label for one in planes[0].pareto] == ["k=0", "k=1"]


def test_the_json_has_all_points_runs_failures_and_the_frontier_with_paths_that_move_with_the_folder(tmp_path):
    failed = point(tmp_path, {BETA: 0.1}, results_of(1, 20), "the loss became nan")
    results = sweep_of(tmp_path, failed, point(tmp_path, {BETA: 10}, results_of(0, 22), results_of(0, 24)))
    found = json.loads(json.dumps(results.as_json()))
    assert found["over"] == {BETA: [0.1, 10]}
    assert [run["failure"] for run in found["points"][0]["runs"]] == ["", "the loss became nan"]
    assert found["points"][0]["runs"][0]["run"] == "rate_weight-0.1,seed-0"
    assert found["frontier"][0]["lower_convex_hull"] == ["rate_weight=10", "rate_weight=0.1"]
    assert results.failures == {"rate_weight=0.1, seed 1": "the loss became nan"}
    assert repr(results).endswith("4 runs, 1 failed)")

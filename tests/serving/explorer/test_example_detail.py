"""What the explorer says of one example."""

import json

import numpy as np
import pytest

from explorer_runs import info, tensors


def test_a_point_is_its_example_its_code_and_its_bound(client, run):
    codes, about = tensors(client.get(f"/api/runs/{run.name}/codes")), info(client, run.name)
    index = about["num_codes"] - 2
    point = client.get(f"/api/runs/{run.name}/points/{index}").json()
    assert (point["index"], point["split"]) == (index, "test")
    assert point["id_in_split"] == about["splits"][2]["count"] - 2
    np.testing.assert_allclose(point["mean"], codes["mean"][index], rtol=1e-5, atol=1e-6)
    if codes["labels"][index] < 0:
        assert point["label"] is point["label_name"] is None
    else:
        assert point["label_name"] == about["label_names"][point["label"]]
    if run.name == "plain":
        assert point["elbo"] is point["log_variance"] is None
        assert point["reconstruction_error"] > 0
        return
    assert point["elbo"] == pytest.approx(-point["rate"] - point["distortion"])
    assert point["rate"] == pytest.approx(sum(point["rate_per_dimension"]))
    assert (point["num_draws"], point["unit"], point["convention"]) == (64, "nats", about["convention"])
    assert client.get(f"/api/runs/{run.name}/points/{index}").json() == point


def test_the_mean_elbo_of_points_is_that_of_the_results(client, folder):
    about = info(client, "colour")
    first = about["num_codes"] - 4
    points = [client.get(f"/api/runs/colour/points/{first + number}").json() for number in range(4)]
    scores = json.loads((folder / "colour" / "results.json").read_text())["scores"]
    (elbo,) = [score for score in scores if (score["name"], score["split"]) == ("elbo", "test")]
    assert elbo["num_examples"] == 4
    mean = np.mean([point["elbo"] for point in points])
    error = np.sqrt(np.sum([point["elbo_standard_error"] ** 2 * (1 + 64 / 2) for point in points])) / 4
    assert abs(mean - elbo["value"]) < 4 * error
